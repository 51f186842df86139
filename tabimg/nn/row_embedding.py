"""From the encoded cells of a row to one dense feature vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MAX_EMBEDDING_WIDTH = 32
N_SPECIAL_CODES = 2  # 0 = unknown, 1 = missing


class RowEmbedding(nn.Module):
    """Turn standardised numbers and category codes into a dense feature vector.

    The output holds, in this order: the numeric cells; one missing-indicator for each numeric
    column that had missing cells in training; the embedding of each categorical column.

    Parameters
    ----------
    n_numeric : int
        Number of numeric columns, p.
    numeric_has_missing : sequence of bool, length p
        Which numeric columns had missing cells in training. These get a learned fill value
        (initially 0, the column's centre) and an indicator feature. In the other columns a missing
        cell becomes 0: an untrained parameter would be no better than the centre.
    cardinalities : sequence of int, length q
        Number of codes of each categorical column, the two special codes included
        (0 = unknown, 1 = missing), so each is at least 2.

    Attributes
    ----------
    out_features : int
        Width of the output.

    Raises
    ------
    ValueError
        If there is no column, the lengths disagree, or a cardinality is below 2.

    Notes
    -----
    A column of up to 32 codes starts as one-hot, which is what a linear model would see; a larger
    one starts as normal vectors of expected squared norm 1, the norm of a one-hot vector. The
    unknown code is the zero vector and stays so. The missing code starts as the zero vector too: if
    training has no missing cell it stays there, so that a missing cell in a later row adds nothing,
    instead of an untrained direction.
    """

    def __init__(
        self,
        n_numeric: int,
        numeric_has_missing: Sequence[bool],
        cardinalities: Sequence[int],
    ) -> None:
        super().__init__()
        _check_columns(n_numeric, numeric_has_missing, cardinalities)
        self.n_numeric = n_numeric
        self.cardinalities = tuple(int(size) for size in cardinalities)
        with_missing = [column for column, flag in enumerate(numeric_has_missing) if flag]
        self.missing_columns: Tensor
        self.register_buffer(
            "missing_columns", torch.tensor(with_missing, dtype=torch.int64), persistent=False
        )
        # An empty parameter would trip up optimisers and distributed reducers: create none instead.
        self.fill_value = nn.Parameter(torch.zeros(len(with_missing))) if with_missing else None
        self.embeddings = nn.ModuleList(_category_embedding(size) for size in self.cardinalities)
        self.out_features = (
            n_numeric
            + len(with_missing)
            + sum(min(size, MAX_EMBEDDING_WIDTH) for size in self.cardinalities)
        )

    def forward(self, numeric: Tensor, codes: Tensor) -> Tensor:
        """Embed a batch of rows.

        Parameters
        ----------
        numeric : tensor of float, shape (B, p)
            Standardised cells, NaN where missing. May have no column.
        codes : tensor of int64, shape (B, q)
            Category codes. May have no column.

        Returns
        -------
        tensor of float, shape (B, out_features)
            Free of NaN, as are the gradients.

        Raises
        ------
        ValueError
            If the number of columns is not that of the construction.
        """
        self._check_batch(numeric, codes)
        parts = []
        if self.n_numeric:
            parts += self._numeric_features(numeric)
        parts += [
            embedding(column)
            for embedding, column in zip(self.embeddings, codes.unbind(1), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _numeric_features(self, numeric: Tensor) -> list[Tensor]:
        missing = numeric.isnan()
        if self.fill_value is None:
            return [numeric.masked_fill(missing, 0.0)]
        fill = self.fill_value.new_zeros(self.n_numeric)
        fill = fill.index_copy(0, self.missing_columns, self.fill_value).to(numeric.dtype)
        indicators = missing.index_select(1, self.missing_columns).to(numeric.dtype)
        return [torch.where(missing, fill, numeric), indicators]

    def _check_batch(self, numeric: Tensor, codes: Tensor) -> None:
        n_categorical = len(self.cardinalities)
        if numeric.ndim != 2 or numeric.shape[1] != self.n_numeric:
            raise ValueError(
                f"numeric must have shape (B, {self.n_numeric}), got {tuple(numeric.shape)}"
            )
        if codes.ndim != 2 or codes.shape[1] != n_categorical:
            raise ValueError(
                f"codes must have shape (B, {n_categorical}), got {tuple(codes.shape)}"
            )


def _category_embedding(cardinality: int) -> nn.Embedding:
    width = min(cardinality, MAX_EMBEDDING_WIDTH)
    embedding = nn.Embedding(cardinality, width, padding_idx=0)
    with torch.no_grad():
        if width == cardinality:
            nn.init.eye_(embedding.weight)
        else:
            nn.init.normal_(embedding.weight, std=width**-0.5)
        embedding.weight[:N_SPECIAL_CODES].zero_()
    return embedding


def _check_columns(
    n_numeric: int, numeric_has_missing: Sequence[bool], cardinalities: Sequence[int]
) -> None:
    if n_numeric == 0 and len(cardinalities) == 0:
        raise ValueError("a row embedding needs at least one numeric or categorical column")
    if len(numeric_has_missing) != n_numeric:
        raise ValueError(
            f"numeric_has_missing must have one entry per numeric column ({n_numeric}), "
            f"got {len(numeric_has_missing)}"
        )
    for column, size in enumerate(cardinalities):
        if size < N_SPECIAL_CODES:
            raise ValueError(
                f"cardinality of categorical column {column} is {size}; it counts the two "
                "special codes (unknown, missing), so it must be at least 2"
            )
