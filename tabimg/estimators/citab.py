"""What is special about fine-tuning a CITab encoder: any columns, and photos at prediction too."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.citab_pretrainer import CITabPretrainer
from tabimg.estimators.cohort_encoder import check_table_parameters, cohort_recipe
from tabimg.estimators.cohort_photos import image_root_of
from tabimg.estimators.cohorts import UNNAMED, cohort_names, holds_several, split
from tabimg.estimators.column_texts import column_vectors
from tabimg.estimators.finetuned import FineTunedEstimator
from tabimg.estimators.inputs import (
    Inputs,
    Unlabeled,
    is_frame,
    require_columns,
    without_columns,
)
from tabimg.estimators.pair_embedding import embed_pairs, embed_rows, why_no_pairs
from tabimg.estimators.parameters import check_choice
from tabimg.estimators.photo_views import MIN_LABELLED
from tabimg.image import RowImages
from tabimg.nn.cell_tokens import TokenForm
from tabimg.nn.molin import Expert
from tabimg.table import (
    EncodedTable,
    TableCodec,
    TextVectors,
    check_descriptions,
    resolve_header_encoder,
)
from tabimg.table.adoption import Descriptions, nearest_known, texts_of
from tabimg.table.categories import MISSING
from tabimg.table.spelling import extend_categories, respell
from tabimg.training.blending import Candidate, Member, blend, predict
from tabimg.training.citab_recipes import CohortRecipe, ColumnVectors
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.runtime import derive_seed, resolve_device
from tabimg.training.views import COLUMNS, EMBEDDING, PHOTOS, LabelledRows, Views

MODALITIES = ("table", "auto", "image", "both")


class CITabFineTuned(FineTunedEstimator):
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
        predict_modality: str,
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
        self.predict_modality = predict_modality

    photo_members_: dict[str, list[Member]]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_table_parameters(self)
        check_choice("predict_modality", self.predict_modality, MODALITIES)

    # --- the table -----------------------------------------------------------------------------

    def _cohort_column(self, source: Any) -> Hashable | None:
        column = getattr(source, "cohort_column", None)
        return self.cohort_column if column is None else column

    def _take_apart(self, X: Any, source: Any, image_paths: Sequence[Any] | None = None) -> Inputs:
        if holds_several(X):
            raise TypeError(
                "one cohort is fitted, and predicted, at a time: give its frame, and the others as "
                "unlabeled=Unlabeled(mapping)"
            )
        column = self._cohort_column(source)
        if column is not None and is_frame(X) and column in list(X.columns):
            X = without_columns(X, [column])
        return super()._take_apart(X, source, image_paths)

    def _require_own_columns(self, X: Any, source: Any, image_paths: Sequence[Any] | None) -> None:
        super()._require_own_columns(X, source, image_paths)
        if getattr(source, "cohort_column", None) is None and self.cohort_column is not None:
            require_columns(X, [self.cohort_column], "cohort_column")
        if is_frame(X):
            check_descriptions(list(X.columns), self.column_descriptions)
        names = self._cohorts_of(X, source)
        if len(names) > 1:
            warnings.warn(
                f"X holds {len(names)} cohorts, {names}, which are fitted as one table: columns of "
                "one name share their scaling and categories. Fit each cohort by itself, and hand "
                "the others over as unlabeled=Unlabeled(...)",
                UserWarning,
                stacklevel=3,
            )

    def _declared_here(self, source: Any) -> list[Hashable]:
        """Groups and cohorts as well: a pretrainer that takes any column would take these too."""
        others = [
            getattr(self, name)
            for name in ("group_column", "cohort_column")
            if getattr(source, name) is None and getattr(self, name) is not None
        ]
        return [*super()._declared_here(source), *others]

    def _make_codec(self, table: Any) -> TableCodec:
        """Learn the table's own columns; of their categories also those of pre-training."""
        codec = TableCodec().fit(table)
        if not is_frame(table):
            check_descriptions(codec.schema.names, self.column_descriptions)
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
            listed = "; ".join(f"{name!r}: {texts}" for name, texts in changed.items())
            warnings.warn(
                f"categories that were not there in fit are read as the nearest ones: {listed}",
                UserWarning,
                stacklevel=5,
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

    # --- photos --------------------------------------------------------------------------------

    def _cohorts_of(self, X: Any, source: Any) -> list[str | int]:
        """Name the cohorts of a frame, where it names them."""
        column = self._cohort_column(source)
        if column is None or not is_frame(X) or column not in list(X.columns):
            return []
        return list(dict.fromkeys(cohort_names(X, column).tolist()))

    def _row_images(self, X: Any, inputs: Inputs) -> RowImages:
        names = self._cohorts_of(X, self.pretrainer_)
        name = names[0] if len(names) == 1 else UNNAMED
        cells = inputs.image_cells or [[None] * len(inputs.groups)]
        return RowImages.from_cells(cells, root=image_root_of(self.pretrainer_, name, cells))

    def _pairs_to_distil(self, X: Any, unlabeled: Unlabeled | None) -> Inputs | None:
        """Take those unlabeled rows that belong to the cohort of X; others have other columns."""
        source = self.pretrainer_
        if unlabeled is None or source is None or self.finetune != "auto":
            return None
        names = self._cohorts_of(X, source) or [UNNAMED]
        special = (self._cohort_column(source), *self._special_columns(source))
        parts = split(unlabeled.frame, *special, unlabeled.image_paths)
        own = [cohort for cohort in parts if cohort.name in names]
        if len(own) != 1:
            return None
        table = own[0].table
        wanted = self._take_apart(X, source).table
        if is_frame(wanted) and is_frame(table) and not set(wanted.columns) <= set(table.columns):
            return None
        return Inputs(table, own[0].image_cells, own[0].groups)

    def _fit_with_photos(
        self, X: Any, inputs: Inputs, rows: LabelledRows, weight: np.ndarray, seed: int
    ) -> None:
        """Fit what predicts from photos, and from rows and photos, under the fixed encoders."""
        self.photo_members_ = {}
        source = self.pretrainer_
        if source is None or not inputs.has_photos:
            return
        images = self._row_images(X, inputs).take(np.flatnonzero(weight > 0))
        if why_no_pairs(source, images) is not None:
            return
        views = self._views_with_photos(rows.views, images, source.on_bad_image)
        seen = replace(rows, views=views).take(np.flatnonzero(views.has_photo()))
        if len(seen) < MIN_LABELLED:
            return
        task = self._make_task()
        image = LinearCandidate((PHOTOS,))
        self.photo_members_["image"] = blend({"image": image}, seen, task, seed)[0]
        candidates: dict[str, Candidate] = {
            "columns": LinearCandidate((COLUMNS,)),
            "random_forest": ForestCandidate("random_forest", derive_seed(seed, 301)),
            "image": image,
            "fused": LinearCandidate((EMBEDDING, COLUMNS, PHOTOS)),
        }
        self.photo_members_["both"] = blend(candidates, seen, task, seed)[0]

    def _views_with_photos(self, views: Views, images: RowImages, on_bad_image: str) -> Views:
        fused, photos = embed_pairs(
            self.pretrainer_, views.table, self._columns(), images, on_bad_image
        )
        return replace(views, embedding=fused, photos=photos)

    def _predictions(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "members_")
        check_choice("predict_modality", self.predict_modality, MODALITIES)
        if self.predict_modality == "table":
            return super()._predictions(X)
        images = self._images_to_predict(X)
        if self.predict_modality == "auto":
            return self._predict_from_what_there_is(X, images)
        if not self.photo_members_:
            raise ValueError(
                f"predict_modality={self.predict_modality!r} needs a fit with photos of labelled "
                "rows and a pretrainer that keeps its image encoder; this fit had none"
            )
        missing = np.flatnonzero(~images.has_image)
        if len(missing):
            raise ValueError(
                f"predict_modality={self.predict_modality!r} needs a photo in every row; "
                f"{len(missing)} rows have none, the first is row {missing[0]}. 'auto' takes what "
                "each row has"
            )
        if self.predict_modality == "image":
            return self._predict_with("image", self._without_cells(len(images)), images)
        return self._predict_with("both", self._encode(X), images)

    def _predict_from_what_there_is(self, X: Any, images: RowImages) -> np.ndarray:
        """Predict each row from table, photo or both, float64 (n_rows, n_outputs)."""
        encoded = self._encode(X)
        prediction = self._predict_encoded(encoded)
        if not self.photo_members_:
            return prediction
        has_cells = ~(
            np.isnan(encoded.numeric).all(axis=1) & (encoded.codes == MISSING).all(axis=1)
        )
        for modality, wanted in (("both", has_cells), ("image", ~has_cells)):
            rows = np.flatnonzero(images.has_image & wanted)
            if len(rows):
                found = self._predict_with(modality, encoded.take(rows), images.take(rows))
                known = ~np.isnan(found).any(axis=1)
                prediction[rows[known]] = found[known]
        return prediction

    def _without_cells(self, n_rows: int) -> EncodedTable:
        """Encode rows of which only the photo counts."""
        n_numeric, n_codes = len(self.codec_.numeric_names), len(self.codec_.categorical_names)
        numeric = np.full((n_rows, n_numeric), np.nan, dtype=np.float32)
        return EncodedTable(numeric, np.full((n_rows, n_codes), MISSING, dtype=np.int64))

    def _images_to_predict(self, X: Any) -> RowImages:
        inputs = self._take_apart(X, self.pretrainer_)
        if self.pretrainer_ is None or not inputs.has_photos:
            return RowImages.from_cells([[None] * len(inputs.groups)])
        images = self._row_images(X, inputs)
        lack = why_no_pairs(self.pretrainer_, images)
        if lack is not None and self.photo_members_:
            raise ValueError(f"predict_modality={self.predict_modality!r} cannot be had: {lack}")
        return images

    def _predict_with(self, modality: str, encoded: EncodedTable, images: RowImages) -> np.ndarray:
        """Predict with photos, float64 (n_rows, n_outputs); each row has one."""
        nothing = np.zeros((len(encoded), 0), dtype=np.float32)
        views = Views(encoded, self.codec_.to_matrix(encoded), nothing, nothing)
        views = self._views_with_photos(views, images, "raise")
        device = resolve_device(self.device)
        return predict(self.photo_members_[modality], views, self._make_task(), device)
