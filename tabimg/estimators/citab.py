"""What is special about fine-tuning a CITab encoder: any columns, and photos at prediction too."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.citab_pretrainer import CITabPretrainer, check_table_parameters
from tabimg.estimators.cohorts import image_root_of
from tabimg.estimators.column_texts import column_vectors
from tabimg.estimators.finetuned import FineTunedEstimator
from tabimg.estimators.inputs import Inputs, Unlabeled, check_table, is_frame, without_columns
from tabimg.estimators.pair_embedding import embed_pairs, why_no_pairs
from tabimg.estimators.parameters import check_choice
from tabimg.estimators.photo_views import MIN_LABELLED, row_images
from tabimg.image import RowImages
from tabimg.nn.cell_tokens import TokenForm
from tabimg.nn.molin import Expert
from tabimg.table import EncodedTable, TableCodec, TextVectors, resolve_header_encoder
from tabimg.table.adoption import described, extend_categories, nearest_known, respell
from tabimg.training.blending import Candidate, Member, blend, predict
from tabimg.training.citab_recipes import CohortRecipe, ColumnVectors
from tabimg.training.forest import ForestCandidate
from tabimg.training.inference import apply_to_table
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
        column = self._cohort_column(source)
        if column is not None and is_frame(X) and column in list(X.columns):
            X = without_columns(X, [column])
        return super()._take_apart(X, source, image_paths)

    def _make_codec(self, table: Any) -> TableCodec:
        """Learn the table's own columns; of their categories also those of pre-training."""
        codec = TableCodec().fit(table)
        source = self.pretrainer_
        if source is None:
            self.vectors_ = TextVectors(resolve_header_encoder(self.header_encoder))
            self.nearest_headers_: dict[str | int, tuple[str, float]] = {}
            return codec
        self.vectors_ = source.vectors_.copy()
        known = source.codec_.codecs
        self.nearest_headers_ = nearest_known(codec, known, self._descriptions(), self.vectors_)
        return extend_categories(codec, known, self._descriptions())

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

    def _descriptions(self) -> Any:
        """Our own descriptions count before those of the pretrainer."""
        inherited = getattr(self.pretrainer_, "column_descriptions", None)
        return self.column_descriptions if self.column_descriptions is not None else inherited

    def _columns(self) -> ColumnVectors:
        names = self.codec_.schema.names
        return column_vectors(self.codec_, described(names, self._descriptions()), self.vectors_)

    def _table_recipe(self) -> CohortRecipe:
        columns = self._columns()
        if self.pretrainer_ is not None:
            return self.pretrainer_.network_.recipe.table.bound_to(columns)
        return CohortRecipe(
            columns=(columns,),
            text_dim=self.vectors_.width,
            dim=int(self.dim),
            n_heads=int(self.n_heads),
            n_layers=int(self.n_layers),
            n_experts=int(self.n_experts),
            expert=self.expert,
            value_form=self.value_form,
        )

    def _embed(self, encoded: EncodedTable) -> np.ndarray:
        device = resolve_device(self.device)
        net = self.pretrainer_.network_.on(device)
        layout = self._columns().build().to(device)

        def embed(numeric: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
            return net.encode(numeric, codes, layout)[0][:, 0]

        return apply_to_table(embed, encoded, device=device)

    # --- photos --------------------------------------------------------------------------------

    def _cohorts_of(self, X: Any) -> list[Any]:
        """Name the cohorts of a frame, where it names them."""
        column = self._cohort_column(self.pretrainer_)
        if column is None or not is_frame(X) or column not in list(X.columns):
            return []
        return list(dict.fromkeys(X[column].to_list()))

    def _image_root(self, X: Any) -> Any:
        root = self.pretrainer_.image_root
        if not isinstance(root, Mapping):
            return root
        names = self._cohorts_of(X)
        if len(names) != 1:
            raise ValueError(
                "the pretrainer's image_root names a folder for each cohort, and X does not name "
                f"its one cohort (found {names}): give absolute paths, or the cohort column"
            )
        return image_root_of(self.pretrainer_, names[0])

    def _pairs_to_distil(self, X: Any, unlabeled: Unlabeled | None) -> Inputs | None:
        """Take those unlabeled rows that belong to the cohort of X; others have other columns."""
        if unlabeled is None or isinstance(unlabeled.frame, Mapping):
            return None
        names, column = self._cohorts_of(X), self._cohort_column(self.pretrainer_)
        frame = unlabeled.frame
        if names and is_frame(frame) and column in list(frame.columns):
            rows = [n for n, name in enumerate(frame[column].to_list()) if name in names]
            if not rows:
                return None
            frame = _safe_indexing(frame, rows)
        return super()._pairs_to_distil(X, Unlabeled(frame, unlabeled.image_paths))

    def _fit_with_photos(
        self, X: Any, inputs: Inputs, rows: LabelledRows, weight: np.ndarray, seed: int
    ) -> None:
        """Fit what predicts from photos, and from rows and photos, under the fixed encoders."""
        self.photo_members_ = {}
        source = self.pretrainer_
        if source is None or not inputs.has_photos:
            return
        images = row_images(self._image_root(X), inputs).take(np.flatnonzero(weight > 0))
        if why_no_pairs(source, images) is not None or images.has_image.sum() < MIN_LABELLED:
            return
        views = self._views_with_photos(rows.views, images, source.on_bad_image)
        seen = replace(rows, views=views).take(np.flatnonzero(views.has_photo()))
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
            with_photo = np.flatnonzero(images.has_image)
            prediction = super()._predictions(X)
            if len(with_photo) and self.photo_members_:
                part = _safe_indexing(X, with_photo)
                found = self._predict_with("both", part, images.take(with_photo))
                known = ~np.isnan(found).any(axis=1)
                prediction[with_photo[known]] = found[known]
            return prediction
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
        return self._predict_with(self.predict_modality, X, images)

    def _images_to_predict(self, X: Any) -> RowImages:
        if self.pretrainer_ is None:
            return RowImages.from_cells([[None] * len(self._take_apart(X, None).groups)], root=None)
        inputs = self._take_apart(X, self.pretrainer_)
        root = self._image_root(X) if inputs.has_photos else None
        return row_images(root, inputs)

    def _predict_with(self, modality: str, X: Any, images: RowImages) -> np.ndarray:
        """Predict with photos, float64 (n_rows, n_outputs); each row has one."""
        table = check_table(self, self._take_apart(X, self.pretrainer_).table, reset=False)
        encoded = self._encode_table(table)
        nothing = np.zeros((len(encoded), 0), dtype=np.float32)
        views = Views(encoded, self.codec_.to_matrix(encoded), nothing, nothing)
        views = self._views_with_photos(views, images, "raise")
        device = resolve_device(self.device)
        return predict(self.photo_members_[modality], views, self._make_task(), device)
