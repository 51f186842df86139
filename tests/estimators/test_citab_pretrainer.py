"""The pretrainer of cohorts: any columns, in any shape, and what may go wrong."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

import tabimg
from tabimg import CITabPretrainer, Unlabeled
from tabimg.nn.resnet import ResNet
from tabimg.serialization import qualified_name
from tabimg.training import citab

Make = Callable[..., CITabPretrainer]
Frames = dict[str, pd.DataFrame]


@pytest.fixture
def pretrainer(with_vectors: pd.DataFrame, make_citab: Make) -> CITabPretrainer:
    """Fitted on both cohorts, with vectors in place of photos."""
    return make_citab(cohort_column="clinic").fit(with_vectors)


# --- one model, however the cohorts come ---------------------------------------------------------


def test_stacked_frame_and_mapping_train_bit_equally(
    cohorts: Frames,
    stacked: pd.DataFrame,
    make_citab: Make,
    weights: Any,
    assert_equal_weights: Any,
) -> None:
    by_mapping = make_citab(lambda_mtr=0.5).fit(cohorts)
    by_frame = make_citab(lambda_mtr=0.5, cohort_column="clinic").fit(stacked)
    assert_equal_weights(weights(by_mapping), weights(by_frame))
    embedding = by_frame.transform(stacked)
    assert embedding.shape == (40, 8) and embedding.dtype == np.float32
    assert np.isfinite(embedding).all() and len(np.unique(embedding, axis=0)) == 40
    np.testing.assert_array_equal(by_mapping.transform(cohorts), embedding)
    np.testing.assert_array_equal(
        by_mapping.transform_images(cohorts), by_frame.transform_images(stacked)
    )
    shuffled = stacked[stacked.columns[::-1]]
    other = make_citab(lambda_mtr=0.5, cohort_column="clinic").fit(shuffled)
    assert_equal_weights(weights(other), weights(by_frame))


def test_polars_frame_trains_bit_equally(
    stacked: pd.DataFrame, make_citab: Make, weights: Any, assert_equal_weights: Any
) -> None:
    by_pandas = make_citab(cohort_column="clinic").fit(stacked)
    polars = pl.from_pandas(stacked)
    by_polars = make_citab(cohort_column="clinic").fit(polars)
    assert_equal_weights(weights(by_pandas), weights(by_polars))
    np.testing.assert_array_equal(by_polars.transform(polars), by_pandas.transform(stacked))


def test_embedding_does_not_depend_on_the_order_of_rows_columns_or_cohorts(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    expected = pretrainer.transform(with_vectors)
    order = np.random.default_rng(0).permutation(40)
    mixed = pretrainer.transform(with_vectors.iloc[order])
    np.testing.assert_allclose(mixed, expected[order], atol=1e-6)
    turned = with_vectors[with_vectors.columns[::-1]]
    np.testing.assert_allclose(pretrainer.transform(turned), expected, atol=1e-6)
    by_name = {name: with_vectors[with_vectors["clinic"] == name] for name in ("south", "north")}
    found = pretrainer.transform(by_name)
    np.testing.assert_allclose(np.vstack([found[16:], found[:16]]), expected, atol=1e-6)


def test_row_alone_is_embedded_as_in_a_batch(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    blank = with_vectors.copy()
    blank.loc[[2, 30], ["width", "pressure", "support", "SupportMaterial", "mass"]] = np.nan
    blank.loc[[2, 30], "photo_grade"] = None
    together = pretrainer.transform(blank)
    for row in (0, 2, 3, 25, 30, 39):
        alone = pretrainer.transform(blank.iloc[[row]])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_photos_and_columns_of_other_cohorts_are_not_looked_at(
    pretrainer: CITabPretrainer,
    with_vectors: pd.DataFrame,
    photo_log: Any,
    make_citab: Make,
    stacked: pd.DataFrame,
) -> None:
    expected = pretrainer.transform(with_vectors)
    np.testing.assert_array_equal(
        pretrainer.transform(with_vectors.drop(columns="photo")), expected
    )
    north = with_vectors[with_vectors["clinic"] == "north"]
    own = north[["width", "pressure", "support", "clinic"]]
    np.testing.assert_array_equal(pretrainer.transform(own), expected[:24])
    logged = make_citab(cohort_column="clinic", image_loader=photo_log.loader).fit(stacked)
    assert len(photo_log.names()) == 40
    logged.transform(stacked.assign(photo="/deleted.png"))
    assert len(photo_log.names()) == 40


# --- seeds, copies, saved models -----------------------------------------------------------------

SCRIPT = """
import pickle, sys
from tabimg import CITabPretrainer
with open(sys.argv[1], "rb") as file:
    frame, params = pickle.load(file)
pretrainer = CITabPretrainer(**params).fit(frame)
with open(sys.argv[2], "wb") as file:
    pickle.dump((pretrainer.network_.arrays, pretrainer.transform(frame)), file)
