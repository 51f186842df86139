"""The table encoder of CITab: any columns, known by what their headers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tabimg.estimators.citab_pretrainer import CITabPretrainer
from tabimg.estimators.encoded_cohorts import cohort_architecture, column_vectors, embed_rows
from tabimg.estimators.saved_columns import check_texts
from tabimg.estimators.shared_parameters import AnyColumnsParameters, check_any_columns
from tabimg.headers import TextVectors, check_descriptions, resolve_header_encoder
from tabimg.headers.nearest_columns import nearest_known, texts_of
from tabimg.headers.spelling import extend_categories, respell
from tabimg.image import RowImages
from tabimg.inputs.categorical import declares_categories, find_categorical
from tabimg.inputs.cohorts import split
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import column_names, is_frame
from tabimg.inputs.hints import warn_of_codes
from tabimg.inputs.image_roots import UNNAMED
from tabimg.inputs.rows import Rows
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.messages import join, shorten, warn
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.blocks import COLUMNS, FUSED, PHOTOS
from tabimg.training.citab_architectures import CohortArchitecture, ColumnVectors
from tabimg.training.photo_embedding import PhotoEmbedder


@dataclass(frozen=True, eq=False)
class AnyColumns:
    """See `tabimg.estimators.table_encoder.TableEncoder`.

    Parameters
    ----------
    codec : TableCodec
    vectors : TextVectors
        Of headers and categories.
    nearest_headers : mapping of column name to (header, cosine similarity)
        For each column the header of pre-training that is nearest in meaning.
    pretrainer : CITabPretrainer or None
        Fitted; without one the network starts at random.
    parameters : AnyColumnsParameters
        Used without a pretrainer, except for the columns' descriptions.
    feature_names : array of str, or None
        The columns of a frame, in the order of fitting.
    """

    photo_blocks: ClassVar[tuple[str, ...]] = (FUSED, COLUMNS, PHOTOS)

    codec: TableCodec
    vectors: TextVectors
    nearest_headers: Mapping[str | int, tuple[str, float]]
    pretrainer: CITabPretrainer | None
    parameters: AnyColumnsParameters
    feature_names: np.ndarray | None

    @classmethod
    def check_parameters(cls, estimator: Any) -> None:
        """Check the parameters of the encoder, and that no column is declared twice."""
        DeclaredColumns.of(estimator, None).check_distinct()
        check_any_columns(estimator)

    @classmethod
    def check_frame(cls, estimator: AnyColumnsParameters, X: Any) -> None:
        """Check that the described columns exist."""
        if is_frame(X):
            check_descriptions(list(X.columns), estimator.column_descriptions)

    @classmethod
    def check_categorical(cls, estimator: Any, pretrainer: Any, table: Any) -> None:
        """Refuse categories that differ from a pretrainer's that is fitted on the same frame."""
        own: Any = estimator.categorical_features
        inherited: Any = getattr(pretrainer, "categorical_features", None)
        both = declares_categories(own) and declares_categories(inherited)
        if both and pretrainer is estimator.pretrainer and list(own) != list(inherited):
            raise ValueError(
                f"categorical_features={shorten(own)}, but the pretrainer, which is fitted on the "
                f"same frame, has categorical_features={shorten(inherited)}: set one of them"
            )
        _categorical(own, pretrainer, table)

    @classmethod
    def learn(cls, estimator: Any, table: Any) -> AnyColumns:
        """Learn the table's own columns; their categories include those of pre-training."""
        pretrainer = estimator.pretrainer_
        categorical = _categorical(estimator.categorical_features, pretrainer, table)
        warn_of_codes(table, categorical)
        codec = TableCodec().fit(table, categorical)
        if not is_frame(table):
            check_descriptions(codec.schema.names, estimator.column_descriptions)
            if pretrainer is not None:
                warn(
                    "X has no column names, by which the pre-trained encoder knows columns: give a "
                    "DataFrame"
                )
        texts = texts_of(codec, _descriptions(estimator, pretrainer))
        names = getattr(estimator, "feature_names_in_", None)
        if pretrainer is None:
            vectors = TextVectors(resolve_header_encoder(estimator.header_encoder))
            return cls(codec, vectors, {}, None, estimator, names)
        vectors = pretrainer.vectors_.copy()
        known, theirs = pretrainer.codec_.codecs, pretrainer.column_descriptions
        headers = [text for each in known for text in texts_of(each, theirs).values()]
        own = {name: texts[name] for name in codec.numeric_names + codec.categorical_names}
        nearest = nearest_known(own, headers, vectors)
        codec = extend_categories(codec, texts, known, theirs)
        return cls(codec, vectors, nearest, pretrainer, estimator, names)

    @classmethod
    def of(cls, estimator: Any) -> AnyColumns:
        """Return the encoder of a fitted estimator."""
        return cls(
            estimator.codec_,
            estimator.vectors_,
            estimator.nearest_headers_,
            estimator.pretrainer_,
            estimator,
            getattr(estimator, "feature_names_in_", None),
        )

    @classmethod
    def learns_from_photos(cls, modality: str) -> bool:
        """Always: ``predict_modality`` may be changed after the fit."""
        return True

    def learned(self) -> dict[str, Any]:
        """Return what was learned, by the names of the estimator's attributes."""
        return {
            "codec_": self.codec,
            "vectors_": self.vectors,
            "nearest_headers_": self.nearest_headers,
        }

    def check(self, table: Any) -> None:
        """Accept any columns."""

    def encode(self, table: Any) -> EncodedTable:
        """Encode a checked table; an unknown category as the known one that reads the same."""
        if self.feature_names is not None and is_frame(table):
            table = table[list(self.feature_names)]
        columns, changed = respell(table, self.codec, self.vectors.copy())
        if changed:
            listed = [f"{shorten(name)}: {texts}" for name, texts in changed.items()]
            warn(
                f"categories that fit did not see are read as the nearest ones: "
                f"{join(listed, len(listed), '; ')}"
            )
        return self.codec.encode_columns(columns)

    @property
    def columns(self) -> ColumnVectors:
        """Text vectors of the columns of ``codec``."""
        descriptions = _descriptions(self.parameters, self.pretrainer)
        return column_vectors(self.codec, descriptions, self.vectors)

    def architecture(self) -> CohortArchitecture:
        """Return the architecture of the network that is fine-tuned."""
        if self.pretrainer is not None:
            return self.pretrainer.network_.architecture.table.bound_to(self.columns)
        return cohort_architecture(self.parameters, (self.columns,), self.vectors.width)

    def embed(self, encoded: EncodedTable, device: str) -> np.ndarray:
        """Embed rows with the fixed pre-trained encoder, float32 (n_rows, dim)."""
        assert self.pretrainer is not None
        return embed_rows(self.pretrainer.network_, encoded, self.columns, device)

    def embed_with_photos(
        self, encoded: EncodedTable, images: RowImages, embedder: PhotoEmbedder
    ) -> dict[str, np.ndarray]:
        """Embed rows together with their photos, and the photos alone."""
        fused, photos = embedder.embed_pairs(encoded, self.columns, images)
        return {FUSED: fused, PHOTOS: photos}

    def unlabeled_rows(
        self, declared: DeclaredColumns, given: Rows, unlabeled: Unlabeled
    ) -> Rows | None:
        """Take the unlabeled rows that belong to the cohort of X; others have other columns."""
        names = given.cohort_names() or [UNNAMED]
        special = (declared["cohort_column"], declared["image_column"], declared["group_column"])
        parts = split(unlabeled.frame, *special, unlabeled.image_paths, UNLABELED)
        own = [rows for rows in parts if rows.cohort in names]
        return own[0] if len(own) == 1 and _has_columns(own[0].table, given.table) else None

    def check_loaded(self) -> None:
        """Raise an error if the vectors of some header or category are missing."""
        check_texts(self.vectors, self.codec, _descriptions(self.parameters, self.pretrainer))


def _descriptions(parameters: AnyColumnsParameters, pretrainer: Any) -> dict[Any, str]:
    """Return the descriptions of columns; an estimator's override its pretrainer's."""
    inherited = getattr(pretrainer, "column_descriptions", None)
    return {**(inherited or {}), **(parameters.column_descriptions or {})}


def _categorical(own: Any, pretrainer: Any, table: Any) -> list[str | int]:
    """Name the categorical columns: those of the estimator, else those of the pretrainer."""
    columns = column_names(table)
    inherited: Any = getattr(pretrainer, "categorical_features", None)
    if declares_categories(own) or not declares_categories(inherited):
        return find_categorical(own, columns)
    known = list(getattr(pretrainer, "feature_names_in_", columns))
    # The others are names of columns that only other cohorts have.
    here = [each for each in inherited if not isinstance(each, str) or each in known]
    return [name for name in find_categorical(here, known) if name in columns]


def _has_columns(table: Any, wanted: Any) -> bool:
    return not (is_frame(wanted) and is_frame(table)) or set(wanted.columns) <= set(table.columns)
