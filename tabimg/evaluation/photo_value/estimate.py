"""Are photos likely to pay? Estimated beforehand, in a minute and without pre-training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config

from tabimg.evaluation.data import (
    Budget,
    Fold,
    StudyData,
    draw_seeds,
    outer_folds,
    photo_numbers,
    plan_budgets,
    read_data,
)
from tabimg.evaluation.foundation import (
    MIN_LABELLED,
    MIN_PAIRS,
    ImageLoader,
    take_apart,
    warn_of_odd_columns,
)
from tabimg.evaluation.leakage import LOOKS, near_equal_photos, warn_of_doubles
from tabimg.evaluation.metrics import check_metric
from tabimg.evaluation.photo_value.questions import draw_labelled, measure_fold
from tabimg.evaluation.photo_value.verdict import PhotoValue
from tabimg.image import MAX_PIXELS
from tabimg.messages import shorten
from tabimg.table import TableCodec, read_columns


def photo_value(
    X: Any,
    y: Any,
    *,
    image_column: Hashable | Sequence[Hashable],
    image_root: str | Path | None = None,
    image_loader: ImageLoader | None = None,
    max_image_pixels: int = MAX_PIXELS,
    on_bad_image: str = "raise",
    group_column: Hashable | None = None,
    task: str = "auto",
    metric: str | None = None,
    label_fractions: Sequence[float] = (0.1, 0.3),
    n_folds: int = 5,
    n_draws: int | Mapping[float, int] = 1,
    thumbnail_size: int = 32,
    n_components: int = 32,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> PhotoValue:
    """Estimate, before any pre-training, whether photos are likely to pay.

    Photos are used as thumbnails, and models are linear ones and forests: a thousand rows take
    about two minutes on one core, and of a large table a few thousand rows are enough. Three
    questions are asked on the same cross-validated rows: do columns and photos say something about
    the target; do the columns predict what the photos show; and, with few labels, how much better
    does a model of the table alone predict if it was taught by photos of unlabelled rows?

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table with its photo column, without the target.
    y : array of shape (n_rows,)
        Labels or numbers.
    image_column : column label or list of labels
        The photos; cells as in `MultiModalPretrainer`. Embedding vectors in their place, from any
        network, give a sharper answer.
    image_root : str or Path, default=None
        Folder that relative paths start from.
    image_loader : callable, default=None
        Opens what Pillow cannot, as in `MultiModalPretrainer`.
    max_image_pixels : int, default=100_000_000
        A photo with more pixels counts as unreadable.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
        What to do with a photo that cannot be read.
    group_column : column label, default=None
        Rows of one group stay on one side of each split. It is not a feature.
    task : {"auto", "classification", "regression"}, default="auto"
    metric : str, default=None
        As in `ablation_study`; None is "accuracy" or "relative_mse". If one class is by far the
        most frequent, accuracy hardly changes: use "auc".
    label_fractions : sequence of float in (0, 1), default=(0.1, 0.3)
        Share of the training rows that have a label; the others are pairs of row and photo.
    n_folds : int, default=5
    n_draws : int, or mapping of fraction to int, default=1
        How often labelled rows are drawn in each fold.
    thumbnail_size : int, default=32
        Height and width of the thumbnails in pixels.
    n_components : int, default=32
        Principal components of thumbnails and their spectra.
    n_jobs : int, default=None
        Processes, and threads that decode photos; None is 1, -1 all processors.
    random_state : int, default=0
        If all rows have a photo, folds and labelled rows are those of an `ablation_study` with the
        same value.

    Returns
    -------
    PhotoValue
        Prints as a short report with a verdict.

    Raises
    ------
    ImageReadError
        If a photo cannot be read, with ``on_bad_image="raise"``; names row and file.
    ValueError, TypeError
        For invalid input, no photos, or a label fraction that leaves too few labels or pairs.

    Notes
    -----
    Rows without a photo are left out, and the report says how many. The models of the table are a
    penalised linear model and a forest, blended as in ``finetune="auto"``; photos teach by the
    distillation used there. No model sees the photo of a test row, except those that measure what
    photos say about the target. As a control, photos are shuffled among the training rows.

    Thumbnails show less than a network sees, and a linear teacher understands less, so a "no" is
    weaker than a "yes".

    Examples
    --------
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.evaluation import photo_value
    >>> membranes = make_membranes(n_samples=120, image_size=32, random_state=0)
    >>> value = photo_value(
    ...     membranes.data,
    ...     membranes.target,
    ...     image_column="photo",
    ...     label_fractions=[0.2],
    ...     n_folds=2,
    ...     n_draws=1,
    ... )
    >>> print(value)  # doctest: +SKIP
    """
    data = read_data(X, y, image_column, group_column, task)
    if data.table.shape[1] == 0:
        raise ValueError("X has only photo and group columns: there is nothing to predict from")
    metric = check_metric(metric, data.task)
    fractions = _checked_fractions(label_fractions)
    _check_at_least_1("thumbnail_size", thumbnail_size)
    _check_at_least_1("n_components", n_components)
    warn_of_odd_columns(data.table)
    TableCodec().fit(data.table)  # an invalid column raises its error now
    numbers, has_photo = photo_numbers(
        take_apart(data.pairs, data.image_columns, None).image_cells or [],
        thumbnail_size,
        root=image_root,
        loader=image_loader,
        max_pixels=max_image_pixels,
        on_bad_image=on_bad_image,
        n_jobs=n_jobs,
    )
    if not has_photo.any():
        raise ValueError(f"no row has a photo in {data.image_columns}")
    if not numbers.any():
        raise ValueError(f"the photos in {data.image_columns} all look alike as thumbnails")
    doubles = near_equal_photos(numbers, data.groups)
    warn_of_doubles(doubles, LOOKS, read_columns(data.table))
    data, numbers = _with_photo(data, has_photo), numbers[has_photo]
    rule = (data.groups, data.classes)
    folds = outer_folds(*rule, n_folds, 1, random_state)
    budgets = plan_budgets(folds, *rule, fractions, n_draws, random_state)
    _check_budgets(data, folds, budgets, random_state)
    with parallel_config(backend="loky", inner_max_num_threads=1):
        measured = Parallel(n_jobs=n_jobs)(
            delayed(measure_fold)(data, numbers, fold, budgets, n_components, random_state)
            for fold in folds
        )
    return PhotoValue(
        scores=pd.DataFrame([row for scores, _ in measured for row in scores]),
        carried=pd.DataFrame([row for _, row in measured]),
        metric=metric,
        n_rows=len(data),
        n_without_photo=int((~has_photo).sum()),
    )


def _with_photo(data: StudyData, has_photo: np.ndarray) -> StudyData:
    """Keep the rows with a photo, and drop the photos, which are numbers by now."""
    return replace(
        data,
        pairs=data.pairs[has_photo].drop(columns=data.image_columns).reset_index(drop=True),
        target=data.target[has_photo],
        groups=data.groups[has_photo],
        image_columns=[],
    )


def _checked_fractions(fractions: Sequence[float]) -> list[float]:
    fractions = list(fractions)
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise ValueError(
            f"label_fractions must be numbers above 0 and below 1, got {fractions}: if every row "
            "has a label, photos have no unlabelled rows to teach with"
        )
    return fractions


def _check_at_least_1(name: str, value: int) -> None:
    if not value >= 1:
        raise ValueError(f"{name} must be at least 1, got {shorten(value)}")


def _check_budgets(
    data: StudyData, folds: Sequence[Fold], budgets: Sequence[Budget], random_state: int
) -> None:
    for fold in folds:
        (seed,) = draw_seeds(random_state, fold, 1)
        for budget in budgets:
            n_labelled = len(draw_labelled(data, fold, budget, seed))
            n_pairs = len(fold.train) - n_labelled
            if n_labelled < MIN_LABELLED or n_pairs < MIN_PAIRS:
                raise ValueError(
                    f"the label fraction {budget.text} gives {n_labelled} labelled rows and "
                    f"{n_pairs} others with a photo in fold {fold.number}, but photos need "
                    f"{MIN_LABELLED} and {MIN_PAIRS} to teach anything: choose other "
                    "label_fractions, or give more rows"
                )
