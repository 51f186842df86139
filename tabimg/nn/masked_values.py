"""Predict masked cells of any columns, without outputs that belong to a column."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.cell_tokens import ColumnLayout


class MaskedValueHead(nn.Module):
    """Predict each cell from its own encoded token.

    Parameters
    ----------
    dim : int
        Width of a token, D.
    text_dim : int
        Width of the text vectors, h.

    Raises
    ------
    ValueError
        If a width is below 1.

    Notes
    -----
    Not in the paper; after the column-free losses of Ye et al., arXiv 2307.04308 (CM2). A cell's
    token knows its column from the header, so all columns share the layers: one hidden layer; a
    scalar for numbers; for categories a vector of the text's width, whose dot products with the
    texts t_k of the column's categories are their logits::

        logit_k = <query, t_k> / sqrt(h)

    The text vectors are fixed, so nothing can collapse. The last layers start at 0: at the centre
    of each numeric column, and equal odds for all categories. The output has the form that
    `tabimg.objectives.MaskedCellLoss` takes.
    """

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__()
        if min(dim, text_dim) < 1:
            raise ValueError(f"dim and text_dim must be at least 1, got {dim} and {text_dim}")
        self.hidden = nn.Linear(dim, dim)
        self.number = nn.Linear(dim, 1)
        self.query = nn.Linear(dim, text_dim)
        for layer in (self.number, self.query):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, cells: Tensor, layout: ColumnLayout) -> tuple[Tensor, list[Tensor]]:
        """Predict the cells of a batch of rows of one cohort.

        Parameters
        ----------
        cells : tensor of float, shape (B, p + q, D)
            The encoded cells, without CLS and padding.
        layout : ColumnLayout
            The cohort's columns.

        Returns
        -------
        numeric : tensor of float, shape (B, p)
            Standardised values.
        logits : list of q tensors of float, shapes (B, n_categories)
            Unnormalised log-probabilities of the categories; entry k stands for code k + 2.

        Raises
        ------
        ValueError
            If there is not one token for each column.
        """
        n_columns = len(layout.headers)
        if cells.ndim != 3 or cells.shape[1] != n_columns:
            raise ValueError(f"cells must have shape (B, {n_columns}, D), got {tuple(cells.shape)}")
        hidden = F.gelu(self.hidden(cells))
        numeric = self.number(hidden[:, : layout.n_numeric]).squeeze(2)
        queries = self.query(hidden[:, layout.n_numeric :]) * layout.texts.shape[1] ** -0.5
        texts = layout.texts.split(layout.n_categories)
        return numeric, [
            query @ column.T for query, column in zip(queries.unbind(1), texts, strict=True)
        ]
