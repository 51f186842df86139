"""What estimators take, with which defaults, and what their docstrings say about it."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest
from sklearn.base import BaseEstimator, clone

from tabimg import (
    CITabClassifier,
    CITabPretrainer,
    CITabRegressor,
    MTCMTMClassifier,
    MTCMTMRegressor,
    MultiModalPretrainer,
)

FINE_TUNED = [MTCMTMClassifier, MTCMTMRegressor, CITabClassifier, CITabRegressor]
ESTIMATORS = [MultiModalPretrainer, CITabPretrainer, *FINE_TUNED]
# What a method or a kind of target has of its own.
OWN = {
    MTCMTMClassifier: {"class_weight", "tabular_encoder", "embedding_dim"},
    MTCMTMRegressor: {"loss", "tabular_encoder", "embedding_dim"},
}


def documented(estimator: type) -> dict[str, tuple[str, str]]:
    """The line of types and the description of each parameter, as the docstring has them."""
    doc = inspect.getdoc(estimator) or ""
    section = doc.split("Parameters\n----------\n")[1].split("\n\nAttributes\n")[0]
    found = {}
    for block in re.split(r"\n(?=\S)", section):
        head, _, text = block.partition("\n")
        names, _, kind = head.partition(" : ")
        found.update({name: (kind, inspect.cleandoc(text)) for name in names.split(", ")})
    return found


def defaults(estimator: type) -> dict[str, Any]:
    signature = inspect.signature(estimator)
    return {name: parameter.default for name, parameter in signature.parameters.items()}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_docstring_names_every_parameter_with_its_default(estimator: type[BaseEstimator]) -> None:
    said = documented(estimator)
    taken = defaults(estimator)
    assert said.keys() == taken.keys()
    for name, (kind, _) in said.items():
        default = ast.literal_eval(kind.rpartition("default=")[2])
        assert default == taken[name] and type(default) is type(taken[name]), name


@pytest.mark.parametrize(
    ("classifier", "regressor"),
    [(MTCMTMClassifier, MTCMTMRegressor), (CITabClassifier, CITabRegressor)],
)
def test_classifier_and_regressor_differ_by_what_belongs_to_the_target(
    classifier: type, regressor: type
) -> None:
    ours, theirs = documented(classifier), documented(regressor)
    assert ours.keys() ^ theirs.keys() == {"class_weight", "loss"}
    assert {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]} <= {
        "validation_fraction"
    }


@pytest.mark.parametrize("estimator", FINE_TUNED)
def test_parameters_of_fine_tuning_are_the_same_for_all_methods(
    estimator: type[BaseEstimator],
) -> None:
    shared = defaults(MTCMTMClassifier).keys() - OWN[MTCMTMClassifier]
    ours, theirs = defaults(MTCMTMClassifier), defaults(estimator)
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_constructor_keeps_the_very_objects_that_it_is_given(
    estimator: type[BaseEstimator],
) -> None:
    given = {name: object() for name in defaults(estimator)}
    made = estimator(**given)
    assert vars(made) == given
    assert all(made.get_params(deep=False)[name] is value for name, value in given.items())


@pytest.mark.parametrize("estimator", FINE_TUNED)
def test_pretrainer_may_come_first_and_all_else_by_name_only(
    estimator: type[BaseEstimator],
) -> None:
    pretrainer = estimator.pretrainer_class()
    made = estimator(pretrainer)
    assert made.pretrainer is pretrainer
    assert repr(clone(made)) == f"{estimator.__name__}(pretrainer={pretrainer!r})"
    with pytest.raises(TypeError, match="positional argument"):
        estimator(pretrainer, "photo")
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rate'"):
        estimator(learning_rate=0.1)
