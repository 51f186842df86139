"""From what `fit` is given to rows paired with photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabimg.image import RowImages, build_image_cache, stored_size
from tabimg.inputs.checks import check_fit_rows, check_table
from tabimg.inputs.frames import as_column_list, require_columns
from tabimg.inputs.hints import warn_of_odd_columns
from tabimg.inputs.rows import Rows, group_ids, take_apart
from tabimg.inputs.stacking import stack_tables
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.inputs.weights import check_weights
from tabimg.messages import warn
from tabimg.training.pairs import PairedRows


@dataclass(frozen=True)
class Material:
    """What one pre-training trains on: labelled and unlabeled rows below each other.

    Parameters
    ----------
    table : DataFrame or array of n_rows rows
    images : RowImages of n_rows rows, or None
    groups : int64 array of shape (n_rows,)
    weight : float32 array of shape (n_rows,)
    """

    table: Any
    images: RowImages | None
    groups: np.ndarray
    weight: np.ndarray


def gather(
    pretrainer: Any,
    X: Any,
    sample_weight: Any,
    image_paths: Sequence[Any] | None,
    unlabeled: Unlabeled | None,
    *,
    reset: bool,
) -> Material:
    """Check the input of a pretrainer's fit, and put unlabeled rows below the labelled ones."""
    if image_paths is None:
        require_columns(X, as_column_list(pretrainer.image_column), "image_column")
    if pretrainer.group_column is not None:
        require_columns(X, [pretrainer.group_column], "group_column")
    parts = [take_apart(X, pretrainer.image_column, pretrainer.group_column, image_paths)]
    table = check_table(pretrainer, parts[0].table, reset=reset)
    warn_of_odd_columns(table)
    weight = check_weights(sample_weight, table)
    if unlabeled is not None:
        parts.append(_take_unlabeled(pretrainer, unlabeled))
        table = stack_tables(table, parts[1].table)
        weight = np.concatenate([weight, np.ones(len(parts[1].table))])
    check_fit_rows(pretrainer, int((weight > 0).sum()))
    return Material(table, _images(pretrainer, parts), group_ids(parts), weight.astype(np.float32))


@contextmanager
def pair(pretrainer: Any, material: Material, encoded: Any) -> Iterator[PairedRows]:
    """Pair the encoded rows with their decoded photos, for as long as the context lasts."""
    images, cache = material.images, None
    if images is not None and images.vectors is None:
        cache, images = build_image_cache(
            images,
            stored_size(pretrainer.image_size),
            loader=pretrainer.image_loader,
            max_pixels=pretrainer.max_image_pixels,
            on_bad_image=pretrainer.on_bad_image,
            n_jobs=pretrainer.n_jobs,
            cache_dir=pretrainer.cache_dir,
        )
    with nullcontext() if cache is None else closing(cache):
        yield PairedRows(
            encoded, images, cache, encoded.row_keys(), material.groups, material.weight
        )


def _take_unlabeled(pretrainer: Any, unlabeled: Unlabeled) -> Rows:
    if not isinstance(unlabeled, Unlabeled):
        raise TypeError(
            f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
        )
    special = (pretrainer.image_column, pretrainer.group_column)
    return take_apart(unlabeled.frame, *special, unlabeled.image_paths, UNLABELED)


def _images(pretrainer: Any, parts: Sequence[Rows]) -> RowImages | None:
    """Collect the photos; None where none are wanted or fewer than two rows have one."""
    if not pretrainer._wants_photos() or all(part.image_cells is None for part in parts):
        return None
    images = RowImages.concat([part.images(pretrainer.image_root) for part in parts])
    if images.has_image.sum() >= 2:
        return images
    if pretrainer.lambda_m == 0:
        raise ValueError("fewer than two rows have a photo, and lambda_m is 0")
    warn("fewer than two rows have a photo: only the masked-cell loss is trained")
    return None
