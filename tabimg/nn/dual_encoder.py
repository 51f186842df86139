"""The photo side of a network of tables and photos, and the heads that compare the two."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class DualEncoder(nn.Module):
    """Base of the pre-training networks: an image encoder and one projection head per modality.

    The table's encoder is the subclass's own. A subclass calls `_set_photo_side` in its
    ``__init__``, at the place of the photos' modules: the order in which modules are set is the
    order of the saved weights.
    """

    image_encoder: nn.Module | None
    projections: nn.ModuleDict

    def _set_photo_side(
        self, image_encoder: nn.Module | None, projections: Mapping[str, nn.Module] | None
    ) -> None:
        heads = dict(projections or {})
        if not heads.keys() <= {"table", "image"}:
            raise ValueError(
                f'projections may have the keys "table" and "image", got {sorted(heads)}'
            )
        self.image_encoder = image_encoder
        self.projections = nn.ModuleDict(heads)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """Embed normalised images (B, 3, H, W) as (B, d'); RuntimeError without an encoder."""
        return required(self.image_encoder, "an image encoder")(pixels)

    def project_table(self, embedding: Tensor) -> Tensor:
        """Project table embeddings for the contrastive loss; RuntimeError without a head."""
        return self._projection("table")(embedding)

    def project_image(self, embedding: Tensor) -> Tensor:
        """Project image embeddings for the contrastive loss; RuntimeError without a head."""
        return self._projection("image")(embedding)

    def drop_image(self) -> None:
        """Drop the image encoder and both projection heads, which only pre-training needs."""
        self.image_encoder = None
        self.projections.clear()

    def _projection(self, modality: str) -> nn.Module:
        heads = dict(self.projections.items())
        return required(heads.get(modality), f"a projection head for the {modality}")


def required(module: nn.Module | None, name: str) -> nn.Module:
    """Return a part of a network; RuntimeError if the network was built without it."""
    if module is None:
        raise RuntimeError(f"this network was built without {name}")
    return module
