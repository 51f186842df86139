"""Which columns of a frame hold photos, groups and cohorts, and are none of the table's."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabimg.inputs.containers import holds_several
from tabimg.inputs.frames import as_column_list, require_columns
from tabimg.inputs.rows import Rows, take_apart
from tabimg.messages import shorten

_NAMES = ("image_column", "group_column", "cohort_column")


@dataclass(frozen=True)
class DeclaredColumns:
    """What the parameters of an estimator and of its pretrainer say about a frame's columns.

    What the estimator says counts before what the pretrainer says.

    Parameters
    ----------
    own, inherited : mapping of parameter name to its value
        Of the estimator, and of the pretrainer.
    shares_frame : bool
        Whether the pretrainer, if there is one, is fitted on the same frame.
    awaits_photos : bool
        Whether a fit is to come that has seen no photos yet.
    """

    own: Mapping[str, Any]
    inherited: Mapping[str, Any]
    shares_frame: bool = False
    awaits_photos: bool = False

    @classmethod
    def of(cls, estimator: Any, pretrainer: Any) -> DeclaredColumns:
        """Read the parameters of an estimator and of the pretrainer that it was given or found."""
        shares_frame = pretrainer is getattr(estimator, "pretrainer", None)
        return cls(
            _declarations(estimator),
            _declarations(pretrainer),
            shares_frame,
            shares_frame and not hasattr(pretrainer, "network_"),
        )

    def check_distinct(self) -> None:
        """Raise a ValueError if the estimator declares a column twice."""
        special = [column for value in self.own.values() for column in as_column_list(value)]
        for column in special:
            if special.count(column) > 1:
                raise ValueError(
                    f"column {shorten(column)} is declared twice among image_column, group_column "
                    "and cohort_column: it can be one of them"
                )

    def __getitem__(self, name: str) -> Any:
        own = self.own.get(name)
        return self.inherited.get(name) if own is None else own

    def require(self, X: Any, image_paths: Sequence[Any] | None) -> None:
        """Check that a frame has the columns that only the estimator declares, or a fit to come.

        Raises
        ------
        ValueError
            If one is missing, or estimator and pretrainer disagree about the frame they share.
        """
        is_own = self._differs("image_column")
        if image_paths is None and (self.awaits_photos or is_own):
            require_columns(X, as_column_list(self["image_column"]), "image_column")
        for name in ("group_column", "cohort_column"):
            if self._differs(name):
                require_columns(X, [self.own[name]], name)

    def rows_of(self, X: Any, image_paths: Sequence[Any] | None = None, frame: str = "X") -> Rows:
        """Split off what is no feature.

        Raises
        ------
        TypeError
            For a mapping of cohorts, if the estimator knows cohorts; see also
            `tabimg.inputs.rows.take_apart`.
        """
        if "cohort_column" in self.own and holds_several(X):
            raise TypeError(
                "one cohort is fitted, and predicted, at a time: give its frame, and the others as "
                "unlabeled=Unlabeled(mapping)"
            )
        image_column, group_column, cohort_column = (self[name] for name in _NAMES)
        return take_apart(X, image_column, group_column, image_paths, frame, cohort_column)

    def unknown_to_pretrainer(self) -> list[Hashable]:
        """List the columns that the estimator alone takes out of a frame.

        A pretrainer of fixed columns gets to know groups by its own parameter only; one of any
        columns would take these, and cohorts, for features.
        """
        names = _NAMES if "cohort_column" in self.own else _NAMES[:1]
        undeclared = [name for name in names if self.inherited.get(name) is None]
        return [column for name in undeclared for column in as_column_list(self.own[name])]

    def _differs(self, name: str) -> bool:
        """Tell whether the estimator declares other columns than the pretrainer.

        Raises
        ------
        ValueError
            If both declare some, and read the same frame.
        """
        own, inherited = (as_column_list(x.get(name)) for x in (self.own, self.inherited))
        if not own or own == inherited:
            return False
        if inherited and self.shares_frame:
            raise ValueError(
                f"{name}={shorten(self.own[name])}, but the pretrainer, which is fitted on the "
                f"same frame, has {name}={shorten(self.inherited[name])}: set one of them"
            )
        return True


def _declarations(estimator: Any) -> dict[str, Any]:
    return {name: getattr(estimator, name) for name in _NAMES if hasattr(estimator, name)}
