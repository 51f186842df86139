"""Missing photos are named by the user's own rows and frames, before one photo is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold

from tabimg import CITabPretrainer, Unlabeled
from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.image import ImageReadError

Make = Callable[..., Any]
Frames = dict[str, pd.DataFrame]


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Fail the test that opens a photo."""
    opened: list[object] = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or original(*a, **k))
    yield opened
    assert opened == []


def without(frame: pd.DataFrame, *rows: int) -> pd.DataFrame:
    """The frame with photos at these positions that are not there."""
    cells = list(frame["photo"])
    for row in rows:
        cells[row] = f"gone{row}.png"
    return frame.assign(photo=pd.Series(cells, index=frame.index, dtype=object))


@pytest.fixture(params=["MT-CMTM", "CITab"])
def make_either(request: pytest.FixtureRequest, make: Any) -> Make:
    """Make a pretrainer of either method."""
    return make.pretrainer if request.param == "MT-CMTM" else make.citab


def test_rows_of_x_and_of_unlabeled_are_told_apart(
    frame: pd.DataFrame, make_either: Make, unopened: list[object]
) -> None:
    with pytest.raises(ImageReadError) as caught:
        make_either().fit(
            without(frame[:20], 3, 17),
            unlabeled=Unlabeled(without(frame[20:].reset_index(drop=True), 5)),
        )
    text = str(caught.value)
    assert text.startswith("3 of 40 photos are missing")
    assert "row 3 of X: " in text and "row 17 of X: " in text and "row 5 of unlabeled: " in text


def test_rows_of_image_paths_are_named(
    frame: pd.DataFrame, table: pd.DataFrame, make_either: Make, unopened: list[object]
) -> None:
    paths = list(without(frame, 9)["photo"])
    with pytest.raises(ImageReadError, match="row 9 of X: "):
        make_either(image_column=None).fit(table, image_paths=paths)


def test_rows_of_cohorts_are_those_of_their_frames(
    cohorts: Frames, make: Any, unopened: list[object]
) -> None:
    south = cohorts["south"].reset_index(drop=True)
    frames = {"north": cohorts["north"], "south": without(south, 3)}
    with pytest.raises(ImageReadError, match="row 3 of cohort 'south': "):
        make.citab().fit(frames)
    more = Unlabeled({"south": without(south, 4)})
    with pytest.raises(ImageReadError, match="row 4 of cohort 'south' of unlabeled: "):
        make.citab().fit(cohorts, unlabeled=more)


def test_rows_of_cohorts_in_one_frame_are_those_of_the_frame(
    stacked: pd.DataFrame, make: Any, unopened: list[object]
) -> None:
    with pytest.raises(ImageReadError, match="row 30 of X: "):
        make.citab(cohort_column="clinic").fit(without(stacked, 30))


def test_rows_that_were_cut_out_tell_their_label(
    frame: pd.DataFrame, make_either: Make, unopened: list[object]
) -> None:
    train, _ = next(KFold(4).split(frame))
    with pytest.raises(ImageReadError, match=r"row 27 \(index 37\) of X: "):
        make_either().fit(without(frame, 37).iloc[train])


def test_fine_tuned_estimator_names_rows_of_x_beside_rows_without_weight(
    frame: pd.DataFrame, target: np.ndarray, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FrozenEstimator(make.citab().fit(frame))
    weight = np.repeat([0.0, 1.0], [20, 20])

    def train(*arguments: object) -> None:
        raise AssertionError("networks are trained before the photos are looked for")

    monkeypatch.setattr(FineTunedEstimator, "_fit_members", train)
    regressor = make.citab_regressor(pretrainer=source, finetune="frozen")
    with pytest.raises(ImageReadError, match=r"1 of 20 .*row 31 of X: "):
        regressor.fit(without(frame, 2, 31), target, sample_weight=weight)


def test_fused_fit_names_rows_of_x_and_of_unlabeled(
    frame: pd.DataFrame, target: np.ndarray, make: Any, unopened: list[object]
) -> None:
    regressor = make.regressor(pretrainer=make.pretrainer())
    more = Unlabeled(without(frame[20:].reset_index(drop=True), 2))
    with pytest.raises(ImageReadError, match=r"row 1 of X: .*row 2 of unlabeled: "):
        regressor.fit(without(frame[:20], 1), target[:20], unlabeled=more)


@pytest.mark.parametrize("policy", ["warn", "skip"])
def test_all_photos_missing_is_an_error_in_fit_transform_and_predict(
    policy: str, frame: pd.DataFrame, target: np.ndarray, make_either: Make, make: Any
) -> None:
    gone = without(frame, *range(40))
    expected = "40 of 40 photos are missing.*'skip' raise as well"
    unfitted = make_either(on_bad_image=policy)
    with pytest.raises(ImageReadError, match=expected):
        clone(unfitted).fit(gone)
    source = unfitted.fit(frame)
    with pytest.raises(ImageReadError, match=expected):
        source.transform_images(gone)
    with pytest.raises(ImageReadError, match=expected):
        source.transform_images(list(gone["photo"]))
    maker = make.citab_regressor if isinstance(source, CITabPretrainer) else make.regressor
    regressor = maker(
        pretrainer=FrozenEstimator(source), finetune="frozen", predict_modality="auto"
    )
    with pytest.raises(ImageReadError, match=expected):
        clone(regressor).fit(gone, target)
    regressor.fit(frame, target)
    for modality in ("auto", "image", "both"):
        with pytest.raises(ImageReadError, match=expected):
            regressor.set_params(predict_modality=modality).predict(gone)


def test_photo_of_the_only_row_without_cells_may_be_missing_where_others_are_there(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    source = FrozenEstimator(make.citab(on_bad_image="skip").fit(frame))
    regressor = make.citab_regressor(pretrainer=source, finetune="frozen").fit(frame, target)
    regressor.set_params(predict_modality="auto")
    bare = frame.copy()
    bare.loc[4, ["width", "pressure", "support"]] = None
    found = regressor.predict(without(bare, 4))
    expected = regressor.predict(bare.assign(photo=bare["photo"].where(np.arange(40) != 4, None)))
    np.testing.assert_array_equal(found, expected)


BLANK = ["", " ", "\t", "nan", "<NA>", None, np.nan, pd.NA, pd.NaT, [], [None, ""]]


def test_blank_cells_are_no_photos(
    frame: pd.DataFrame, make_either: Make, unopened: list[object]
) -> None:
    cells = pd.Series([BLANK[row % len(BLANK)] for row in range(40)], dtype=object)
    with pytest.warns(UserWarning, match="fewer than two rows have a photo"):
        pretrainer = make_either().fit(frame.assign(photo=cells))
    assert pretrainer.network_.architecture.image is None


def test_blank_cells_do_not_make_a_fitted_pretrainer_fit_anew(
    frame: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    fitted = make.pretrainer().fit(frame)
    cells = pd.Series([BLANK[row % len(BLANK)] for row in range(40)], dtype=object)
    with pytest.raises(ValueError, match="The data hold no photos"):
        make.regressor(pretrainer=fitted).fit(frame.assign(photo=cells), target)
