"""Inference whose result for a row does not depend on the other rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tabimg.nn.rowwise import NarrowLayersRowwise
from tabimg.table import EncodedTable
from tabimg.training.runtime import single_thread

# Matrix products of different heights may sum in different orders, so the height is fixed; narrow
# products, whose order may differ even so, are computed row by row.
BLOCK_ROWS = 64


def apply_in_blocks(
    function: Callable[..., Tensor],
    arrays: tuple[np.ndarray, ...],
    device: torch.device,
    block_rows: int = BLOCK_ROWS,
) -> np.ndarray:
    """Apply a network to rows in blocks of exactly ``block_rows`` rows.

    Parameters
    ----------
    function : callable
        Maps one tensor per array, each (block_rows, ...), to a tensor (block_rows, d).
    arrays : tuple of arrays with equal first dimension n_rows > 0
    device : torch.device
    block_rows : int, default=BLOCK_ROWS

    Returns
    -------
    array of shape (n_rows, d), of the function's dtype
    """
    n_rows = len(arrays[0])
    outputs = []
    with torch.inference_mode(), NarrowLayersRowwise():
        for start in range(0, n_rows, block_rows):
            block = [_padded(array[start : start + block_rows], block_rows) for array in arrays]
            outputs.append(function(*(torch.from_numpy(b).to(device) for b in block)).cpu())
    return torch.cat(outputs).numpy()[:n_rows]


def apply_to_table(
    function: Callable[..., Tensor],
    table: EncodedTable,
    *further: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """Apply a table network, ``function(numeric, codes, *further)``, in blocks on one thread."""
    with single_thread():
        return apply_in_blocks(function, (table.numeric, table.codes, *further), device)


def _padded(block: np.ndarray, n_rows: int) -> np.ndarray:
    """Pad a last, shorter block with copies of its first row."""
    missing = n_rows - len(block)
    if missing == 0:
        return np.ascontiguousarray(block)
    return np.concatenate([block, np.repeat(block[:1], missing, axis=0)])
