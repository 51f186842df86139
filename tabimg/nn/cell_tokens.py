"""A cell as a token: the meaning of its column's header, times its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tabimg.nn.initialisation import initialise_rectified
from tabimg.nn.row_embedding import N_SPECIAL_CODES

TokenForm = Literal["scale", "product", "sum"]


class ColumnLayout(nn.Module):
    """What is fixed for one cohort's columns: the vectors of their headers and categories.

    Parameters
    ----------
    headers : tensor of float, shape (p + q, h)
        Text vector of each column's header, of RMS 1; the p numeric columns first, then the q
        categorical ones.
    category_texts : sequence of q tensors of float, shapes (n_categories, h)
        Text vectors of each categorical column's categories; row k stands for code k + 2. A column
        may have no category.

    Attributes
    ----------
    headers : tensor of float, shape (p + q, h)
    texts : tensor of float, shape (n_texts, h)
        The categories of all columns, stacked.
    offsets : tensor of int64, shape (q,)
        Code c of categorical column j has the text ``texts[offsets[j] + c - 2]``.
    n_numeric : int
        Number of numeric columns, p.
    n_categories : tuple of int, length q
        Number of categories of each categorical column.

    Raises
    ------
    ValueError
        If there is no column, or a shape is not as described.

    Notes
    -----
    A module, so that the vectors follow a network to its device. They are not in its state dict: a
    network's weights belong to no column and fit every layout.
    """

    headers: Tensor
    texts: Tensor
    offsets: Tensor

    def __init__(self, headers: Tensor, category_texts: Sequence[Tensor] = ()) -> None:
        super().__init__()
        _check_columns(headers, category_texts)
        self.n_numeric = len(headers) - len(category_texts)
        self.n_categories = tuple(len(texts) for texts in category_texts)
        offsets = [0, *accumulate(self.n_categories)][:-1] if category_texts else []
        # The empty piece gives the width if there is no categorical column.
        texts = torch.cat([headers[:0], *category_texts])
        self.register_buffer("headers", headers.detach().clone(), persistent=False)
        self.register_buffer("texts", texts.detach(), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)


class CellTokens(nn.Module):
    """Turn the cells of one cohort's rows into tokens, without weights that belong to a column.

    Parameters
    ----------
    text_dim : int
        Width of the text vectors, h.
    dim : int
        Width of a token, D.
    form : {"scale", "product", "sum"}, default="scale"
        How header t and value v become a token: ``"scale"``: t * (1 + v), numbers through a
        two-layer network; ``"product"``: t * v and ``"sum"``: t + v, numbers through one linear
        layer.

    Raises
    ------
    ValueError
        If a width is below 1 or ``form`` is none of these.

    Notes
    -----
    Fu et al., arXiv 2512.14026 (CITab): header vector through a linear adapter, times the value
    through a linear layer that all columns share (``"product"``); a missing cell has one learned
    mask vector as its value. Not in the paper: the other two forms; a category's value is the
    vector of its text, through an adapter of its own, where the paper feeds the code as a number.

    With a bias of 0 a product has two flaws at the start: the number 0, the centre of its column,
    gives a token of 0 that has lost its header; and the layer norm that follows removes a number's
    magnitude from its token and leaves only the sign. The bias therefore starts at random, and in
    ``"scale"`` the header remains whatever the number is, while each entry of the token varies with
    the number in its own way, which a layer norm preserves. Both adapters map vectors of RMS 1
    to vectors of expected RMS 1.
    """

    def __init__(self, text_dim: int, dim: int, form: TokenForm = "scale") -> None:
        super().__init__()
        if min(text_dim, dim) < 1:
            raise ValueError(f"text_dim and dim must be at least 1, got {text_dim} and {dim}")
        if form not in get_args(TokenForm):
            raise ValueError(f"form must be one of {get_args(TokenForm)}, got {form!r}")
        self.form = form
        self.header_adapter = _text_adapter(text_dim, dim)
        self.text_adapter = _text_adapter(text_dim, dim)
        self.number = _number_network(dim) if form == "scale" else nn.Linear(1, dim)
        # As large as the value of a category.
        self.mask = nn.Parameter(torch.randn(dim))

    def forward(
        self, numeric: Tensor, codes: Tensor, layout: ColumnLayout
    ) -> tuple[Tensor, Tensor]:
        """Tokenise a batch of rows of one cohort.

        Parameters
        ----------
        numeric : tensor of float, shape (B, p)
            Standardised cells, NaN where missing. May have no column.
        codes : tensor of int64, shape (B, q)
            0 = unknown, 1 = missing, 2 and up = categories. May have no column.
        layout : ColumnLayout
            The cohort's columns.

        Returns
        -------
        tokens : tensor of float, shape (B, p + q, D)
            Free of NaN, as are the gradients.
        present : tensor of bool, shape (B, p + q)
            False for missing and unknown cells.

        Raises
        ------
        ValueError
            If the columns are not those of the layout.
        """
        _check_batch(numeric, codes, layout)
        missing = numeric.isnan()
        # Filled before the network: a NaN that is replaced after it still spoils the gradients.
        numbers = self.number(numeric.masked_fill(missing, 0.0).unsqueeze(2))
        numbers = torch.where(missing.unsqueeze(2), self.mask, numbers)
        values = torch.cat([numbers, self._category_values(codes, layout)], dim=1)
        present = torch.cat([~missing, codes >= N_SPECIAL_CODES], dim=1)
        return _COMBINE[self.form](self.header_adapter(layout.headers), values), present

    def _category_values(self, codes: Tensor, layout: ColumnLayout) -> Tensor:
        """Value vectors of the categorical cells, (B, q, D)."""
        table = torch.cat([self.mask.unsqueeze(0), self.text_adapter(layout.texts)])
        # The mask vector comes first in the table, hence one more than the layout's own index.
        index = layout.offsets + codes - N_SPECIAL_CODES + 1
        return F.embedding(index.masked_fill(codes < N_SPECIAL_CODES, 0), table)


def pad_tokens(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stack the tokens of several cohorts into one batch, as wide as its widest row.

    Parameters
    ----------
    parts : sequence of pairs (tokens (B_i, T_i, D), present (B_i, T_i))
        As `CellTokens` returns them; at least one.

    Returns
    -------
    tokens : tensor of float, shape (B, T, D)
        The rows of all parts in order, padded with zeros after their own tokens.
    present : tensor of bool, shape (B, T)
        Also False for padding.
    """
    width = max(present.shape[1] for _, present in parts)
    tokens = [F.pad(tokens, (0, 0, 0, width - tokens.shape[1])) for tokens, _ in parts]
    present = [F.pad(present, (0, width - present.shape[1])) for _, present in parts]
    return torch.cat(tokens), torch.cat(present)


