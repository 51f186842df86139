"""The diagnostic says of worlds whose truth is known what is true of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tabimg.datasets import make_membranes
from tabimg.evaluation import StudyResult, photo_share, photo_value
from tabimg.evaluation.data import outer_folds
from tabimg.evaluation.photo_value import estimate
from tabimg.image import ImageReadError
from tabimg.nn import LockedEncoder
from tabimg.training import blending, distillation, forest
from tabimg.training.tasks import Regression

N_ROWS, N_COLUMNS = 160, 25
SMALL = {
    "image_column": "photo",
    "label_fractions": [0.1],
    "n_folds": 2,
    "image_encoder": None,
    "thumbnail_size": 8,
    "n_components": 8,
}


@pytest.fixture(autouse=True)
def cheap_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forests and learning curves be small, few penalties be tried, and two folds weigh blends.

    Slow tests take the models as they are: their verdicts would be others, and processes of their
    own do not know of smaller ones.
    """
    if "slow" in request.keywords:
        return
    monkeypatch.setattr(estimate, "CURVE", (0.1, 0.5))
    monkeypatch.setattr(Regression, "penalties", Regression.penalties[::3])
    monkeypatch.setattr(blending, "N_FOLDS", 2)
    monkeypatch.setattr(forest, "N_TREES", 6)
    monkeypatch.setattr(forest, "TREES_AT_ONCE", 6)
    monkeypatch.setattr(distillation, "STUDENT_ROUNDS", 10)


def paint(shade: np.ndarray) -> pd.Series:
    """Paint one plain picture a row, the brighter the larger its number."""
    levels = np.clip(128 + 40 * shade, 0, 255).astype(int)
    cells = [Image.new("RGB", (12, 12), (level, level, level)) for level in levels.tolist()]
    return pd.Series(cells, dtype=object)


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Give many columns without photos, and the number that all of them sum up to."""
    columns = np.random.default_rng(0).standard_normal((N_ROWS, N_COLUMNS))
    frame = pd.DataFrame(columns, columns=[f"c{number}" for number in range(N_COLUMNS)])
    return frame, columns.sum(axis=1) / np.sqrt(N_COLUMNS)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(N_ROWS)


@pytest.fixture(scope="module")
def paying(world: tuple[pd.DataFrame, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Give photos that show the sum, and a target that is the sum with little noise."""
    frame, total = world
    return frame.assign(photo=paint(total)), total + 0.1 * noise(1)


