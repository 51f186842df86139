"""Scores equal hand counts and scikit-learn's; classes may be missing on either side."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, mean_squared_error, roc_auc_score

from tabimg.evaluation.metrics import METRICS, metric_names, score_predictions

LABELS = np.array(["ash", "fir", "oak"])


def random_case(n_rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = LABELS[np.arange(n_rows) % 3]
    probabilities = rng.dirichlet(np.ones(3), size=n_rows)
    return truth, LABELS[probabilities.argmax(axis=1)], probabilities


def test_classification_scores_equal_those_of_sklearn() -> None:
    truth, predicted, probabilities = random_case()
    scores = score_predictions("classification", truth, predicted, probabilities, LABELS)
    assert list(scores) == metric_names("classification")
    assert scores["accuracy"] == np.mean(truth == predicted)
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert scores["log_loss"] == pytest.approx(log_loss(truth, probabilities))
    assert scores["auc"] == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))


def test_two_classes_auc_is_that_of_the_second() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=50)
    second = rng.random(50)
    probabilities = np.column_stack([1 - second, second])
    scores = score_predictions("classification", truth, second > 0.5, probabilities, [0, 1])
    assert scores["auc"] == pytest.approx(roc_auc_score(truth, second))


def test_class_absent_from_test_rows_is_left_out_of_the_means() -> None:
    truth, predicted, probabilities = random_case()
    kept = truth != "oak"
    scores = score_predictions(
        "classification", truth[kept], predicted[kept], probabilities[kept], LABELS
    )
    recalls = [np.mean(predicted[truth == name] == name) for name in ("ash", "fir")]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    areas = [
        roc_auc_score(truth[kept] == name, probabilities[kept, column])
        for column, name in enumerate(("ash", "fir"))
    ]
    assert scores["auc"] == pytest.approx(np.mean(areas))


def test_class_unknown_to_the_model_is_wrong_unranked_and_costly() -> None:
    truth = np.array(["ash", "fir", "oak", "oak"])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]])
    predicted = np.array(["ash", "fir", "ash", "fir"])
    scores = score_predictions("classification", truth, predicted, probabilities, ["ash", "fir"])
    assert scores["accuracy"] == 0.5
    assert scores["balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["auc"] == pytest.approx((1 + 1 + 0.5) / 3)
    floor = np.finfo(np.float64).eps
    expected = -np.mean(np.log([0.9, 0.8, floor, floor]))
    assert scores["log_loss"] == pytest.approx(expected)


def test_single_class_in_test_rows_has_no_auc() -> None:
    scores = score_predictions(
        "classification",
        ["ash"] * 2,
        ["ash", "fir"],
        np.array([[0.6, 0.4], [0.1, 0.9]]),
        LABELS[:2],
    )
    assert np.isnan(scores["auc"])
    assert scores["balanced_accuracy"] == 0.5


def test_regression_scores_equal_hand_counts() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=40)
    predicted = truth + rng.normal(size=40)
    scores = score_predictions("regression", truth, predicted)
    assert list(scores) == metric_names("regression")
    relative = mean_squared_error(truth, predicted) / np.var(truth)
    assert scores["relative_mse"] == pytest.approx(relative)
    assert scores["r2"] == pytest.approx(1 - relative)
    assert scores["mae"] == pytest.approx(np.mean(np.abs(truth - predicted)))


def test_mean_of_test_rows_has_relative_mse_of_one() -> None:
    truth = np.array([1.0, 2.0, 6.0])
    assert score_predictions("regression", truth, np.full(3, 3.0))["relative_mse"] == 1.0


def test_constant_target_has_no_relative_score() -> None:
    scores = score_predictions("regression", [2.0, 2.0], [2.0, 3.0])
    assert np.isnan(scores["r2"]) and np.isnan(scores["relative_mse"])
    assert scores["mae"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ranking", [1.0], [1.0]), "task must be one of"),
        (("regression", [1.0, 2.0], [1.0]), "of equal length"),
        (("regression", [], []), "not empty"),
        (("regression", [1.0, 2.0], [1.0, np.nan]), "not finite, first in row 1"),
        (("classification", ["a"], ["a"]), "also needs probabilities and classes"),
        (("classification", ["a"], ["a"], np.ones((1, 3)), ["a", "b"]), "one column per class"),
        (("classification", ["a"], ["a"], np.array([[np.nan, 1]]), ["a", "b"]), "first in row 0"),
    ],
)
def test_bad_input_is_refused_by_name(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_predictions(*arguments)


def test_every_metric_says_its_direction_and_label() -> None:
    assert METRICS["accuracy"].greater_is_better and not METRICS["log_loss"].greater_is_better
    assert METRICS["relative_mse"].task == "regression"
    assert set(metric_names("classification")) | set(metric_names("regression")) == set(METRICS)
