"""Labels, probabilities and class weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.mark.parametrize(
    ("names", "dtype"),
    [
        (["low", "middle", "high"], object),
        (["low", "middle", "high"], "U6"),
        ([10, -3, 7], np.int64),
        ([0.0, 1.0, 2.0], np.float64),
        ([False, True], bool),
        (["no", "yes"], object),
        ([2, 1], np.int32),
    ],
)
def test_labels_of_every_kind_come_back_as_they_were(
    names: list[Any], dtype: Any, table: pd.DataFrame, make: Any
) -> None:
    y = np.array(names, dtype=dtype)[np.arange(40) % len(names)]
    classifier = make.classifier().fit(table, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(y))
    prediction = classifier.predict(table)
    assert prediction.dtype == y.dtype
    assert set(prediction) <= set(y)
    assert classifier.predict_proba(table).shape == (40, len(names))


@pytest.mark.parametrize("container", [list, pd.Series, pd.Categorical])
def test_labels_may_come_in_other_containers(
    container: Any, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    expected = make.classifier().fit(table, labels).predict_proba(table)
    given = make.classifier().fit(table, container(labels))
    np.testing.assert_array_equal(given.predict_proba(table), expected)


def test_column_of_labels_is_flattened_with_a_warning(
    table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with pytest.warns(DataConversionWarning):
        classifier = make.classifier().fit(table, labels.reshape(-1, 1))
    assert classifier.predict(table).shape == (40,)


@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_probabilities_sum_to_one_and_agree_with_scores_and_labels(
    n_classes: int, table: pd.DataFrame, make: Any
) -> None:
    y = np.arange(40) % n_classes
    classifier = make.classifier(n_members=2).fit(table, y)
    probabilities = classifier.predict_proba(table)
    scores = classifier.decision_function(table)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert (probabilities >= 0).all()
    best = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(classifier.predict(table), classifier.classes_[best])
    if n_classes == 2:
        assert scores.shape == (40,)
        np.testing.assert_array_equal(scores > 0, best == 1)
        np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probabilities[:, 1], atol=1e-9)
    else:
        assert scores.shape == (40, n_classes)
        np.testing.assert_array_equal(scores.argmax(axis=1), best)


def test_class_weight_draws_predictions_to_the_heavy_class(
    table: pd.DataFrame, frozen: Any, make: Any
) -> None:
    y = np.where(np.random.default_rng(0).random(40) < 0.3, "rare", "often")

    def mean_rare(class_weight: Any) -> float:
        classifier = make.classifier(
            pretrainer=frozen, finetune="frozen", class_weight=class_weight
        )
        return float(classifier.fit(table, y).predict_proba(table)[:, 1].mean())

    plain = mean_rare(None)
    assert mean_rare({"rare": 20.0, "often": 1.0}) > plain + 0.2
    assert mean_rare("balanced") > plain + 0.1
    counts = {name: 40 / (2 * (y == name).sum()) for name in ("rare", "often")}
    assert mean_rare("balanced") == pytest.approx(mean_rare(counts), abs=1e-6)


def test_class_weight_multiplies_sample_weight(
    table: pd.DataFrame, labels: np.ndarray, frozen: Any, make: Any
) -> None:
    weight = np.linspace(0.5, 2.0, 40)
    weight_of = {"low": 1.0, "middle": 3.0, "high": 0.5}
    both = make.classifier(pretrainer=frozen, finetune="frozen", class_weight=weight_of)
    product = make.classifier(pretrainer=frozen, finetune="frozen")
    both.fit(table, labels, sample_weight=weight)
    product.fit(table, labels, sample_weight=weight * [weight_of[name] for name in labels])
    np.testing.assert_allclose(both.predict_proba(table), product.predict_proba(table), atol=1e-6)


def test_single_class_is_refused(table: pd.DataFrame, make: Any) -> None:
    with pytest.raises(ValueError, match="1 class"):
        make.classifier().fit(table, np.zeros(40, dtype=int))


def test_class_of_one_row_is_kept(table: pd.DataFrame, make: Any) -> None:
    y = np.array(["a"] * 20 + ["b"] * 19 + ["once"])
    classifier = make.classifier().fit(table, y)
    assert list(classifier.classes_) == ["a", "b", "once"]


def test_one_row_a_class_is_enough(table: pd.DataFrame, frozen: Any, make: Any) -> None:
    y = np.arange(10)
    for pretrainer, finetune in ((None, "auto"), (frozen, "auto"), (frozen, "frozen")):
        classifier = make.classifier(pretrainer=pretrainer, finetune=finetune)
        assert np.isfinite(classifier.fit(table[:10], y).predict_proba(table)).all()


def test_fractions_as_labels_are_refused(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="Unknown label type"):
        make.classifier().fit(table, target)


def test_missing_label_is_refused(table: pd.DataFrame, make: Any) -> None:
    for y in ([1.0, np.nan] * 20, ["a", np.nan] * 20, ["a", None] * 20):
        with pytest.raises(ValueError, match=r"NaN|missing"):
            make.classifier().fit(table, np.array(y, dtype=object))


def test_class_weight_of_unknown_class_is_refused(
    table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="class_weight"):
        make.classifier(class_weight="even").fit(table, labels)
    with pytest.raises(ValueError, match="not in class_weight"):
        make.classifier(class_weight={"medium": 2.0}).fit(table, labels)
