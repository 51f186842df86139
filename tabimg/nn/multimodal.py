"""The whole pre-training network: the encoders of tables and photos, and their heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tabimg.nn.dual_encoder import DualEncoder, required
from tabimg.nn.isolation import isolated


class MultiModalNet(DualEncoder):
    """Hold the networks of one pre-training and route each modality through its own.

    A training step calls the parts it needs: a batch may lack photos, and a prediction needs the
    table alone.

    Parameters
    ----------
    row_embedding : torch.nn.Module
        Maps (numeric, codes) to features (B, F).
    tabular_encoder : torch.nn.Module
        Maps features (B, F) to embeddings (B, d).
    image_encoder : torch.nn.Module or None, default=None
        Maps pixels (B, 3, H, W) to embeddings (B, d'). None without photos.
    projections : mapping of str to torch.nn.Module or None, default=None
        Projection heads under the keys ``"table"`` and ``"image"``.
    mask_head : torch.nn.Module or None, default=None
        Maps table embeddings to (numeric, logits).

    Raises
    ------
    ValueError
        If ``projections`` has another key.
    """

    def __init__(
        self,
        row_embedding: nn.Module,
        tabular_encoder: nn.Module,
        image_encoder: nn.Module | None = None,
        projections: Mapping[str, nn.Module] | None = None,
        mask_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.row_embedding = row_embedding
        self.tabular_encoder = tabular_encoder
        self._set_photo_side(image_encoder, projections)
        self.mask_head = mask_head

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Embed rows, as a table-only network is called; see `embed_table`."""
        return self.embed_table(numeric, codes)

    def embed_table(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Embed rows.

        Parameters
        ----------
        numeric : tensor of float, shape (B, p)
            Standardised cells, NaN where missing.
        codes : tensor of int64, shape (B, q)
            Category codes.

        Returns
        -------
        tensor of float, shape (B, d)
        """
        return self.tabular_encoder(self.row_embedding(numeric, codes))

    def predict_cells(self, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Predict all cells from table embeddings; RuntimeError without a head."""
        return required(self.mask_head, "a mask-prediction head")(embedding)


def output_width(module: nn.Module, *example: Tensor) -> int:
    """Find the width of a module's embedding by a dry run.

    It runs on a copy, in evaluation mode and isolated from torch's random streams: neither the
    module nor any global state changes.

    Parameters
    ----------
    module : torch.nn.Module
        Module that returns embeddings of shape (B, width).
    *example : tensor
        The arguments of one call, with a first dimension of size B.

    Returns
    -------
    int
        The embedding's width.

    Raises
    ------
    TypeError
        If the module does not return a tensor.
    ValueError
        If the tensor is not of shape (B, width) with a width of at least 1.
    """
    probe = copy.deepcopy(module).eval()
    with torch.no_grad(), isolated(0):
        embedding = probe(*example)
    name = type(module).__name__
    if not isinstance(embedding, Tensor):
        raise TypeError(f"{name} must return a tensor, got {type(embedding).__name__}")
    n_rows = len(example[0])
    if embedding.ndim != 2 or len(embedding) != n_rows or embedding.shape[1] == 0:
        raise ValueError(
            f"{name} must return embeddings of shape (B, width); for a batch of {n_rows} it "
            f"returned shape {tuple(embedding.shape)}"
        )
    return embedding.shape[1]
