"""Predictions from the table, from the photo, from both, or from what each row has."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.estimators.loaded import check_members
from tabimg.estimators.parameters import check_choice
from tabimg.estimators.photo_embedding import MIN_LABELLED, embed_pairs, why_no_pairs
from tabimg.image import RowImages
from tabimg.image.missing import look_for_files
from tabimg.inputs.containers import as_container
from tabimg.inputs.frames import is_frame
from tabimg.inputs.rows import Rows
from tabimg.messages import shorten
from tabimg.serialization.checks import check_type
from tabimg.table import EncodedTable
from tabimg.table.categories import MISSING
from tabimg.training.architectures import ImageRecipe
from tabimg.training.blending import Candidate, Member, blend, predict
from tabimg.training.citab_architectures import ColumnVectors
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.runtime import derive_seed, resolve_device
from tabimg.training.views import COLUMNS, EMBEDDING, PHOTOS, LabelledRows, Views

MODALITIES = ("table", "auto", "image", "both")


class ModalityEstimator(FineTunedEstimator):
    """A fine-tuned estimator that ``predict_modality`` tells what to predict from."""

    def __init__(self, *, predict_modality: str, **shared: Any) -> None:
        super().__init__(**shared)
        self.predict_modality = predict_modality

    photo_members_: dict[str, list[Member]]

    @abstractmethod
    def _columns(self) -> ColumnVectors:
        """Give what is known of the columns of ``codec_``."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("predict_modality", self.predict_modality, MODALITIES)

    def _check_loaded(self) -> None:
        check_choice("predict_modality", self.predict_modality, MODALITIES)
        super()._check_loaded()
        check_type("photo_members_", self.photo_members_, dict)
        if not self.photo_members_:
            return
        if self.photo_members_.keys() != {"image", "both"} or self.pretrainer_ is None:
            raise ValueError("the members that see photos are not those of a fit")
        network = self.pretrainer_.network_
        recipe, net = network.recipe, network.on(torch.device("cpu"))
        check_type("recipe", recipe.image, ImageRecipe)
        widths = {
            COLUMNS: len(self.codec_.matrix_names()),
            EMBEDDING: recipe.table.dim,
            PHOTOS: recipe.image.width(net.image_encoder),
        }
        for members in self.photo_members_.values():
            check_members(members, self._make_task().n_outputs, self.codec_, widths)

    def _fit_with_photos(
        self, given: Rows, rows: LabelledRows, weight: np.ndarray, seed: int
    ) -> None:
        """Fit what predicts from photos, and from rows and photos, under the fixed encoders."""
        self.photo_members_ = {}
        images = self._photos_to_learn_from(given, weight)
        if images is None:
            return
        views = self._views_with_photos(rows.views, images, self.pretrainer_.on_bad_image)
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

    def _photos(
        self, table: Any, given: Rows, weight: np.ndarray, further: Rows | None
    ) -> tuple[np.ndarray, Views | None]:
        """Look also for the photos that are only read after all networks are trained."""
        images = self._photos_to_learn_from(given, weight)
        if images is not None and self.pretrainer_.image_loader is None:
            look_for_files(images, self.pretrainer_.on_bad_image)
        return super()._photos(table, given, weight, further)

    def _photos_to_learn_from(self, given: Rows, weight: np.ndarray) -> RowImages | None:
        """Give the photos of rows with a weight, where the pretrainer can embed them."""
        if self.pretrainer_ is None or not given.has_photos:
            return None
        images = given.images(self.pretrainer_.image_root).take(np.flatnonzero(weight > 0))
        return None if why_no_pairs(self.pretrainer_, images) is not None else images

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
        given = self._take_apart(as_container(X), self.pretrainer_)
        images = self._images_to_predict(given)
        if self.predict_modality == "auto":
            return self._predict_from_what_there_is(given.table, images)
        if not self.photo_members_:
            raise ValueError(
                f"predict_modality={shorten(self.predict_modality)} needs a fit with photos of "
                "labelled rows and a pretrainer that keeps its image encoder; this fit had none"
            )
        if not images.has_image.any():
            special = self._declared("image_column", self.pretrainer_)
            raise ValueError(
                f"predict_modality={shorten(self.predict_modality)} needs photos, and no row has "
                f"any in image_column={shorten(special)}"
            )
        missing = np.flatnonzero(~images.has_image)
        if len(missing):
            raise ValueError(
                f"predict_modality={shorten(self.predict_modality)} needs a photo in every row; "
                f"{len(missing)} rows have none, the first is row {missing[0]}. 'auto' takes what "
                "each row has"
            )
        if self.predict_modality == "image":
            encoded = self._without_cells(len(images))
        else:
            encoded = self._encode_features(given.table)
        views = self._photo_views(encoded, images, on_bad_image="raise")
        return self._predict_views(self.predict_modality, views)

    def _predict_from_what_there_is(self, table: Any, images: RowImages) -> np.ndarray:
        """Predict each row from table, photo or both, float64 (n_rows, n_outputs)."""
        is_bare = is_frame(table) and not list(table.columns) and bool(self.photo_members_)
        encoded = self._without_cells(len(images)) if is_bare else self._encode_features(table)
        prediction = self._predict_encoded(encoded)
        if not self.photo_members_:
            return prediction
        has_cells = ~(
            np.isnan(encoded.numeric).all(axis=1) & (encoded.codes == MISSING).all(axis=1)
        )
        rows = np.flatnonzero(images.has_image)
        if not len(rows):
            return prediction
        policy = self.pretrainer_.on_bad_image
        views = self._photo_views(encoded.take(rows), images.take(rows), policy)
        # A photo that cannot be read, and is let pass, is none.
        is_read = views.has_photo()
        for modality, wanted in (("both", has_cells[rows]), ("image", ~has_cells[rows])):
            chosen = np.flatnonzero(is_read & wanted)
            if len(chosen):
                prediction[rows[chosen]] = self._predict_views(modality, views.take(chosen))
        return prediction

    def _without_cells(self, n_rows: int) -> EncodedTable:
        """Encode rows of which only the photo counts."""
        n_numeric, n_codes = len(self.codec_.numeric_names), len(self.codec_.categorical_names)
        numeric = np.full((n_rows, n_numeric), np.nan, dtype=np.float32)
        return EncodedTable(numeric, np.full((n_rows, n_codes), MISSING, dtype=np.int64))

    def _images_to_predict(self, given: Rows) -> RowImages:
        if self.pretrainer_ is None or not given.has_photos:
            return RowImages.from_cells([[None] * len(given)])
        images = given.images(self.pretrainer_.image_root)
        lack = why_no_pairs(self.pretrainer_, images)
        if lack is not None and self.photo_members_:
            raise ValueError(
                f"predict_modality={shorten(self.predict_modality)} cannot be had: {lack}"
            )
        return images

    def _photo_views(self, encoded: EncodedTable, images: RowImages, on_bad_image: str) -> Views:
        """Give what members see of rows that have a photo each."""
        nothing = np.zeros((len(encoded), 0), dtype=np.float32)
        views = Views(encoded, self.codec_.to_matrix(encoded), nothing, nothing)
        return self._views_with_photos(views, images, on_bad_image)

    def _predict_views(self, modality: str, views: Views) -> np.ndarray:
        """Predict with photos, float64 (n_rows, n_outputs)."""
        device = resolve_device(self.device)
        return predict(self.photo_members_[modality], views, self._make_task(), device)
