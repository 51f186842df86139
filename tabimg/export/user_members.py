"""Estimators of a user in a blend: they cannot be exported."""

from __future__ import annotations

from collections.abc import Sequence

from tabimg.messages import listing
from tabimg.training.blending import Member
from tabimg.training.user_models import UserModel


def refuse_user_members(members: Sequence[Member]) -> None:
    """Raise a TypeError that names the members that are estimators of a user."""
    own = list(dict.fromkeys(m.name for m in members if isinstance(m.model, UserModel)))
    if own:
        raise TypeError(
            f"the members [{listing(own)}] cannot be exported: they are estimators of other "
            "libraries, given as members=. Fit with members=None to export the rest of the blend"
        )