def _scale(header: Tensor, value: Tensor) -> Tensor:
    return header * (1.0 + value)


_COMBINE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "scale": _scale,
    "product": torch.mul,
    "sum": torch.add,
}


def _text_adapter(text_dim: int, dim: int) -> nn.Linear:
    adapter = nn.Linear(text_dim, dim)
    nn.init.normal_(adapter.weight, std=text_dim**-0.5)
    nn.init.zeros_(adapter.bias)
    return adapter


def _number_network(dim: int) -> nn.Sequential:
    expand, mix = nn.Linear(1, dim), nn.Linear(dim, dim)
    # Torch's own start is half as large: the header would drown out the number.
    initialise_rectified(mix)
    return nn.Sequential(expand, nn.GELU(), mix)


def _check_columns(headers: Tensor, category_texts: Sequence[Tensor]) -> None:
    if headers.ndim != 2 or len(headers) == 0 or len(headers) < len(category_texts):
        raise ValueError(
            "headers must have shape (p + q, h), with at least one column and one row for each of "
            f"the {len(category_texts)} categorical columns, got {tuple(headers.shape)}"
        )
    for column, texts in enumerate(category_texts):
        if texts.ndim != 2 or texts.shape[1] != headers.shape[1]:
            raise ValueError(
                f"texts of categorical column {column} must have shape (n_categories, "
                f"{headers.shape[1]}), the width of the headers, got {tuple(texts.shape)}"
            )


def _check_batch(numeric: Tensor, codes: Tensor, layout: ColumnLayout) -> None:
    n_categorical = len(layout.n_categories)
    if numeric.ndim != 2 or numeric.shape[1] != layout.n_numeric:
        raise ValueError(
            f"numeric must have shape (B, {layout.n_numeric}), got {tuple(numeric.shape)}"
        )
    # Not `len`, which a trace for export takes for a constant.
    if codes.shape != (numeric.shape[0], n_categorical):
        raise ValueError(
            f"codes must have shape ({len(numeric)}, {n_categorical}), got {tuple(codes.shape)}"
        )