"""


def test_equal_random_state_gives_equal_bits_in_a_new_process(
    with_vectors: pd.DataFrame, make_citab: Make, tmp_path: Path
) -> None:
    pretrainer = make_citab(cohort_column="clinic", lambda_mtr=0.5, image_encoder="resnet18")
    given, there = tmp_path / "given.pkl", tmp_path / "there.pkl"
    given.write_bytes(pickle.dumps((with_vectors, pretrainer.get_params())))
    environment = {**os.environ, "PYTHONHASHSEED": "321"}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, given, there], check=True, timeout=300, env=environment
    )
    arrays, embedding = pickle.loads(there.read_bytes())
    pretrainer.fit(with_vectors)
    assert [
        n for n, a in pretrainer.network_.arrays.items() if not np.array_equal(a, arrays[n])
    ] == []
    np.testing.assert_array_equal(pretrainer.transform(with_vectors), embedding)
    other = clone(pretrainer).set_params(random_state=1).fit(with_vectors)
    assert not np.allclose(other.transform(with_vectors), embedding)


def test_clone_keeps_the_parameters_only(pretrainer: CITabPretrainer) -> None:
    twin = clone(pretrainer.set_params(column_descriptions={"width": "width in millimetres"}))
    assert [name for name in vars(twin) if name.endswith("_")] == []
    ours, theirs = pretrainer.get_params(), twin.get_params()
    assert {n: repr(v) for n, v in theirs.items()} == {n: repr(v) for n, v in ours.items()}


def test_set_output_gives_named_frames(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    plain = pretrainer.transform(with_vectors)
    shuffled = with_vectors[::-1]
    found = pretrainer.set_output(transform="pandas").transform(shuffled)
    assert list(found.columns) == [f"citabpretrainer{i}" for i in range(8)]
    assert list(found.index) == list(shuffled.index)
    np.testing.assert_allclose(found.to_numpy(), plain[::-1], atol=1e-6)
    mapping = dict(iter(with_vectors.groupby("clinic")))
    assert pretrainer.transform(mapping).shape == (40, 8)


def through_directory(estimator: Any, folder: Path) -> Any:
    tabimg.save(estimator, folder / "saved")
    return tabimg.load(folder / "saved", {qualified_name(ResNet): ResNet})


def through_joblib(estimator: Any, folder: Path) -> Any:
    joblib.dump(estimator, folder / "saved.joblib")
    return joblib.load(folder / "saved.joblib")


@pytest.mark.parametrize(
    "way",
    [through_directory, through_joblib, lambda e, _: pickle.loads(pickle.dumps(e)),
     lambda e, _: copy.deepcopy(e)],
)  # fmt: skip
def test_pretrainer_comes_back_embedding_bit_equally(
    way: Callable[..., Any], with_vectors: pd.DataFrame, make_citab: Make, tmp_path: Path
) -> None:
    pretrainer = make_citab(
        cohort_column="clinic",
        column_descriptions={"mass": "body mass"},
        image_root={"north": "a", "south": "b"},
        on_new_columns="embed",
    ).fit(with_vectors)
    back = way(pretrainer, tmp_path)
    np.testing.assert_array_equal(back.transform(with_vectors), pretrainer.transform(with_vectors))
    np.testing.assert_array_equal(
        back.transform_images(with_vectors), pretrainer.transform_images(with_vectors)
    )
    assert back.gate_statistics_ == pretrainer.gate_statistics_
    assert back.history_ == pretrainer.history_
    assert back.codec_.names == ("north", "south")
    assert back.get_params().keys() == pretrainer.get_params().keys()
    assert back.image_root == pretrainer.image_root
    new = pd.DataFrame({"Body Mass": [3.0, 5.0]})
    with pytest.warns(UserWarning, match="'body mass'"):
        expected = pretrainer.transform({"west": new})
    with pytest.warns(UserWarning, match="'body mass'"):
        np.testing.assert_array_equal(back.transform({"west": new}), expected)


def test_saved_pretrainer_never_asks_the_encoder_for_a_known_text(
    with_vectors: pd.DataFrame, make_citab: Make, tmp_path: Path
) -> None:
    calls: list[list[str]] = []

    def lengths(texts: list[str]) -> np.ndarray:
        calls.append(texts)
        return np.array([[len(text), text.count("s"), 1.0] for text in texts])

    pretrainer = make_citab(cohort_column="clinic", header_encoder=lengths).fit(with_vectors)
    assert len([t for texts in calls for t in texts]) == len({t for texts in calls for t in texts})
    expected = pretrainer.transform(with_vectors)
    tabimg.save(pretrainer, tmp_path / "saved")
    calls.clear()
    # The package's own encoders, such as ResNet, need not be handed over.
    back = tabimg.load(tmp_path / "saved", {qualified_name(lengths): lengths})
    np.testing.assert_array_equal(back.transform(with_vectors), expected)
    assert calls == []


def test_photos_may_be_deleted_after_fit(cohorts: Frames, tmp_path: Path, make_citab: Make) -> None:
    copied = {}
    for name, frame in cohorts.items():
        paths = [shutil.copy(path, tmp_path / Path(path).name) for path in frame["photo"]]
        copied[name] = frame.assign(photo=[str(path) for path in paths])
    pretrainer = make_citab().fit(copied)
    for path in tmp_path.iterdir():
        path.unlink()
    back = through_directory(pretrainer, tmp_path)
    np.testing.assert_array_equal(back.transform(copied), pretrainer.transform(copied))


def test_fit_leaves_parameters_and_frames_as_they_were(cohorts: Frames, make_citab: Make) -> None:
    before = {name: frame.copy(deep=True) for name, frame in cohorts.items()}
    pretrainer = make_citab(image_root={"north": ".", "south": "."})
    params = {name: (id(value), repr(value)) for name, value in pretrainer.get_params().items()}
    pretrainer.fit(cohorts).transform(cohorts)
    assert {n: (id(v), repr(v)) for n, v in pretrainer.get_params().items()} == params
    for name, frame in cohorts.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_pretrainer_in_a_pipeline_is_cross_validated(
    with_vectors: pd.DataFrame, target: np.ndarray, make_citab: Make
) -> None:
    pipeline = make_pipeline(make_citab(cohort_column="clinic"), Ridge())
    scores = cross_val_score(pipeline, with_vectors.sample(frac=1.0, random_state=0), target, cv=2)
    assert np.isfinite(scores).all()


# --- new cohorts, new columns --------------------------------------------------------------------


@pytest.fixture
def west() -> pd.DataFrame:
    return pd.DataFrame({"Width_MM": [4.0, 6.0], "support material": ["glass", "wood"]})


def test_new_cohort_is_refused_with_what_its_headers_are_nearest_to(
    pretrainer: CITabPretrainer, west: pd.DataFrame
) -> None:
    message = (
        r"a cohort that was not there in fit, 'west' \(known are \['north', 'south'\]\)"
        r".*'Width_MM' \(nearest known: 'width', similarity 0\.\d\d\)"
        r".*nearest known: 'SupportMaterial', similarity 1\.00\).*on_new_columns='embed'"
    )
    for given in (west.assign(clinic="west"), {"west": west}):
        with pytest.raises(ValueError, match=message):
            pretrainer.transform(given)


def test_new_cohort_is_embedded_by_its_headers_on_demand(
    pretrainer: CITabPretrainer, west: pd.DataFrame, with_vectors: pd.DataFrame
) -> None:
    pretrainer.set_params(on_new_columns="embed")
    texts = list(pretrainer.vectors_.texts)
    with pytest.warns(UserWarning, match=r"embedded by their headers: .*'west'.*'Width_MM'"):
        found = pretrainer.transform({"west": west})
    assert found.shape == (2, 8) and np.isfinite(found).all()
    assert pretrainer.vectors_.texts == texts
    with pytest.warns(UserWarning, match="'west'"):
        both = pretrainer.transform({"south": with_vectors[24:], "west": west})
    np.testing.assert_allclose(both[16:], found, atol=1e-6)
    with pytest.warns(UserWarning, match="'west'"):
        alone = pretrainer.transform({"west": west[1:]})
    np.testing.assert_allclose(alone[0], found[1], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pretrainer.transform(with_vectors)


def test_synonymous_cohort_is_embedded_as_the_known_one(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    pretrainer.set_params(on_new_columns="embed")
    north = with_vectors[:24]
    renamed = north[["width", "pressure", "support"]].rename(columns=str.upper)
    with pytest.warns(UserWarning, match=r"'WIDTH' \(nearest known: 'width', similarity 1\.00\)"):
        found = pretrainer.transform({"north again": renamed})
    np.testing.assert_allclose(found, pretrainer.transform(north), atol=1e-5)


def test_new_columns_of_a_known_cohort_are_named(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    more = with_vectors.assign(Pressures=5.0)
    with pytest.raises(ValueError, match=r"cohort 'north' did not have in fit: 'Pressures' \(near"):
        pretrainer.transform(more)
    np.testing.assert_array_equal(
        pretrainer.transform(with_vectors.assign(Pressures=np.nan)),
        pretrainer.transform(with_vectors),
    )
    with pytest.warns(UserWarning, match=r"'Pressures' \(nearest known: 'pressure'"):
        found = pretrainer.set_params(on_new_columns="embed").transform(more)
    assert not np.allclose(found, pretrainer.transform(with_vectors))


def test_columns_that_a_known_cohort_lacks_are_named(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    north = with_vectors[:24]
    with pytest.raises(ValueError, match=r"cohort 'north' without its columns \['pressure'\]"):
        pretrainer.transform(north.drop(columns="pressure"))
    empty = pretrainer.transform(north.assign(pressure=np.nan))
    pretrainer.set_params(on_new_columns="embed")
    with pytest.warns(UserWarning, match=r"cohort 'north' without its columns \['pressure'\]"):
        lacking = pretrainer.transform(north.drop(columns="pressure"))
    np.testing.assert_array_equal(lacking, empty)


def test_rows_that_name_no_cohort_are_told_how_to(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame, cohorts: Frames, make_citab: Make
) -> None:
    plain = with_vectors.drop(columns="clinic")
    with pytest.raises(ValueError, match=r"name no cohort .*add the column 'clinic'"):
        pretrainer.transform(plain)
    with pytest.raises(ValueError, match=r"bare ndarray.*give a DataFrame"):
        pretrainer.transform(np.zeros((3, 3)))
    by_mapping = make_citab(lambda_itc=0, lambda_itm=0, lambda_mtr=1).fit(cohorts)
    with pytest.raises(ValueError, match=r"name no cohort .*give a mapping of cohort to frame"):
        by_mapping.transform(cohorts["north"])


def test_single_cohort_needs_no_name_but_is_not_taken_for_another(
    with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo", "clinic"]]
    pretrainer = make_citab(cohort_column="clinic").fit(north)
    expected = pretrainer.transform(north)
    np.testing.assert_array_equal(pretrainer.transform(north.drop(columns="clinic")), expected)
    with pytest.raises(ValueError, match="not there in fit, 'west'"):
        pretrainer.transform(north.assign(clinic="west"))
    with pytest.raises(ValueError, match="feature names"):
        pretrainer.transform(north.rename(columns={"width": "height"}))
    plain = make_citab().fit(north.drop(columns="clinic"))
    np.testing.assert_array_equal(plain.transform(north.drop(columns="clinic")), expected)
    np.testing.assert_array_equal(plain.transform({"any": north.drop(columns="clinic")}), expected)


def test_unseen_categories_have_the_meaning_of_their_text(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    def embed(category: str | None) -> np.ndarray:
        return pretrainer.transform(with_vectors[:24].assign(support=category))

    np.testing.assert_allclose(embed("GLASS"), embed("glass"), atol=1e-6)
    assert not np.allclose(embed("wood"), embed("glass"), atol=1e-3)
    assert not np.allclose(embed("wood"), embed(None), atol=1e-3)


def test_column_of_another_kind_is_refused(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=r"'pressure' was numeric in fit but is categorical now"):
        pretrainer.transform(with_vectors[:24].assign(pressure="much"))


# --- odd cohorts ---------------------------------------------------------------------------------


def test_cohorts_of_very_different_sizes_are_trained_together(make_citab: Make) -> None:
    rng = np.random.default_rng(0)

    def cohort(n_rows: int, *names: str) -> pd.DataFrame:
        columns = {name: rng.standard_normal(n_rows) for name in names}
        return pd.DataFrame(columns).assign(photo=list(rng.standard_normal((n_rows, 4))))

    frames = {"small": cohort(10, "age", "bmi"), "large": cohort(2000, "Age", "height", "sbp")}
    pretrainer = make_citab(batch_size=256).fit(frames)
    assert np.isfinite(pretrainer.transform(frames)).all()
    assert all(np.isfinite(list(epoch.values())).all() for epoch in pretrainer.history_)


@pytest.mark.parametrize(
    "other",
    [
        pd.DataFrame({"only": [1.0, 2.0, 5.0]}),
        pd.DataFrame({"only": ["a", "b", "a"]}),
        pd.DataFrame({"single": [1.0], "row": ["x"]}),
        pd.DataFrame({"width": [1.0, 2.0], "pressure": [3, 4], "support": ["glass", None]}),
        pd.DataFrame({"constant": [1.0, 1.0], "word": ["x", "x"]}),
        pd.DataFrame({"empty": [np.nan, np.nan], "word": ["x", "y"]}),
    ],
    ids=["one number", "one category", "one row", "same columns", "constant", "empty column"],
)
def test_odd_cohort_trains_beside_another(
    other: pd.DataFrame, cohorts: Frames, make_citab: Make
) -> None:
    frames = {"north": cohorts["north"].drop(columns="photo"), "odd": other}
    pretrainer = make_citab(image_column=None, validation_fraction=None).fit(frames)
    found = pretrainer.transform(frames)
    assert found.shape == (24 + len(other), 8) and np.isfinite(found).all()
    assert pretrainer.codec_.names == ("north", "odd")


def test_two_cohorts_with_the_same_number_of_columns_are_told_apart(make_citab: Make) -> None:
    rng = np.random.default_rng(0)
    first = pd.DataFrame({"age": rng.normal(50, 9, 20), "bmi": rng.normal(25, 3, 20)})
    second = first.rename(columns={"age": "height", "bmi": "weight"})
    pretrainer = make_citab(image_column=None).fit({"a": first, "b": second})
    found = pretrainer.transform({"a": first, "b": second})
    assert not np.allclose(found[:20], found[20:], atol=1e-3)
    with pytest.raises(ValueError, match=r"'a' did not have in fit: 'height'"):
        pretrainer.transform({"a": second})


def test_cohort_without_any_cell_is_named(cohorts: Frames, make_citab: Make) -> None:
    blank = cohorts["south"][["mass", "width"]] * np.nan
    with pytest.raises(ValueError, match="cohort 'south': Every cell of the table is missing"):
        make_citab().fit({"north": cohorts["north"], "south": blank})


@pytest.mark.parametrize("name", ["", "  ", None])
def test_column_without_a_name_is_refused_before_any_photo_is_read(
    name: Any, cohorts: Frames, photo_log: Any, make_citab: Make
) -> None:
    south = cohorts["south"].rename(columns={"mass": name})
    if name is None:
        south.columns = [None if c is None or c != c else c for c in south.columns]
    with pytest.raises((ValueError, TypeError)) as caught:
        make_citab(image_loader=photo_log.loader).fit({"north": cohorts["north"], "south": south})
    assert photo_log.names() == []
    if name is not None:
        assert str(caught.value).startswith(f"cohort 'south': column {name!r} at position 2 has no")


def test_column_without_a_name_may_be_described(cohorts: Frames, make_citab: Make) -> None:
    south = cohorts["south"].rename(columns={"mass": ""})
    frames = {"north": cohorts["north"], "south": south}
    named = make_citab(column_descriptions={"": "mass"}).fit(frames)
    plain = make_citab().fit(cohorts)
    np.testing.assert_allclose(
        named.transform(frames)[:24], plain.transform(cohorts)[:24], atol=1e-6
    )


def test_names_that_are_numbers_serve_alone_but_not_beside_text(
    cohorts: Frames, make_citab: Make
) -> None:
    numbered = [frame.drop(columns="photo") for frame in cohorts.values()]
    numbered = [frame.set_axis(range(frame.shape[1]), axis=1) for frame in numbered]
    frames = dict(zip("ab", numbered, strict=True))
    pretrainer = make_citab(image_column=None).fit(frames)
    assert pretrainer.n_features_in_ == 4 and not hasattr(pretrainer, "feature_names_in_")
    assert np.isfinite(pretrainer.transform(frames)).all()
    mixed = {"a": numbered[0], "b": cohorts["south"].drop(columns="photo")}
    with pytest.raises(TypeError, match="string"):
        make_citab(image_column=None).fit(mixed)


def test_names_of_one_reading_are_two_columns(make_citab: Make) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"Heart Rate": rng.random(20), "heart_rate": rng.random(20)})
    pretrainer = make_citab(image_column=None).fit({"a": frame, "b": frame[["heart_rate"]]})
    swapped = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(
        pretrainer.transform({"a": swapped}), pretrainer.transform({"a": frame})
    )
    exchanged = frame.set_axis(["heart_rate", "Heart Rate"], axis=1)
    assert not np.allclose(
        pretrainer.transform({"a": exchanged}), pretrainer.transform({"a": frame}), atol=1e-4
    )


def test_transform_without_rows_is_refused(
    pretrainer: CITabPretrainer, with_vectors: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        pretrainer.transform(with_vectors[:0])
    some = pretrainer.transform({"north": with_vectors[:24], "south": with_vectors[:0]})
    np.testing.assert_array_equal(some, pretrainer.transform(with_vectors[:24]))


# --- parameters ----------------------------------------------------------------------------------


def test_history_reports_the_terms_weighted_and_unweighted(
    with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    pretrainer = make_citab(
        cohort_column="clinic", lambda_itc=0.25, lambda_itm=2.0, lambda_mtr=0.5,
        max_epochs=2, batch_size=8, validation_fraction=0.4,
    ).fit(with_vectors)  # fmt: skip
    for epoch in pretrainer.history_:
        for part in ("train", "valid"):
            total = sum(
                weight * epoch[f"{part}_{term}"]
                for term, weight in {"contrastive": 0.25, "matching": 2.0, "masked": 0.5}.items()
            )
            assert epoch[f"{part}_loss"] == pytest.approx(total, rel=1e-4)
        assert epoch["train_matching_weighted"] == pytest.approx(2.0 * epoch["train_matching"])
        assert epoch["gradient_norm"] > 0


@pytest.mark.parametrize(
    ("params", "terms"),
    [
        ({"lambda_itm": 0.0}, {"contrastive"}),
        ({"lambda_itc": 0.0}, {"matching"}),
        ({"lambda_itc": 0.0, "lambda_itm": 0.0, "lambda_mtr": 0.3}, {"masked"}),
        ({"image_column": None}, {"masked"}),
    ],
)
def test_terms_of_weight_zero_are_not_trained(
    params: dict[str, Any], terms: set[str], with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    frame = with_vectors.drop(columns="photo") if "image_column" in params else with_vectors
    history = make_citab(cohort_column="clinic", **params).fit(frame).history_
    found = {t for t in ("contrastive", "matching", "masked") if f"train_{t}" in history[0]}
    assert found == terms
    if "image_column" in params:
        assert history[0]["train_masked_weighted"] == history[0]["train_masked"]


def test_negatives_of_the_whole_batch_train_another_encoder(
    with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    found = [
        make_citab(cohort_column="clinic", negatives=negatives).fit(with_vectors).history_
        for negatives in ("cohort", "batch")
    ]
    assert found[0][0]["train_contrastive"] < found[1][0]["train_contrastive"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_heads": 3}, "n_heads must divide dim, got n_heads=3 and dim=8"),
        ({"dim": 0}, "dim == 0"),
        ({"n_experts": 0}, "n_experts == 0"),
        ({"n_layers": 0}, "n_layers == 0"),
        ({"n_fusion_layers": 0}, "n_fusion_layers == 0"),
        ({"expert": "large"}, "expert must be one of"),
        ({"value_form": "power"}, "value_form must be one of"),
        ({"negatives": "all"}, "negatives must be one of"),
        ({"on_new_columns": "ignore"}, "on_new_columns must be one of"),
        ({"lambda_itm": -1.0}, "lambda_itm == -1"),
        ({"lambda_itc": 0, "lambda_itm": 0}, "are all 0: there is nothing to learn from"),
        ({"mask_rate": 1.0}, "mask_rate == 1.0"),
        ({"temperature": 0.0}, "temperature == 0"),
        ({"header_encoder": "ngram"}, "did you mean 'ngrams'"),
        ({"column_descriptions": {"widht": "width"}}, "'widht', which is not a col.*'width'"),
    ],
)
def test_wrong_parameter_is_named_before_any_photo_is_read(
    params: dict[str, Any], message: str, cohorts: Frames, photo_log: Any, make_citab: Make
) -> None:
    with pytest.raises(ValueError, match=message):
        make_citab(image_loader=photo_log.loader, **params).fit(cohorts)
    assert photo_log.names() == []


def test_image_root_that_is_no_path_is_refused(cohorts: Frames, make_citab: Make) -> None:
    for root in (3, {"north": 3}):
        with pytest.raises(TypeError, match="image_root must be None or a path, got 3"):
            make_citab(image_root=root).fit(cohorts)


def test_broken_header_encoder_is_told_before_any_photo_is_read(
    cohorts: Frames, photo_log: Any, make_citab: Make
) -> None:
    pretrainer = make_citab(
        image_loader=photo_log.loader, header_encoder=lambda texts: np.zeros((1, 3))
    )
    with pytest.raises(ValueError, match="header encoder must return"):
        pretrainer.fit(cohorts)
    assert photo_log.names() == []


# --- photos --------------------------------------------------------------------------------------


def pooled_convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_image_encoder_may_be_the_users_own(cohorts: Frames, make_citab: Make) -> None:
    pretrainer = make_citab(image_encoder=pooled_convolution).fit(cohorts)
    assert pretrainer.transform_images(cohorts).shape == (40, 3)
    assert "train_matching" in pretrainer.history_[0]


def test_image_encoder_that_is_not_kept_is_gone_with_all_that_sees_photos(
    stacked: pd.DataFrame, make_citab: Make
) -> None:
    params = {"cohort_column": "clinic"}
    whole = make_citab(**params).fit(stacked)
    slim = make_citab(**params, keep_image_encoder=False).fit(stacked)
    np.testing.assert_array_equal(slim.transform(stacked), whole.transform(stacked))
    assert {name.split(".")[0] for name in slim.network_.arrays} == {"cells", "transformer"}
    with pytest.raises(AttributeError, match="keep_image_encoder=False"):
        slim.transform_images(stacked)


def test_rows_without_photo_embed_as_nan_and_train_all_the_same(
    with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    some = with_vectors.copy()
    some["photo"] = [None if row % 3 == 0 else v for row, v in enumerate(some["photo"])]
    pretrainer = make_citab(cohort_column="clinic", lambda_mtr=0.5).fit(some)
    found = pretrainer.transform_images(some)
    assert np.isnan(found[::3]).all() and np.isfinite(found[1::3]).all()
    few = with_vectors.copy()
    few["photo"] = [v if row in (3, 4) else None for row, v in enumerate(few["photo"])]
    rare = make_citab(cohort_column="clinic", batch_size=8).fit(few)
    assert np.isfinite(rare.transform(few)).all()


def test_photos_come_beside_a_frame_as_image_paths(stacked: pd.DataFrame, make_citab: Make) -> None:
    plain = stacked.drop(columns="photo")
    by_paths = make_citab(image_column=None, cohort_column="clinic")
    by_paths.fit(plain, image_paths=list(stacked["photo"]))
    by_column = make_citab(cohort_column="clinic").fit(stacked)
    np.testing.assert_array_equal(by_paths.transform(plain), by_column.transform(plain))


def test_groups_never_stand_against_each_other(
    with_vectors: pd.DataFrame, make_citab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    draw = citab.draw_hard_negatives
    monkeypatch.setattr(
        citab,
        "draw_hard_negatives",
        lambda similarity, excluded, generator: (
            seen.append(excluded) or draw(similarity, excluded, generator)
        ),
    )
    patients = with_vectors.assign(patient="p1")
    pretrainer = make_citab(
        cohort_column="clinic", group_column="patient", validation_fraction=None
    )
    pretrainer.fit(patients)
    assert all(excluded.all() for excluded in seen)
    pretrainer.set_params(negatives="batch").fit(patients)
    # "p1" of one clinic is somebody else in the other.
    assert any(not excluded.all() for excluded in seen)
    assert "patient" not in pretrainer.feature_names_in_
    np.testing.assert_array_equal(
        pretrainer.transform(with_vectors), pretrainer.transform(patients)
    )


# --- unlabeled rows, weights ---------------------------------------------------------------------


def test_unlabeled_rows_equal_further_rows(
    with_vectors: pd.DataFrame, make_citab: Make, weights: Any, assert_equal_weights: Any
) -> None:
    make = lambda: make_citab(cohort_column="clinic")  # noqa: E731
    whole = make().fit(with_vectors)
    # All of one cohort, none of the other.
    by_frame = make().fit(with_vectors[:24], unlabeled=Unlabeled(with_vectors[24:]))
    further = {"south": with_vectors[24:]}
    by_mapping = make().fit(with_vectors[:24], unlabeled=Unlabeled(further))
    for parts in (by_frame, by_mapping):
        assert_equal_weights(weights(parts), weights(whole))
        np.testing.assert_array_equal(parts.transform(with_vectors), whole.transform(with_vectors))


def test_sample_weight_follows_its_rows(with_vectors: pd.DataFrame, make_citab: Make) -> None:
    weight = np.linspace(0.0, 3.0, 40)
    pretrainer = make_citab(cohort_column="clinic", lambda_mtr=0.5)
    plain = pretrainer.fit(with_vectors).transform(with_vectors)
    uneven = pretrainer.fit(with_vectors, sample_weight=weight).transform(with_vectors)
    assert not np.array_equal(plain, uneven)
    mapping = dict(iter(with_vectors.groupby("clinic")))
    same = pretrainer.fit(mapping, sample_weight=weight).transform(mapping)
    np.testing.assert_array_equal(same, uneven)
    with pytest.raises(ValueError, match="sample_weight"):
        pretrainer.fit(with_vectors, sample_weight=weight[:24])


# --- going on ------------------------------------------------------------------------------------


def test_warm_start_goes_on_with_the_cohorts_that_it_knows(
    with_vectors: pd.DataFrame, make_citab: Make, weights: Any
) -> None:
    pretrainer = make_citab(cohort_column="clinic", warm_start=True)
    first = weights(pretrainer.fit(with_vectors))
    second = weights(pretrainer.fit(with_vectors.assign(pressure=np.nan)))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    pretrainer.fit(with_vectors[24:])
    with pytest.raises(ValueError, match=r"cohorts \['west'\] are not known"):
        pretrainer.fit(with_vectors.assign(clinic="west"))
    moved = with_vectors.assign(mass=1.0)
    with pytest.raises(ValueError, match=r"'north' must have.*not known: \['mass'\]"):
        pretrainer.fit(moved)
    with pytest.raises(ValueError, match="set them back"):
        pretrainer.set_params(dim=16).fit(with_vectors)


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 2:
            raise RuntimeError("power cut")


def test_interrupted_fit_goes_on_from_its_checkpoint(
    with_vectors: pd.DataFrame,
    tmp_path: Path,
    make_citab: Make,
    weights: Any,
    assert_equal_weights: Any,
) -> None:
    params = {"cohort_column": "clinic", "max_epochs": 4, "batch_size": 8}
    params |= {"validation_fraction": 0.4, "lambda_mtr": 0.5}
    whole = make_citab(**params).fit(with_vectors)
    with pytest.raises(RuntimeError, match="power cut"):
        make_citab(callbacks=[PowerCut()], checkpoint_dir=tmp_path, **params).fit(with_vectors)
    described = make_citab(
        checkpoint_dir=tmp_path, column_descriptions={"mass": "body mass"}, **params
    ).fit(with_vectors)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make_citab(checkpoint_dir=tmp_path, **params).fit(with_vectors)
    assert_equal_weights(weights(resumed), weights(whole))
    assert any(
        not np.array_equal(described.network_.arrays[name], array)
        for name, array in whole.network_.arrays.items()
    )
    assert not any(tmp_path.iterdir())


# --- experts -------------------------------------------------------------------------------------


def test_use_of_the_experts_is_told_for_each_block(
    with_vectors: pd.DataFrame, make_citab: Make
) -> None:
    params = {"cohort_column": "clinic", "n_layers": 2, "n_experts": 3}
    pretrainer = make_citab(**params).fit(with_vectors)
    assert len(pretrainer.gate_statistics_) == 2
    for block in pretrainer.gate_statistics_:
        assert set(block) == {"relative_entropy", "share"}
        assert type(block["relative_entropy"]) is float and 0 < block["relative_entropy"] <= 1
        assert len(block["share"]) == 3 and sum(block["share"]) == pytest.approx(1.0)
        assert all(type(share) is float for share in block["share"])
    again = make_citab(**params).fit(with_vectors)
    assert again.gate_statistics_ == pretrainer.gate_statistics_


# --- what is probably meant otherwise ------------------------------------------------------------


def test_group_column_that_no_cohort_has_is_refused(cohorts: Frames, make_citab: Make) -> None:
    grouped = {name: frame.assign(patient=1) for name, frame in cohorts.items()}
    with pytest.raises(ValueError, match=r"group_column='pateint' is not a column of any cohort"):
        make_citab(group_column="pateint").fit(grouped)


def test_unlabeled_rows_without_a_column_of_their_cohort_are_refused(
    cohorts: Frames, make_citab: Make
) -> None:
    other = cohorts["south"].drop(columns="width")
    with pytest.raises(ValueError, match=r"cohort 'table' have none of its columns .*a mapping"):
        make_citab().fit(cohorts["north"], unlabeled=Unlabeled(other))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a mapping of cohorts without any cohort"),
        ([pd.DataFrame({"a": [1.0]})], "a list of frames: give a mapping"),
    ],
)
def test_container_without_named_cohorts_is_refused(
    given: Any, message: str, make_citab: Make
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make_citab().fit(given)


def test_weights_by_cohort_are_refused(cohorts: Frames, make_citab: Make) -> None:
    weights = {name: np.ones(len(frame)) for name, frame in cohorts.items()}
    with pytest.raises(TypeError, match="one array over the rows of all cohorts"):
        make_citab().fit(cohorts, sample_weight=weights)


def test_column_cannot_be_declared_twice(stacked: pd.DataFrame, make_citab: Make) -> None:
    for name in ("cohort_column", "group_column"):
        with pytest.raises(ValueError, match="column 'photo' is declared twice"):
            make_citab(**{name: "photo"}).fit(stacked)


def test_frame_that_names_its_cohort_otherwise_than_the_mapping_is_refused(
    cohorts: Frames, make_citab: Make
) -> None:
    contrary = {**cohorts, "south": cohorts["south"].assign(clinic="north")}
    with pytest.raises(ValueError, match="frame of cohort 'south' calls its rows 'north'"):
        make_citab(cohort_column="clinic").fit(contrary)


def test_header_that_stands_twice_at_transform_is_refused(
    pretrainer: CITabPretrainer, cohorts: Frames
) -> None:
    north = cohorts["north"]
    twice = pd.concat([north, north[["width"]]], axis=1)
    with pytest.raises(ValueError, match=r"cohort 'north': .*more than one column named 'width'"):
        pretrainer.transform({"north": twice})


def test_mistyped_cohort_is_told_what_may_be_meant(
    pretrainer: CITabPretrainer, cohorts: Frames
) -> None:
    with pytest.raises(ValueError, match=r"is it 'north'.*all of whose columns are known"):
        pretrainer.transform({"nort": cohorts["north"]})


def test_column_of_another_kind_names_its_cohort(
    pretrainer: CITabPretrainer, cohorts: Frames
) -> None:
    words = {**cohorts, "south": cohorts["south"].assign(mass="much")}
    with pytest.raises(ValueError, match=r"cohort 'south': .*'mass'"):
        pretrainer.transform(words)


@pytest.mark.parametrize("order", [("upper", "lower"), ("lower", "upper")])
def test_new_cohort_is_scaled_by_the_very_header_before_other_spellings(
    order: tuple[str, str], make_citab: Make
) -> None:
    rng = np.random.default_rng(0)
    cohorts = {
        "lower": pd.DataFrame({"sbp": rng.normal(16, 2, 40), "age": rng.normal(60, 10, 40)}),
        "upper": pd.DataFrame({"SBP": rng.normal(120, 15, 40), "Age": rng.normal(720, 120, 40)}),
    }
    pre = make_citab(image_column=None, on_new_columns="embed")
    pre.fit({name: cohorts[name] for name in order})
    with pytest.warns(UserWarning, match="embedded by their headers"):
        found = pre.transform({"new": cohorts["upper"]})
    np.testing.assert_allclose(found, pre.transform({"upper": cohorts["upper"]}), atol=1e-5)


def test_frame_of_a_mapping_keeps_the_index(pretrainer: CITabPretrainer, cohorts: Frames) -> None:
    later = {name: frame.set_axis(frame.index + 100) for name, frame in cohorts.items()}
    expected = pretrainer.transform(later)
    found = copy.deepcopy(pretrainer).set_output(transform="pandas").transform(later)
    assert found.index.tolist() == [*later["north"].index, *later["south"].index]
    assert found.columns[0] == "citabpretrainer0"
    np.testing.assert_array_equal(found.to_numpy(), expected)


def test_cohorts_that_teach_nothing_are_told(with_vectors: pd.DataFrame, make_citab: Make) -> None:
    without = with_vectors.copy()
    without.loc[24:, "photo"] = None
    pre = make_citab(cohort_column="clinic")
    with pytest.warns(UserWarning, match=r"nothing is learned from the rows of \['south'\]"):
        pre.fit(without)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(pre).set_params(lambda_mtr=1.0).fit(without)
    alone = with_vectors.assign(clinic=np.arange(40))
    with pytest.raises(ValueError, match="none of the 40 cohorts has two photos to compare"):
        clone(pre).fit(alone)
