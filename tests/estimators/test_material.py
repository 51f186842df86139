"""What pre-training is given: unreadable photos, and rows without a target."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.model_selection import cross_validate

from tabimg import MultiModalPretrainer, Unlabeled
from tabimg.image import ImageReadError


@pytest.fixture(params=["missing", "zero bytes", "truncated", "no image", "directory"])
def bad_frame(request: pytest.FixtureRequest, frame: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """The frame with one photo, that of row 11, that cannot be read."""
    bad = tmp_path / "bad.png"
    content = Path(frame["photo"][11]).read_bytes()
    if request.param == "directory":
        bad.mkdir()
    elif request.param != "missing":
        bad.write_bytes(
            {
                "zero bytes": b"",
                "truncated": content[: len(content) // 2],
                "no image": b"width;height\n1;2\n",
            }[request.param]
        )
    cells = list(frame["photo"])
    cells[11] = str(bad)
    return frame.assign(photo=pd.Series(cells, dtype=object))


# --- photos that cannot be read ------------------------------------------------------------------


def test_unreadable_photo_raises_with_row_and_path(
    bad_frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    for fit in (
        lambda: make.pretrainer().fit(bad_frame),
        lambda: make.regressor(pretrainer=make.pretrainer()).fit(bad_frame, target),
    ):
        with pytest.raises(
            ImageReadError, match=r"row 11 of X: .*bad\.png.*on_bad_image"
        ) as caught:
            fit()
        assert bad_frame["photo"][11] in str(caught.value)


def test_unreadable_photo_under_warn_is_a_missing_one_and_is_named(
    bad_frame: pd.DataFrame, make: Any
) -> None:
    cells = list(bad_frame["photo"])
    cells[11] = None
    expected = make.pretrainer().fit(bad_frame.assign(photo=pd.Series(cells, dtype=object)))
    with pytest.warns(UserWarning, match="row 11 of X: .*bad.png"):
        warned = make.pretrainer(on_bad_image="warn").fit(bad_frame)
    np.testing.assert_array_equal(warned.transform(bad_frame), expected.transform(bad_frame))


NAMES_OF_NO_FILE = {3: "a\x00b.png", 7: "\udcff.png", 11: "\ud800.png", 15: "x" * 5000}


@pytest.mark.parametrize("policy", ["raise", "warn", "skip"])
def test_names_that_no_file_has_are_unreadable_photos_of_their_rows(
    frame: pd.DataFrame, make: Any, policy: str
) -> None:
    if policy == "raise":
        for row, name in NAMES_OF_NO_FILE.items():
            with pytest.raises(ImageReadError, match=f"row {row}( of X)?: "):
                make.pretrainer().fit(with_photos(frame, {row: name}))
        return
    odd = with_photos(frame, NAMES_OF_NO_FILE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pre = make.pretrainer(on_bad_image=policy, max_epochs=1).fit(odd)
    said = [str(one.message) for one in caught]
    assert any("4 of 40 images could not be read" in text for text in said) is (policy == "warn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedding = pre.transform_images(odd)
    assert np.flatnonzero(np.isnan(embedding).any(axis=1)).tolist() == list(NAMES_OF_NO_FILE)


def with_photos(frame: pd.DataFrame, names: dict[int, str]) -> pd.DataFrame:
    """The frame with other cells in some rows."""
    cells = list(frame["photo"])
    for row, name in names.items():
        cells[row] = name
    return frame.assign(photo=pd.Series(cells, dtype=object))


def test_unreadable_photo_under_skip_is_silent(bad_frame: pd.DataFrame, make: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pre = make.pretrainer(on_bad_image="skip").fit(bad_frame)
        embedding = pre.transform_images(bad_frame)
    assert pre.transform(bad_frame).shape == (40, 8)
    assert np.flatnonzero(np.isnan(embedding).any(axis=1)).tolist() == [11]


def test_unreadable_photo_does_not_matter_for_the_table(
    bad_frame: pd.DataFrame, fitted: MultiModalPretrainer
) -> None:
    np.testing.assert_array_equal(
        fitted.transform(bad_frame), fitted.transform(bad_frame.drop(columns="photo"))
    )
    with pytest.raises(ImageReadError, match="row 11"):
        fitted.transform_images(bad_frame)


def test_unreadable_unlabeled_photo_raises_with_its_path(frame: pd.DataFrame, make: Any) -> None:
    more = frame[:5].assign(photo="nowhere.png")
    with pytest.raises(ImageReadError, match=r"nowhere\.png"):
        make.pretrainer().fit(frame, unlabeled=Unlabeled(more))


def test_no_readable_photo_at_all_is_an_error_under_each_policy(
    frame: pd.DataFrame, make: Any
) -> None:
    for policy in ("raise", "warn", "skip"):
        with pytest.raises(ImageReadError, match=r"1 of 1 photos is missing.*nowhere\.png"):
            make.pretrainer(on_bad_image=policy).fit(frame.assign(photo="nowhere.png"))


# --- unlabeled rows ------------------------------------------------------------------------------


def test_unlabeled_rows_equal_further_rows_of_the_frame(frame: pd.DataFrame, make: Any) -> None:
    whole = make.pretrainer().fit(frame)
    parts = make.pretrainer().fit(frame[:25], unlabeled=Unlabeled(frame[25:]))
    np.testing.assert_array_equal(parts.transform(frame), whole.transform(frame))


def test_unlabeled_rows_take_part_in_pretraining_only(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer(), finetune="frozen", head="embedding")
    regressor.fit(frame[:20], target[:20], unlabeled=Unlabeled(frame))
    pre = regressor.pretrainer_
    doubled = make.pretrainer().fit(pd.concat([frame[:20], frame], ignore_index=True))
    np.testing.assert_array_equal(pre.transform(frame), doubled.transform(frame))
    assert regressor._target_mean == pytest.approx(target[:20].mean())


def test_unlabeled_rows_may_have_further_columns_in_another_order(
    frame: pd.DataFrame, make: Any
) -> None:
    more = frame[25:][["photo", "support", "width", "pressure"]].assign(secret=1.0)
    plain = make.pretrainer().fit(frame[:25], unlabeled=Unlabeled(frame[25:]))
    mixed = make.pretrainer().fit(frame[:25], unlabeled=Unlabeled(more))
    np.testing.assert_array_equal(mixed.transform(frame), plain.transform(frame))


def test_unlabeled_rows_may_come_without_photos_or_with_image_paths(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any, photo_log: Any
) -> None:
    make.pretrainer(image_loader=photo_log.loader).fit(frame[:25], unlabeled=Unlabeled(table[25:]))
    assert len(photo_log.names()) == 25
    with_paths = Unlabeled(table[25:], image_paths=list(frame["photo"][25:]))
    by_paths = make.pretrainer().fit(frame[:25], unlabeled=with_paths)
    by_column = make.pretrainer().fit(frame[:25], unlabeled=Unlabeled(frame[25:]))
    np.testing.assert_array_equal(by_paths.transform(frame), by_column.transform(frame))


def test_unlabeled_array_serves_beside_an_array(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    rows = table.to_numpy(dtype=object)
    paths = list(frame["photo"])
    for more in (rows[25:], rows[25:].tolist()):
        parts = make.pretrainer(image_column=None).fit(
            rows[:25], image_paths=paths[:25], unlabeled=Unlabeled(more, image_paths=paths[25:])
        )
        whole = make.pretrainer(image_column=None).fit(rows, image_paths=paths)
        np.testing.assert_array_equal(parts.transform(rows), whole.transform(rows))


def test_unlabeled_holder_is_nothing_that_cross_validation_could_cut() -> None:
    holder = Unlabeled(np.zeros((3, 2)))
    for name in ("__len__", "shape", "__array__", "__getitem__", "__iter__"):
        assert not hasattr(holder, name)
    assert "ndarray" in repr(holder) and "(3, 2)" in repr(holder)


def test_unlabeled_rows_are_not_cut_by_cross_validation_of_equal_length(
    frame: pd.DataFrame, target: np.ndarray, photo_log: Any, make: Any
) -> None:
    pre = make.pretrainer(image_loader=photo_log.loader)
    more = frame.assign(support=[f"u{row}" for row in range(40)])
    result = cross_validate(
        make.regressor(pretrainer=pre, finetune="frozen"),
        frame,
        target,
        cv=2,
        params={"unlabeled": Unlabeled(more)},
        return_estimator=True,
    )
    for estimator in result["estimator"]:
        assert {f"u{row}" for row in range(40)} <= set(estimator.codec_.categories[0])
    assert len(photo_log.names()) == 2 * 40


def test_unlabeled_rows_without_a_column_are_refused(frame: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match=r"unlabeled.*'pressure'"):
        make.pretrainer().fit(frame, unlabeled=Unlabeled(frame.drop(columns="pressure")))


def test_unlabeled_rows_of_another_container_are_refused(
    frame: pd.DataFrame, table: pd.DataFrame, make: Any
) -> None:
    with pytest.raises(ValueError, match="both be frames or both be arrays"):
        make.pretrainer().fit(frame, unlabeled=Unlabeled(table.to_numpy(dtype=object)))
    with pytest.raises(ValueError, match=r"3 columns.*2"):
        make.pretrainer(image_column=None, lambda_c=0).fit(
            table.to_numpy(dtype=object), unlabeled=Unlabeled(np.zeros((4, 2)))
        )
    with pytest.raises(ValueError, match=r"one library.*pandas.*polars"):
        make.pretrainer().fit(frame, unlabeled=Unlabeled(pl.from_pandas(frame)))


def test_unlabeled_rows_may_be_of_another_dtype_but_not_of_another_kind(
    frame: pd.DataFrame, to_frame: Any, make: Any
) -> None:
    fractions = frame.assign(
        pressure=frame["pressure"] + 0.5, width=3, support=frame["support"].astype("category")
    )
    pre = make.pretrainer().fit(to_frame(frame), unlabeled=Unlabeled(to_frame(fractions)))
    whole = make.pretrainer().fit(
        pd.concat([frame, fractions.astype({"support": object})], ignore_index=True)
    )
    np.testing.assert_array_equal(pre.transform(to_frame(frame)), whole.transform(frame))
    blank = Unlabeled(to_frame(frame.assign(support=np.nan)))
    assert make.pretrainer().fit(to_frame(frame), unlabeled=blank).transform(frame).shape == (40, 8)
    words = Unlabeled(to_frame(frame.assign(pressure="much")))
    with pytest.raises(ValueError, match=r"'pressure' is numeric in X and categorical"):
        make.pretrainer().fit(to_frame(frame), unlabeled=words)


def test_unlabeled_rows_without_holder_are_refused(
    frame: pd.DataFrame, target: np.ndarray, frozen: Any, make: Any
) -> None:
    for pretrainer in (frozen, make.pretrainer(), None):
        with pytest.raises(TypeError, match=r"tabimg\.Unlabeled\(frame\), got DataFrame"):
            make.regressor(pretrainer=pretrainer).fit(frame, target, unlabeled=frame)
    with pytest.raises(TypeError, match=r"tabimg\.Unlabeled\(frame\), got DataFrame"):
        make.pretrainer().fit(frame, unlabeled=frame)


def test_unlabeled_rows_that_nothing_would_learn_from_are_refused(
    frame: pd.DataFrame, target: np.ndarray, frozen: Any, make: Any
) -> None:
    table = frame.drop(columns="photo")
    with pytest.raises(ValueError, match=r"unlabeled.*pretrainer is None"):
        make.regressor().fit(table, target, unlabeled=Unlabeled(table))
    for finetune in ("full", "frozen", "gradual"):
        with pytest.raises(ValueError, match=r"unlabeled.*pretrainer is frozen"):
            make.regressor(pretrainer=frozen, finetune=finetune).fit(
                frame, target, unlabeled=Unlabeled(frame)
            )
