"""The input of a pretrainer's `fit`, as rows paired with photos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from tabimg.image import PhotoOptions, RowImages
from tabimg.inputs.checks import check_fit_rows
from tabimg.inputs.hints import warn_of_odd_columns
from tabimg.inputs.rows import Rows, group_ids
from tabimg.inputs.unlabeled import Unlabeled
from tabimg.inputs.weights import check_weights
from tabimg.training.optimise import RunOptions
from tabimg.training.pairs import PairedRows
from tabimg.training.photo_inputs import open_photos


class RowSource(ABC):
    """What a pretrainer defines about the rows that it is fitted on."""

    image_root: Any

    @abstractmethod
    def _wants_photos(self) -> bool:
        """Return whether any loss uses photos; if none does, no photo is read."""

    @abstractmethod
    def _labelled_parts(
        self, X: Any, image_paths: Sequence[Any] | None, *, reset: bool
    ) -> list[Rows]:
        """Check the input of `fit` and take it apart, by cohort if the method knows cohorts."""

    @abstractmethod
    def _unlabeled_parts(self, unlabeled: Unlabeled) -> list[Rows]:
        """Take further rows apart in the same way."""

    @abstractmethod
    def _stack(self, parts: Sequence[Rows]) -> Any:
        """Stack the tables of one cohort: labelled rows, and unlabeled ones if there are any."""

    @abstractmethod
    def _can_learn_from(self, n_photos: Mapping[str | int, int]) -> bool:
        """Return whether the cohorts have enough photos; warn or raise if they do not."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Labelled and unlabeled rows, in their original order; tables by cohort.

    Parameters
    ----------
    names : list of str or int
        Of the cohorts; a single one if none were named.
    tables : list of tables
        One per cohort, its labelled rows above its unlabeled ones.
    order : int64 array of shape (n_rows,)
        Position of each row in the stacked tables.
    images : RowImages of n_rows rows, or None
    groups : int64 array of shape (n_rows,)
        -1 for a row without a group.
    weight : float32 array of shape (n_rows,)
    """

    names: list[str | int]
    tables: list[Any]
    order: np.ndarray
    images: RowImages | None
    groups: np.ndarray
    weight: np.ndarray


def gather(
    pretrainer: RowSource,
    X: Any,
    sample_weight: Any,
    image_paths: Sequence[Any] | None,
    unlabeled: Unlabeled | None,
    *,
    reset: bool,
) -> TrainingRows:
    """Check the input of a pretrainer's fit, and stack the rows of each cohort."""
    parts = pretrainer._labelled_parts(X, image_paths, reset=reset)
    n_labelled = sum(len(part) for part in parts)
    if isinstance(sample_weight, Mapping):
        raise TypeError(
            "sample_weight must be one array over the rows of all cohorts, in the order of the "
            "frames; got a mapping"
        )
    weight = check_weights(sample_weight, np.zeros(n_labelled))
    if unlabeled is not None:
        if not isinstance(unlabeled, Unlabeled):
            raise TypeError(
                f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
            )
        further = pretrainer._unlabeled_parts(unlabeled)
        parts += [replace(part, places=part.places + n_labelled) for part in further]
    by_name: dict[str | int, list[Rows]] = {}
    for part in parts:
        by_name.setdefault(part.cohort, []).append(part)
    tables = [pretrainer._stack(same) for same in by_name.values()]
    for table in tables:
        warn_of_odd_columns(table)
    parts = [part for same in by_name.values() for part in same]
    order = np.argsort(np.concatenate([part.places for part in parts]))
    weight = np.concatenate([weight, np.ones(len(order) - n_labelled)])
    check_fit_rows(pretrainer, int((weight > 0).sum()))
    images = _images(pretrainer, parts)
    return TrainingRows(
        list(by_name),
        tables,
        order,
        None if images is None else images.take(order),
        group_ids(parts)[order],
        weight.astype(np.float32),
    )


@contextmanager
def paired(
    rows: TrainingRows,
    encoded: Any,
    encoder: nn.Module | None,
    options: PhotoOptions,
    run: RunOptions,
) -> Iterator[PairedRows]:
    """Pair the encoded rows with photos, as an image encoder takes them, in a context.

    Each of several processes reads the photos of its own share of the rows.
    """
    ids = (encoded.row_keys(), rows.groups, rows.weight)
    images, processes = rows.images, run.processes
    if processes.size == 1:
        own = None
    else:
        n_photos = np.zeros(len(rows.weight)) if images is None else images.counts
        own = processes.share(n_photos > 0, run.seed)
    if images is None:
        yield PairedRows(encoded, None, None, *ids, own)
        return
    wanted = images if own is None else images.take(own)
    with open_photos(wanted, encoder, options, run.device) as (photos, read):
        unread = processes.all_of(np.setdiff1d(wanted.ids, read.ids))
        yield PairedRows(encoded, images.drop_sources(np.concatenate(unread)), photos, *ids, own)


def _images(pretrainer: RowSource, parts: Sequence[Rows]) -> RowImages | None:
    """Collect the photos; None if none are wanted, or if there are too few to learn from."""
    if not pretrainer._wants_photos() or all(part.image_cells is None for part in parts):
        return None
    collected = [part.images(pretrainer.image_root) for part in parts]
    n_photos: Counter[str | int] = Counter()
    for part, images in zip(parts, collected, strict=True):
        n_photos[part.cohort] += int(images.has_image.sum())
    return RowImages.concat(collected) if pretrainer._can_learn_from(n_photos) else None
