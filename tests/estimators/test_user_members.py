"""Users' own estimators join the blend: on columns, on embeddings, as students and teachers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import tabimg
from tabimg import Unlabeled

pytestmark = pytest.mark.usefixtures("few_folds")


class Recorder(ClassifierMixin, BaseEstimator):
    """Predicts the shares of the classes, and notes what it is fitted on."""

    fitted: ClassVar[list[tuple[tuple[int, ...], np.ndarray]]] = []

    def __init__(self, random_state: Any = None) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Recorder:
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / counts.sum()
        self.fitted.append((X.shape, y))
        assert self.random_state is not None
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]


def test_member_joins_on_columns_on_the_embedding_and_as_a_student(
    frame: pd.DataFrame, labels: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    own = [("neighbours", KNeighborsClassifier(3)), ("tree", DecisionTreeClassifier())]
    classifier = make.classifier(pretrainer=frozen, members=own)
    classifier.fit(frame[:20], labels[:20], unlabeled=Unlabeled(frame[20:]))
    for name in ("neighbours", "tree"):
        for ending in ("", "_with_embedding", "_student"):
            assert name + ending in classifier.weights_
    probabilities = classifier.predict_proba(frame)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-9)
    alone = make.classifier(members=own).fit(frame.drop(columns="photo"), labels)
    assert {"neighbours", "tree"} <= set(alone.weights_)
    assert not any(name.endswith(("_student", "_embedding")) for name in alone.weights_)


def test_member_that_knows_the_answer_takes_over(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    """Only the right family can follow a step in one column."""
    step = np.where(table["pressure"].rank(pct=True).fillna(0) > 0.5, 3.0, -3.0)
    right = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=3))
    regressor = make.regressor(members=[("pipe", right), ("mean", DummyRegressor())])
    regressor.fit(table, step)
    assert regressor.weights_["pipe"] > 2 * regressor.weights_["mean"]
    assert regressor.report_.to_frame()["name"].isin(["pipe", "mean"]).sum() == 2


def test_clones_are_fitted_with_a_seed_and_weights_become_shares(
    table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    given = Recorder()
    Recorder.fitted.clear()
    weight = np.where(labels == labels[0], 3.0, 1.0)
    classifier = make.classifier(members=[("own", given)])
    classifier.fit(table, labels, sample_weight=weight)
    assert not hasattr(given, "classes_") and given.random_state is None
    shape, target = Recorder.fitted[-1]
    assert shape[0] == len(table)
    # It takes no weights: the heavy class is drawn three times as often.
    share = np.mean(target == labels[0])
    heavy = weight[labels == labels[0]].sum() / weight.sum()
    assert share == pytest.approx(heavy, abs=2 / len(table))


def test_class_that_a_fold_lacks_stays_possible(table: pd.DataFrame, make: Any) -> None:
    labels = np.where(np.arange(len(table)) == 0, "rare", "common")
    classifier = make.classifier(members=[("dummy", DummyClassifier())]).fit(table, labels)
    assert (classifier.predict_proba(table) > 0).all()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("columns", Ridge())], "cannot be named 'columns'"),
        ([("a_student", Ridge())], "cannot be named 'a_student'"),
        ([("a", Ridge)], "unfitted scikit-learn estimator"),
        ([("a", LogisticRegression())], "must be a regressor, got LogisticRegression"),
        ([("a", Ridge()), ("a", Ridge())], "different names"),
        ([(3, Ridge())], "must be a text"),
        ([("a", FrozenEstimator(Ridge()))], "is frozen"),
        ({"a": Ridge()}, "list of pairs"),
    ],
)
def test_wrong_members_are_refused_by_name(
    table: pd.DataFrame, target: np.ndarray, make: Any, members: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make.regressor(members=members).fit(table, target)


def test_members_need_a_blend_and_classifiers_need_probabilities(
    table: pd.DataFrame, target: np.ndarray, labels: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="finetune is 'full'"):
        make.regressor(members=[("a", Ridge())], finetune="full").fit(table, target)
    with pytest.raises(TypeError, match="classifier with predict_proba, got KNeighborsRegressor"):
        make.classifier(members=[("a", KNeighborsRegressor())]).fit(table, labels)


def test_estimator_with_members_is_cloned_and_pickled_but_not_saved(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    regressor = make.regressor(members=[("ridge", Ridge(alpha=7.0))])
    copy = clone(regressor)
    assert copy.members[0][1] is not regressor.members[0][1]
    assert copy.members[0][1].alpha == 7.0
    regressor.fit(table, target)
    back = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(back.predict(table), regressor.predict(table))
    with pytest.raises(TypeError, match=r"members= of yours.*joblib"):
        tabimg.save(regressor, tmp_path / "saved")
    with pytest.raises(TypeError, match=r"members= of yours"):
        tabimg.save(regressor.set_params(members=None), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_members_are_given_the_labels_that_the_user_has(table: pd.DataFrame, make: Any) -> None:
    labels = np.where(np.arange(len(table)) % 3 == 0, "rare", "usual")
    weighted = LogisticRegression(class_weight={"rare": 1e6, "usual": 1.0}, max_iter=50)
    classifier = make.classifier(members=[("logistic", weighted)]).fit(table, labels)
    (model,) = [member.model for member in classifier.members_ if member.name == "logistic"]
    assert model.fitted.classes_.tolist() == ["rare", "usual"]
    assert (
        model.fitted.predict(classifier.codec_.to_matrix(classifier._encode(table))) == "rare"
    ).all()


def test_seed_reaches_what_is_nested_in_a_member(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    nested = make_pipeline(StandardScaler(), DecisionTreeRegressor(splitter="random"))
    fits = [make.regressor(members=[("own", nested)]).fit(table, target) for _ in range(2)]
    assert np.array_equal(*(fitted.predict(table) for fitted in fits))


def test_light_class_is_not_lost_to_a_member_without_weights(
    table: pd.DataFrame, make: Any
) -> None:
    labels = np.where(np.arange(len(table)) % 2 == 0, "light", "heavy")
    Recorder.fitted.clear()
    make.classifier(
        members=[("own", Recorder())], class_weight={"light": 1.0, "heavy": 1000.0}
    ).fit(table, labels)
    assert all(set(target) == {"light", "heavy"} for _, target in Recorder.fitted)


class Broken(Ridge):
    """Fails, or predicts what cannot be."""

    def __init__(self, how: str = "fit") -> None:
        super().__init__()
        self.how = how

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        if self.how == "fit":
            raise RuntimeError("boom inside")
        return super().fit(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        if self.how == "shape":
            return np.zeros(3)
        return np.full(len(X), np.nan) if self.how == "nan" else super().predict(X)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fit", r"the member 'broken' failed in fit: RuntimeError: boom inside"),
        ("shape", r"the member 'broken' failed in predict: ValueError"),
        ("nan", r"the member 'broken' predicts NaN or infinity"),
    ],
)
def test_failure_of_a_member_names_it(
    how: str, message: str, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        make.regressor(members=[("broken", Broken(how))]).fit(table, target)


def test_excluded_members_take_no_part_and_the_others_stay_as_they_are(
    frame: pd.DataFrame, labels: np.ndarray, frozen: FrozenEstimator, make: Any
) -> None:
    gone = ["network", "forest_student", "imputed"]
    pairs = Unlabeled(frame[20:])
    whole = make.classifier(pretrainer=frozen).fit(frame[:20], labels[:20], unlabeled=pairs)
    less = make.classifier(pretrainer=frozen, excluded_members=gone, photo_control=True)
    less.fit(frame[:20], labels[:20], unlabeled=pairs)
    assert set(less.weights_) == set(whole.weights_) - set(gone)
    for name, loss in less.validation_losses_.items():
        assert loss == whole.validation_losses_[name]
    assert set(less.report_.controls) == {"shuffled photos", "a teacher without photos"}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"excluded_members": "network"}, "must be a list of names"),
        (
            {"excluded_members": ["networks"]},
            "has 'networks'; a blend has boosted_student, boosting",
        ),
        ({"excluded_members": ["network"], "finetune": "full"}, "finetune is 'full'"),
        (
            {"excluded_members": ["columns", "random_forest", "extra_trees", "network"]},
            "keep one, or give members",
        ),
    ],
)
def test_members_that_cannot_be_excluded_are_named(
    parameters: dict[str, Any], problem: str, table: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        make.classifier(**parameters).fit(table, labels)
