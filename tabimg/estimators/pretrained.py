"""How an estimator comes to its encoder: whose columns count, and what a pretrainer is given."""

from __future__ import annotations

from abc import ABC
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import process_routing

from tabimg.estimators.source import FitInputs, fit_pretrainer
from tabimg.inputs import Unlabeled
from tabimg.inputs.categorical import declares_categories
from tabimg.inputs.frames import as_column_list, require_columns, without_columns
from tabimg.inputs.rows import Rows, take_apart
from tabimg.messages import shorten
from tabimg.training.runtime import derive_seed


class PretrainedEstimator(BaseEstimator, ABC):
    """An estimator with a pretrainer: one to be fitted along, or one that is fitted already.

    Its parameters ``pretrainer``, ``image_column``, ``group_column``, ``memory`` and
    ``random_state`` are set in the subclass, ``pretrainer_`` in its ``fit``.
    """

    pretrainer_class: ClassVar[type[Any]]
    pretrainer: Any
    pretrainer_: Any
    image_column: Any
    group_column: Any
    categorical_features: Any
    memory: Any
    random_state: Any

    def _declared(self, name: str, source: Any) -> Any:
        """Give a parameter that names columns: our own word counts before the pretrainer's."""
        own = getattr(self, name)
        return getattr(source, name, None) if own is None else own

    def _special_columns(self, source: Any) -> tuple[Any, Any]:
        """Which columns hold photos and groups."""
        return self._declared("image_column", source), self._declared("group_column", source)

    def _take_apart(
        self, X: Any, source: Any, image_paths: Sequence[Any] | None = None, frame: str = "X"
    ) -> Rows:
        """Split off what is no feature."""
        return take_apart(X, *self._special_columns(source), image_paths, frame)

    def _declared_here(self, source: Any) -> list[Hashable]:
        """List the columns that our own parameters take out of X, and a source knows nothing of."""
        return as_column_list(self.image_column) if source.image_column is None else []

    def _require_own_columns(self, X: Any, source: Any, image_paths: Sequence[Any] | None) -> None:
        """Check that the columns are there that our own parameters declare, or a fit to come."""
        # A fitted pretrainer that would be fitted anew gets its own message.
        is_fresh = source is self.pretrainer and not hasattr(source, "network_")
        says_otherwise = self._says_otherwise("image_column", source)
        if image_paths is None and (is_fresh or says_otherwise):
            wanted = as_column_list(self._declared("image_column", source))
            require_columns(X, wanted, "image_column")
        if self._says_otherwise("group_column", source):
            require_columns(X, [self.group_column], "group_column")

    def _says_otherwise(self, name: str, source: Any) -> bool:
        """Tell whether our own word on a column is another than the pretrainer's.

        Raises
        ------
        ValueError
            If the pretrainer has a word on it and is to be fitted here: both read the same frame.
        """
        own, theirs = (as_column_list(getattr(x, name, None)) for x in (self, source))
        if not own or own == theirs:
            return False
        if theirs and source is self.pretrainer:
            raise ValueError(
                f"{name}={shorten(getattr(self, name))}, but the pretrainer, which is fitted on "
                f"the same frame, has {name}={shorten(getattr(source, name))}: set one of them"
            )
        return True

    def _pretrained(
        self,
        source: Any,
        X: Any,
        rows: Rows,
        routed: dict[str, Any],
        seed: int,
    ) -> Any:
        """Give the fitted pretrainer: pre-train, or take what there is."""
        will_pretrain = source is not None and source is self.pretrainer
        if source is None or not will_pretrain:
            return source
        # Photos that only our own parameter declares are none of the pretrainer's business.
        unknown = self._declared_here(source)
        own = self.categorical_features
        hands_down = declares_categories(own) and not declares_categories(
            source.categorical_features
        )
        given = FitInputs(
            without_columns(X, unknown),
            rows.has_photos,
            self._known(routed),
            {"categorical_features": own} if hands_down else {},
        )
        random_state = None if self.random_state is None else derive_seed(seed, 3) % (2**31)
        return fit_pretrainer(source, given, self.memory, random_state)

    def _known(self, routed: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in routed.items() if value is not None}

    def _route(
        self, sample_weight: Any, image_paths: Any, unlabeled: Unlabeled | None
    ) -> dict[str, Any]:
        """Find what the pretrainer's fit is to be given."""
        given = {"image_paths": image_paths, "unlabeled": unlabeled}
        if not get_config()["enable_metadata_routing"] or not isinstance(
            self.pretrainer, self.pretrainer_class
        ):
            return given
        given["sample_weight"] = sample_weight
        return dict(process_routing(self, "fit", **self._known(given)).pretrainer.fit)
