"""What is special about fine-tuning a CITab encoder: any columns, and cohorts with photos."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tabimg.estimators.citab_encoder import (
    check_table_parameters,
    cohort_recipe,
    column_vectors,
    embed_rows,
)
from tabimg.estimators.citab_pretrainer import CITabPretrainer
from tabimg.estimators.modalities import ModalityEstimator
from tabimg.estimators.saved_columns import check_texts
from tabimg.headers import TextVectors, check_descriptions, resolve_header_encoder
from tabimg.headers.adoption import Descriptions, nearest_known, texts_of
from tabimg.headers.spelling import extend_categories, respell
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.cohorts import holds_several, split
from tabimg.inputs.frames import column_names, is_frame, require_columns
from tabimg.inputs.hints import warn_of_codes
from tabimg.inputs.image_roots import UNNAMED
from tabimg.inputs.rows import Rows, take_apart
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.messages import join, listing, shorten, warn
from tabimg.nn.cell_tokens import TokenForm
from tabimg.nn.molin import Expert
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.citab_architectures import CohortRecipe, ColumnVectors


class CITabFineTuned(ModalityEstimator):
    """Fine-tunes the encoder of a `CITabPretrainer` on a table of any columns."""

    pretrainer_class = CITabPretrainer

    def __init__(
        self,
        *,
        cohort_column: Hashable | None,
        header_encoder: Any,
        column_descriptions: Mapping[Hashable, str] | None,
        dim: int,
        n_heads: int,
        n_layers: int,
        n_experts: int,
        expansion: float,
        expert: Expert,
        value_form: TokenForm,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.cohort_column = cohort_column
        self.header_encoder = header_encoder
        self.column_descriptions = column_descriptions
        self.dim = dim
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.n_experts = n_experts
        self.expansion = expansion
        self.expert = expert
        self.value_form = value_form

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_table_parameters(self)

    def _check_loaded(self) -> None:
        check_texts(self.vectors_, self.codec_, self._descriptions())
        super()._check_loaded()

    # --- the table -----------------------------------------------------------------------------

    def _take_apart(
        self, X: Any, source: Any, image_paths: Sequence[Any] | None = None, frame: str = "X"
    ) -> Rows:
        if holds_several(X):
            raise TypeError(
                "one cohort is fitted, and predicted, at a time: give its frame, and the others as "
                "unlabeled=Unlabeled(mapping)"
            )
        special = self._special_columns(source)
        return take_apart(X, *special, image_paths, frame, self._declared("cohort_column", source))

    def _require_own_columns(self, X: Any, source: Any, image_paths: Sequence[Any] | None) -> None:
        super()._require_own_columns(X, source, image_paths)
        if self._says_otherwise("cohort_column", source):
            require_columns(X, [self.cohort_column], "cohort_column")
        if is_frame(X):
            check_descriptions(list(X.columns), self.column_descriptions)

    def _check_given(self, given: Rows) -> None:
        names = given.cohort_names()
        if len(names) > 1:
            warn(
                f"X holds {len(names)} cohorts, [{listing(names)}], which are fitted as one "
                "table: columns of one name share their scaling and categories. Fit each cohort by "
                "itself, and hand the others over as unlabeled=Unlabeled(...)"
            )

    def _declared_here(self, source: Any) -> list[Hashable]:
        """Groups and cohorts as well: a pretrainer that takes any column would take these too."""
        others = [
            getattr(self, name)
            for name in ("group_column", "cohort_column")
            if getattr(source, name) is None and getattr(self, name) is not None
        ]
        return [*super()._declared_here(source), *others]

    def _check_categorical(self, source: Any, table: Any) -> None:
        own: Any = self.categorical_features
        theirs: Any = getattr(source, "categorical_features", None)
        both = declares_categories(own) and declares_categories(theirs)
        if both and source is self.pretrainer and list(own) != list(theirs):
            raise ValueError(
                f"categorical_features={shorten(own)}, but the pretrainer, which is fitted on the "
                f"same frame, has categorical_features={shorten(theirs)}: set one of them"
            )
        self._categorical(source, table)

    def _categorical(self, source: Any, table: Any) -> list[str | int]:
        """Name the columns that are categories: by our own word, or by the pretrainer's."""
        columns = column_names(table)
        theirs: Any = getattr(source, "categorical_features", None)
        if declares_categories(self.categorical_features) or not declares_categories(theirs):
            return find_categorical(self.categorical_features, columns)
        known = list(getattr(source, "feature_names_in_", columns))
        # Names of columns that other cohorts have.
        here = [each for each in theirs if not isinstance(each, str) or each in known]
        return [name for name in find_categorical(here, known) if name in columns]

    def _make_codec(self, table: Any) -> TableCodec:
        """Learn the table's own columns; of their categories also those of pre-training."""
        categorical = self._categorical(self.pretrainer_, table)
        warn_of_codes(table, categorical)
        codec = TableCodec().fit(table, categorical)
        if not is_frame(table):
            check_descriptions(codec.schema.names, self.column_descriptions)
            if self.pretrainer_ is not None:
                warn(
                    "X has no column names, by which the pre-trained encoder would know its "
                    "columns: give a DataFrame"
                )
        texts = texts_of(codec, self._descriptions())
        source = self.pretrainer_
        self.nearest_headers_: dict[str | int, tuple[str, float]] = {}
        if source is None:
            self.vectors_ = TextVectors(resolve_header_encoder(self.header_encoder))
            return codec
        self.vectors_ = source.vectors_.copy()
        known, descriptions = source.codec_.codecs, source.column_descriptions
        headers = [text for each in known for text in texts_of(each, descriptions).values()]
        own = {name: texts[name] for name in codec.numeric_names + codec.categorical_names}
        self.nearest_headers_ = nearest_known(own, headers, self.vectors_)
        return extend_categories(codec, texts, known, descriptions)

    def _check_columns(self, table: Any) -> None:
        """Any columns will do: what they mean stands in their headers."""

    def _encode_table(self, table: Any) -> EncodedTable:
        """Encode a checked table; a category that is not known as the one that reads alike."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None and is_frame(table):
            table = table[list(names)]
        columns, changed = respell(table, self.codec_, self.vectors_.copy())
        if changed:
            listed = [f"{shorten(name)}: {texts}" for name, texts in changed.items()]
            warn(
                f"categories that were not there in fit are read as the nearest ones: "
                f"{join(listed, len(listed), '; ')}"
            )
        return self.codec_.encode_columns(columns)

    def _descriptions(self) -> Descriptions:
        """Our own descriptions count before those of the pretrainer."""
        inherited = getattr(self.pretrainer_, "column_descriptions", None)
        return {**(inherited or {}), **(self.column_descriptions or {})}

    def _columns(self) -> ColumnVectors:
        return column_vectors(self.codec_, self._descriptions(), self.vectors_)

    def _table_recipe(self) -> CohortRecipe:
        columns = self._columns()
        if self.pretrainer_ is not None:
            return self.pretrainer_.network_.recipe.table.bound_to(columns)
        return cohort_recipe(self, (columns,))

    def _embed(self, encoded: EncodedTable) -> np.ndarray:
        return embed_rows(self.pretrainer_.network_, encoded, self._columns(), self.device)

    # --- cohorts -------------------------------------------------------------------------------

    def _pairs_to_distil(self, given: Rows, unlabeled: Unlabeled | None) -> Rows | None:
        """Take those unlabeled rows that belong to the cohort of X; others have other columns."""
        source = self.pretrainer_
        if unlabeled is None or source is None or self.finetune != "auto":
            return None
        names = given.cohort_names() or [UNNAMED]
        special = (self._declared("cohort_column", source), *self._special_columns(source))
        parts = split(unlabeled.frame, *special, unlabeled.image_paths, UNLABELED)
        own = [rows for rows in parts if rows.cohort in names]
        if len(own) == 1 and _has_columns(own[0].table, given.table):
            return own[0]
        # A pretrainer that was fitted here has learned from them at least.
        if not isinstance(self.pretrainer, self.pretrainer_class):
            warn(
                "the unlabeled rows are not used: pre-training is done, and none of them are known "
                "to be of the cohort of X. Give a frame with the columns of X, or name the cohorts "
                "of both with cohort_column="
            )
        return None


def _has_columns(table: Any, wanted: Any) -> bool:
    return not (is_frame(wanted) and is_frame(table)) or set(wanted.columns) <= set(table.columns)
