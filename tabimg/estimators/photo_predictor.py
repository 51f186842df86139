"""Predictions from the photo, from row and photo, or from whatever each row has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tabimg.estimators.loaded import check_members, made_up_rows
from tabimg.estimators.table_encoder import TableEncoder
from tabimg.image import RowImages
from tabimg.image.missing import look_for_files
from tabimg.inputs.frames import is_frame
from tabimg.inputs.rows import Rows
from tabimg.messages import shorten, warn
from tabimg.serialization.checks import check_type
from tabimg.table import EncodedTable
from tabimg.table.categories import MISSING
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.blending import Candidate, Member, blend, predict
from tabimg.training.blocks import COLUMNS, PHOTOS, Blocks, LabelledRows
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate, LinearModel
from tabimg.training.photo_embedding import MIN_LABELLED
from tabimg.training.runtime import derive_seed, resolve_device
from tabimg.training.tasks import Task

MODALITIES = ("table", "auto", "image", "both")

PredictTable = Callable[[EncodedTable], np.ndarray]


@dataclass(frozen=True, eq=False)
class PhotoPredictor:
    """Linear models and forests on top of the fixed encoders of table and photo.

    Parameters
    ----------
    columns : TableEncoder
    members : dict of str to list of Member, or None
        By modality, "image" and "both"; empty if there was nothing to learn from. None before a
        fit, and after one that was not asked to learn from photos.
    task : Task
    device : str
    """

    columns: TableEncoder
    members: dict[str, list[Member]] | None
    task: Task
    device: str

    @property
    def _pretrainer(self) -> Any:
        return self.columns.pretrainer

    def fit(self, rows: LabelledRows, images: RowImages, seed: int) -> dict[str, list[Member]]:
        """Fit the members of each modality on those rows that have a photo."""
        if not images.has_image.any():
            return {}
        blocks = self._with_photos(rows.blocks, images, self._pretrainer.on_bad_image)
        seen = LabelledRows(blocks, rows.target, rows.weight, rows.groups)
        seen = seen.take(np.flatnonzero(blocks.has_photo()))
        if len(seen) < MIN_LABELLED:
            return {}
        image = LinearCandidate((PHOTOS,))
        candidates: dict[str, Candidate] = {
            "columns": LinearCandidate((COLUMNS,)),
            "random_forest": ForestCandidate("random_forest", derive_seed(seed, 301)),
            "image": image,
            self.columns.photo_blocks[0]: LinearCandidate(self.columns.photo_blocks),
        }
        return {
            "image": blend({"image": image}, seen, self.task, seed).members,
            "both": blend(candidates, seen, self.task, seed).members,
        }

    # --- prediction ----------------------------------------------------------------------------

    def predict_each(
        self, given: Rows, encode: Callable[[Any], EncodedTable], predict_table: PredictTable
    ) -> np.ndarray:
        """Predict each row from its table, photo or both; float64 (n_rows, n_outputs).

        Parameters
        ----------
        given : Rows
        encode : callable
            Checks and encodes their table.
        predict_table : callable
            Predicts encoded rows from the table alone.
        """
        members = self._learned("auto")
        images, table = self._images_of(given, "auto"), given.table
        is_bare = is_frame(table) and not list(table.columns) and bool(members)
        encoded = self._without_cells(len(images)) if is_bare else encode(table)
        prediction = predict_table(encoded)
        rows = np.flatnonzero(images.has_image)
        if not members or not len(rows):
            return prediction
        has_cells = ~(
            np.isnan(encoded.numeric).all(axis=1) & (encoded.codes == MISSING).all(axis=1)
        )
        policy = self._pretrainer.on_bad_image
        blocks = self._blocks(encoded.take(rows), images.take(rows), policy)
        # A photo that cannot be read counts as none, if that is allowed.
        is_read = blocks.has_photo()
        for modality, wanted in (("both", has_cells[rows]), ("image", ~has_cells[rows])):
            chosen = np.flatnonzero(is_read & wanted)
            if len(chosen):
                prediction[rows[chosen]] = self._mix(members[modality], blocks.take(chosen))
        return prediction

    def predict_with_photos(
        self, modality: str, given: Rows, encode: Callable[[Any], EncodedTable], image_column: Any
    ) -> np.ndarray:
        """Predict rows that all have a photo, float64 (n_rows, n_outputs).

        Parameters
        ----------
        modality : {"image", "both"}
        given, encode
            As in `predict_each`.
        image_column : column label, or several, or None
            For messages.

        Raises
        ------
        ValueError
            If there are no members for this modality, or a row has no photo.
        """
        members, name = self._learned(modality), f"predict_modality={shorten(modality)}"
        images = self._images_of(given, modality)
        if not members:
            raise ValueError(
                f"{name} needs a fit with photos of labelled rows and a pretrainer that keeps its "
                "image encoder; this fit had none"
            )
        if not images.has_image.any():
            raise ValueError(
                f"{name} needs photos, and no row has any in image_column={shorten(image_column)}"
            )
        missing = np.flatnonzero(~images.has_image)
        if len(missing):
            raise ValueError(
                f"{name} needs a photo in every row; {len(missing)} rows have none, the first is "
                f"row {missing[0]}. 'auto' uses what each row has"
            )
        is_bare = modality == "image"
        encoded = self._without_cells(len(images)) if is_bare else encode(given.table)
        return self._mix(members[modality], self._blocks(encoded, images, on_bad_image="raise"))

    def _learned(self, modality: str) -> dict[str, list[Member]]:
        """Return the members; raise an error if the fit was not asked to learn from photos."""
        if self.members is None:
            name = f"predict_modality={shorten(modality)}"
            raise ValueError(
                f"{name} was set after a fit with predict_modality='table', which learns nothing "
                f"from the photos of labelled rows: fit again with {name}"
            )
        return self.members

    def _images_of(self, given: Rows, modality: str) -> RowImages:
        if self.columns.pretrainer is None or not given.has_photos:
            return _no_images(len(given))
        images = given.images(self._pretrainer.image_root)
        lack = self._pretrainer._photo_embedder.why_no_pairs(images)
        if lack is not None and self.members:
            raise ValueError(f"predict_modality={shorten(modality)} is not possible: {lack}")
        return images

    def _without_cells(self, n_rows: int) -> EncodedTable:
        """Encode empty rows, for predictions from the photo alone."""
        codec = self.columns.codec
        numeric = np.full((n_rows, len(codec.numeric_names)), np.nan, dtype=np.float32)
        codes = np.full((n_rows, len(codec.categorical_names)), MISSING, dtype=np.int64)
        return EncodedTable(numeric, codes)

    def _blocks(self, encoded: EncodedTable, images: RowImages, on_bad_image: str) -> Blocks:
        """Return the features of rows that all have a photo."""
        blocks = Blocks(encoded, {COLUMNS: self.columns.codec.to_matrix(encoded)})
        return self._with_photos(blocks, images, on_bad_image)

    def _with_photos(self, blocks: Blocks, images: RowImages, on_bad_image: str) -> Blocks:
        embedder = self._pretrainer._photo_embedder.under(on_bad_image)
        return blocks.having(**self.columns.embed_with_photos(blocks.table, images, embedder))

    def _mix(self, members: list[Member], blocks: Blocks) -> np.ndarray:
        return predict(members, blocks, self.task, resolve_device(self.device))

    # --- loading -------------------------------------------------------------------------------

    def check_loaded(self) -> None:
        """Raise an error for members, read from a file, that no fit could have produced."""
        check_type("photo_members_", self.members, dict, type(None))
        if not self.members:
            return
        if self.members.keys() != {"image", "both"} or self.columns.pretrainer is None:
            raise ValueError("the members that see photos cannot come from a fit")
        network = self._pretrainer.network_
        architecture, net = network.architecture, network.on(torch.device("cpu"))
        check_type("architecture", architecture.image, ImageArchitecture)
        # What is fused is as wide as the embedding of the table.
        embedding = self.columns.embed(made_up_rows(self.columns.codec), "cpu")
        widths = {
            self.columns.photo_blocks[0]: embedding.shape[1],
            COLUMNS: len(self.columns.codec.matrix_names()),
            PHOTOS: architecture.image.width(net.image_encoder),
        }
        for members in self.members.values():
            check_members(members, self.task.n_outputs, self.columns.codec, widths)


def check_photos_to_learn_from(
    modality: str, pretrainer: Any, given: Rows, is_fitted: bool
) -> None:
    """Check, before anything is trained, that a modality has photos to learn from.

    Parameters
    ----------
    modality : {"table", "auto", "image", "both"}
    pretrainer : PhotoPretrainer or None
    given : Rows
        Labelled rows.
    is_fitted : bool
        Whether the pretrainer is used as it is.

    Raises
    ------
    ValueError
        If a photo is needed for each prediction, and none can be learned from.

    Warns
    -----
    UserWarning
        If "auto" can only ever use the table.
    """
    if modality == "table":
        return
    lack = _why_no_photos(pretrainer, given, is_fitted)
    if lack is None:
        return
    name = f"predict_modality={shorten(modality)}"
    if modality != "auto":
        raise ValueError(
            f"{name} needs a fit with photos of labelled rows and a pretrainer that keeps its "
            f"image encoder: {lack}"
        )
    warn(f"{name} will predict from the table alone, since {lack}")


def _why_no_photos(pretrainer: Any, given: Rows, is_fitted: bool) -> str | None:
    """Say what a fit lacks to learn from photos of labelled rows; None if nothing."""
    if pretrainer is None:
        return "pretrainer is None"
    if not given.has_photos:
        return "no row of X has a photo"
    images = given.images(pretrainer.image_root)
    if is_fitted:
        lack = pretrainer._photo_embedder.why_no_pairs(images)
        if lack is not None:
            return str(lack)
    elif not pretrainer.keep_image_encoder:
        return "keep_image_encoder=False drops the image encoder"
    n_photos = int(images.has_image.sum())
    if n_photos < MIN_LABELLED:
        return f"{n_photos} rows of X have a photo, and at least {MIN_LABELLED} are needed"
    return None


def photos_to_learn_from(pretrainer: Any, given: Rows, weight: np.ndarray) -> RowImages:
    """Return the photos of rows with a weight; none if the pretrainer cannot embed them.

    Their files are looked for here, since they are read only after all networks are trained.

    Raises
    ------
    tabimg.image.ImageReadError
        If files are missing, unless ``on_bad_image`` allows it.
    """
    rows = np.flatnonzero(weight > 0)
    if pretrainer is None or not given.has_photos:
        return _no_images(len(rows))
    images = given.images(pretrainer.image_root).take(rows)
    if pretrainer._photo_embedder.why_no_pairs(images) is not None:
        return _no_images(len(rows))
    if pretrainer.image_loader is None:
        look_for_files(images, pretrainer.on_bad_image)
    return images


def with_current_blocks(
    members: Mapping[str, list[Member]], blocks: tuple[str, ...]
) -> dict[str, list[Member]]:
    """Rename the blocks of rows with photos in older saves, which called "fused" an "embedding"."""

    def mended(member: Member) -> Member:
        if member.name != blocks[0] or not isinstance(member.model, LinearModel):
            return member
        return replace(member, model=replace(member.model, names=blocks))

    return {modality: [mended(each) for each in own] for modality, own in members.items()}


def _no_images(n_rows: int) -> RowImages:
    return RowImages.from_cells([[None] * n_rows])