def test_photos_that_show_what_columns_sum_up_to_pay(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    value = photo_value(*paying, **{**SMALL, "n_folds": 5})
    assert value.verdict == "likely_to_pay"
    assert value.budgets_that_pay == value.budgets == ["10 %"]
    frame = value.to_frame().set_index(["question", "what"])
    assert frame.loc[("says", "photos"), "score"] < 0.1
    assert frame.loc[("says", "constant"), "score"] == pytest.approx(1.0, abs=0.1)
    assert frame.loc[("taught", "taught"), "gain"] > 0.1
    assert abs(frame.loc[("taught", "shuffled"), "gain"]) < 0.15
    assert frame.loc[("carried", "message"), "score"] > 0.4
    text = str(value)
    assert "likely to pay with 10 % of the labels" in text
    assert "160 rows with a photo; 5 folds" in text


def test_classes_are_taught_by_photos_as_numbers_are(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    kind = np.where(y > np.median(y), "high", "low")
    value = photo_value(X, kind, **SMALL)
    frame = value.to_frame().set_index(["question", "what"])
    assert value.metric == "accuracy"
    assert frame.loc[("says", "photos"), "score"] > 0.85
    assert frame.loc[("says", "constant"), "score"] == pytest.approx(0.5, abs=0.05)
    assert frame.loc[("taught", "taught"), "gain"] > 0.03
    assert frame.loc[("taught", "taught"), "score"] > frame.loc[("taught", "shuffled"), "score"]


@pytest.mark.parametrize("what", ["photos", "target"])
def test_photos_without_relation_to_the_target_say_nothing(
    paying: tuple[pd.DataFrame, np.ndarray], what: str
) -> None:
    X, y = paying
    order = np.random.default_rng(5).permutation(N_ROWS)
    if what == "photos":
        X = X.assign(photo=X["photo"].to_numpy()[order])
    else:
        y = y[order]
    value = photo_value(X, y, **{**SMALL, "n_folds": 3})
    assert value.verdict == "nothing_to_say"
    assert "say nothing about the target" in str(value)


def test_what_columns_cannot_carry_is_told_from_what_they_can(
    world: tuple[pd.DataFrame, np.ndarray],
) -> None:
    frame, _ = world
    hidden = noise(2)
    value = photo_value(frame.assign(photo=paint(hidden)), hidden, **SMALL)
    assert value.verdict == "not_carried"
    assert value.carried["message"].mean() < 0.1


def test_column_that_is_nearly_the_target_leaves_photos_nothing_to_teach(
    world: tuple[pd.DataFrame, np.ndarray],
) -> None:
    frame, total = world
    table = frame[["c0"]].assign(total=total + 0.01 * noise(3), photo=paint(total))
    value = photo_value(table, total, **{**SMALL, "label_fractions": [0.5]})
    assert value.verdict == "nothing_left"
    assert value.carried["message"].mean() > 0.8


def test_shares_carried_are_those_of_the_columns(world: tuple[pd.DataFrame, np.ndarray]) -> None:
    frame, _ = world
    # Half of the shade's variance is the sum of two columns, which both models find easily.
    pair = (frame["c0"] + frame["c1"]).to_numpy() / np.sqrt(2)
    shade = (pair + noise(4)) / np.sqrt(2)
    table = frame[["c0", "c1"]].assign(photo=paint(shade))
    carried = photo_value(table, shade, **SMALL).carried
    assert carried["photos"].mean() == pytest.approx(0.5, abs=0.15)
    assert carried["message"].mean() == pytest.approx(0.5, abs=0.15)


def test_scores_are_those_of_a_study_on_equal_folds(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    grouped = X.assign(batch=np.arange(N_ROWS) // 2)
    given = {**SMALL, "n_draws": 2, "group_column": "batch", "metric": "r2"}
    value = photo_value(grouped, y, **given)
    study = StudyResult(value.scores, "r2")
    # The columns alone are measured at further budgets, a learning curve.
    assert study.budgets == ["10 %", "50 %", "100 %"]
    assert value.budgets == ["10 %"]
    few = value.scores[value.scores["budget"] == "10 %"]
    assert few.groupby(["fold", "draw"])["method"].agg(list).tolist() == (
        [["columns", "taught", "shuffled", "both"]] * 4
    )
    curve = value.scores[value.scores["budget"] == "50 %"]
    assert curve["method"].tolist() == ["columns"] * 4
    assert np.allclose(value.scores["explained"], value.scores["r2"])
    assert set(few["n_labels"]) == {8}
    again = photo_value(grouped, y, **given)
    pd.testing.assert_frame_equal(again.scores, value.scores)
    # The figures of the report are plain means of the scores.
    frame = value.to_frame().set_index(["question", "what"])
    expected = few.loc[few["method"] == "taught", "r2"].mean()
    assert frame.loc[("taught", "taught"), "score"] == pytest.approx(expected)


def test_worth_share_and_reason_are_those_of_a_study(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    value = photo_value(X, y, **{**SMALL, "n_folds": 3})
    study = StudyResult(value.scores, value.metric)
    worths = study.labels_worth(method="taught", reference="columns")
    expected = worths[worths["budget"] == "10 %"].iloc[0]
    worth = value.labels_worth.set_index("method").loc["taught"]
    assert worth["worth"] == expected["worth"] > 1.5
    assert list(value.labels_worth["method"]) == ["taught", "shuffled", "both"]
    share = photo_share(study, "taught", reference="columns", ceiling="both").iloc[0]
    assert value.share.iloc[0]["share"] == share["share"]
    assert 0.3 < share["share"] < 1.1
    why = value.complementarity.iloc[0]
    known = value.scores.query("budget == '10 %' and method == 'columns'")["explained"].mean()
    assert why["known"] == pytest.approx(known)
    assert why["carried"] == pytest.approx(value.carried["message"].mean())
    assert why["difference"] == pytest.approx(why["carried"] - why["known"])
    assert why["difference"] > 0.1
    assert f"worth {worth['worth']:.1f} times the labels" in str(value)


def test_classes_explained_are_the_share_of_their_variance(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    value = photo_value(X, np.where(y > 0, "high", "low"), **SMALL)
    explained = value.scores.groupby("method")["explained"].mean()
    assert explained["constant"] == pytest.approx(0.0, abs=0.05)
    assert 0.5 < explained["photos"] < 1.0


def test_encoder_sees_each_photo_once_for_all_folds(
    paying: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = paying
    n_seen: list[int] = []
    see = LockedEncoder.features

    def counted(self: LockedEncoder, pixels: Any) -> Any:
        n_seen.append(len(pixels))
        return see(self, pixels)

    monkeypatch.setattr(LockedEncoder, "features", counted)
    few = X.iloc[:60].reset_index(drop=True)
    given = {**SMALL, "image_encoder": "efficientnet_lite0", "image_size": 64}
    value = photo_value(few, y[:60], **{**given, "label_fractions": [0.3]})
    n_views = 2
    # Blocks are padded to 64 rows.
    assert sum(n_seen) == 64 * n_views
    assert value.to_frame().set_index(["question", "what"]).loc[("says", "photos"), "gain"] > 0.5
    n_seen.clear()
    again = photo_value(few, y[:60], **{**given, "label_fractions": [0.3]})
    assert not n_seen
    pd.testing.assert_frame_equal(again.scores, value.scores)


def test_test_photos_have_no_part_in_what_photos_teach(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    vectors = np.random.default_rng(6).standard_normal((N_ROWS, 4)) + y[:, None]
    # Centring looks at all rows: sums of such numbers are exact in most orders of the rows.
    vectors = np.round(16.0 * vectors) / 16.0
    before = photo_value(X.assign(photo=list(vectors)), y, **SMALL)
    # Test rows of the first fold get other photos; in the second fold these rows teach.
    test = outer_folds(np.arange(N_ROWS), None, 2, 1, 0)[0].test
    vectors[test] = vectors[test[::-1]]
    after = photo_value(X.assign(photo=list(vectors)), y, **SMALL)
    taught = [
        value.scores[value.scores["method"] == "taught"].set_index("fold")["r2"]
        for value in (before, after)
    ]
    # The components' rounding may still move ties of trees.
    assert taught[1][0] == pytest.approx(taught[0][0], abs=5e-3)
    assert taught[1][1] != pytest.approx(taught[0][1], abs=5e-2)


def test_rows_without_photo_are_left_out_and_counted(
    paying: tuple[pd.DataFrame, np.ndarray],
) -> None:
    X, y = paying
    some = X.assign(photo=X["photo"].where(np.arange(N_ROWS) % 4 > 0, None))
    value = photo_value(some, y, **SMALL)
    assert (value.n_rows, value.n_without_photo) == (120, 40)
    assert "120 rows with a photo (40 without are left out)" in str(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_fractions": [1.0]}, "below 1"),
        ({"label_fractions": []}, "below 1"),
        ({"label_fractions": [0.01]}, "1 % gives 2 labelled rows"),
        ({"label_fractions": [0.95]}, "others with a photo"),
        ({"metric": "accuracy"}, "metric must be one of"),
        ({"image_encoder": "resnet18"}, "no pre-trained weights"),
        ({"image_encoder": "efficientnet_lite0", "image_size": 0}, "image_size == 0, must be"),
        ({"thumbnail_size": 0}, "thumbnail_size must be at least 1"),
        ({"n_components": 0}, "n_components must be at least 1"),
        ({"image_column": "foto"}, "Did you mean 'photo'"),
    ],
)
def test_unfit_parameters_are_refused_by_name(
    paying: tuple[pd.DataFrame, np.ndarray], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        photo_value(*paying, **{**SMALL, **change})


def test_unfit_rows_are_refused(paying: tuple[pd.DataFrame, np.ndarray], tmp_path: Any) -> None:
    X, y = paying
    with pytest.raises(ValueError, match="no row has a photo"):
        photo_value(X.assign(photo=None), y, **SMALL)
    with pytest.raises(ValueError, match="all look alike"):
        photo_value(X.assign(photo=paint(np.zeros(N_ROWS))), y, **SMALL)
    with pytest.raises(ValueError, match="only photo and group columns"):
        photo_value(X[["photo"]], y, **SMALL)
    (tmp_path / "broken.png").write_bytes(b"no image")
    cells = X["photo"].tolist()
    cells[7] = tmp_path / "broken.png"
    broken = X.assign(photo=pd.Series(cells, dtype=object))
    with pytest.raises(ImageReadError, match="row 7"):
        photo_value(broken, y, **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Painted photos of one colour look like each other.
        warnings.filterwarnings("ignore", message=".*look nearly like those of other rows")
        value = photo_value(broken, y, on_bad_image="skip", **SMALL)
    assert value.n_without_photo == 1


@pytest.mark.slow
def test_folds_run_in_processes_of_their_own(paying: tuple[pd.DataFrame, np.ndarray]) -> None:
    alone, side_by_side = (photo_value(*paying, **SMALL, n_jobs=n).scores for n in (None, 2))
    pd.testing.assert_frame_equal(side_by_side, alone, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("shuffles", [False, True])
def test_micrographs_of_membranes_pay_unless_shuffled(shuffles: bool) -> None:
    membranes = make_membranes(n_samples=1000, image_size=32, random_state=0)
    X = membranes.data.assign(recipe=membranes.groups)
    if shuffles:
        X["photo"] = X["photo"].sample(frac=1, random_state=0).to_numpy()
    value = photo_value(
        X, membranes.target, image_column="photo", group_column="recipe", label_fractions=[0.1]
    )
    assert value.verdict == ("nothing_to_say" if shuffles else "likely_to_pay")
