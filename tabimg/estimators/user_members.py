"""Which members a blend has, by the user: own ones, and ones left out; checked beforehand."""

from __future__ import annotations

from typing import Any

from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator

from tabimg.messages import listing, shorten
from tabimg.training.candidates import ALWAYS, BUILT_IN, STUDENT, WITH_EMBEDDING
from tabimg.training.user_models import UserEstimator, UserModel

# What a name may not end with: the candidates that are made of a user's estimator do.
ENDINGS = (WITH_EMBEDDING, STUDENT)


def check_user_members(estimator: Any) -> None:
    """Check the parameters ``members`` and ``excluded_members``.

    Raises
    ------
    TypeError, ValueError
        Naming the member and what to do.
    """
    _check_excluded(estimator)
    given = estimator.members
    if given is None:
        return
    if estimator.finetune != "auto":
        raise ValueError(
            f"members join the blend of finetune='auto', and finetune is {estimator.finetune!r}"
        )
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in given
    ):
        raise TypeError(
            "members must be a list of pairs of name and estimator, such as "
            f"[('boosting2', HistGradientBoostingRegressor())], got {shorten(given)}"
        )
    names = [name for name, _ in given]
    for name, member in given:
        _check_name(name)
        _check_member(name, member, classifies=is_classifier(estimator))
    if len(set(names)) < len(names):
        raise ValueError(f"members must have different names, got {listing(names)}")


def _check_excluded(estimator: Any) -> None:
    given = estimator.excluded_members
    if given is None:
        return
    if isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
        raise TypeError(
            "excluded_members must be a list of names, such as ['network'], got " + shorten(given)
        )
    unknown = [name for name in given if name not in BUILT_IN]
    if unknown:
        raise ValueError(
            f"excluded_members has {listing(unknown)}; a blend has {', '.join(sorted(BUILT_IN))}"
        )
    if given and estimator.finetune != "auto":
        raise ValueError(
            "excluded_members leaves members out of the blend of finetune='auto', and finetune is "
            f"{estimator.finetune!r}"
        )
    if not estimator.members and set(ALWAYS) <= set(given):
        raise ValueError(
            f"excluded_members leaves out all of {listing(ALWAYS)}: keep one, or give members"
        )


def user_estimators(estimator: Any) -> list[UserEstimator]:
    """Return the ``members`` of an estimator that has learned its target."""
    labels = getattr(estimator, "classes_", None)
    return [UserEstimator(name, own, labels) for name, own in estimator.members or []]


def holds_user_models(estimator: Any) -> bool:
    """Return whether a fitted estimator predicts with estimators of a user."""
    members = getattr(estimator, "members_", [])
    return any(isinstance(member.model, UserModel) for member in members)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a member's name must be a text that is not empty, got {shorten(name)}")
    if name in BUILT_IN or name.endswith(ENDINGS):
        raise ValueError(
            f"a member cannot be named {shorten(name)}: that is a name of the blend's own; it has "
            f"{', '.join(sorted(BUILT_IN))}, and names that end with {' or '.join(ENDINGS)}"
        )


def _check_member(name: str, member: Any, classifies: bool) -> None:
    if isinstance(member, FrozenEstimator):
        raise TypeError(
            f"the member {name!r} is frozen, and was fitted on other columns: give it unfitted"
        )
    if isinstance(member, type) or not hasattr(member, "fit") or not hasattr(member, "get_params"):
        raise TypeError(
            f"the member {name!r} must be an unfitted scikit-learn estimator, got {shorten(member)}"
        )
    wanted = "predict_proba" if classifies else "predict"
    if not hasattr(member, wanted) or is_classifier(member) != classifies:
        kind = "classifier with predict_proba" if classifies else "regressor"
        raise TypeError(f"the member {name!r} must be a {kind}, got {type(member).__name__}")
