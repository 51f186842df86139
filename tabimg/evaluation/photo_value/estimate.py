"""Are photos likely to pay? Estimated beforehand, in minutes and without pre-training."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from torch import nn

from tabimg.evaluation.data import (
    Budget,
    Fold,
    StudyData,
    draw_seeds,
    encoded_photos,
    outer_folds,
    photo_numbers,
    plan_budgets,
    read_data,
)
from tabimg.evaluation.foundation import (
    MIN_IMAGE_SIZE,
    MIN_LABELLED,
    MIN_PAIRS,
    ImageLoader,
    check_folder,
    check_positive_int,
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

# Label fractions at which the columns alone are measured too: what photos are worth in labels is
# read from that curve.
CURVE = (0.05, 0.1, 0.25, 0.5)


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
    image_encoder: str | Callable[[], nn.Module] | None = "efficientnet_lite0",
    image_size: int | str = "auto",
    thumbnail_size: int = 32,
    n_components: int = 32,
    cache_dir: str | Path | None = None,
    device: str = "auto",
    n_jobs: int | None = None,
    random_state: int = 0,
) -> PhotoValue:
    """Estimate, before any pre-training, whether photos are likely to pay.

    Photos are seen once, by an image encoder with public weights; what it sees goes into linear
    models, trees and boosting, as ``finetune="auto"`` blends them. Two thousand rows take a few
    minutes, and of a larger table a few thousand rows are enough. Four questions are asked on the
    same cross-validated rows: do columns and photos say something about the target; do the columns
    predict what the photos show; with few labels, how much better does a model of the table alone
    predict if it was taught by photos of unlabelled rows; and does the photo tell the teacher more
    than the student, the table, already knows?

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table with its photo column, without the target.
    y : array of shape (n_rows,)
        Labels or numbers.
    image_column : column label or list of labels
        The photos; cells as in `MultiModalPretrainer`. Embedding vectors in their place are taken
        as they are.
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
    image_encoder : str, callable or None, default="efficientnet_lite0"
        Sees the photos; as in `MultiModalPretrainer`, and with weights. None does without a
        network: photos are thumbnails and their spectra, which show less.
    image_size : int or "auto", default="auto"
        Height and width, in pixels, at which the encoder sees photos.
    thumbnail_size : int, default=32
        Height and width of thumbnails in pixels. By them, photos that look alike are found.
    n_components : int, default=32
        Principal components of what is seen in photos.
    cache_dir : str or Path, default=None
        What the encoder sees is kept in this folder, where a later pre-training with the same
        ``cache_dir`` finds it. In the same process it is found anyway, up to 256 MiB.
    device : str, default="auto"
        Of the encoder.
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
        For invalid input, no photos, an encoder without weights, or a label fraction that leaves
        too few labels or pairs.
    ImportError
        If a package that the encoder needs is not installed.

    Notes
    -----
    Rows without a photo are left out, and the report says how many. Photos teach by the
    distillation of ``finetune="auto"``, and its prior weighs the models. No model sees the photo of
    a test row, except those that measure what photos say about the target, or could add to a
    prediction. As a control, photos are shuffled among the training rows.

    What photos are worth in labels is read from the learning curve of the columns alone, which is
    measured at 5, 10, 25 and 50 % of the labels, at ``label_fractions``, and with all labels.

    A fixed encoder may miss what a network would learn to see, so a "no" is weaker than a "yes".

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
    check_folder("cache_dir", cache_dir)
    if image_size != "auto":
        check_positive_int("image_size", image_size, low=MIN_IMAGE_SIZE)
    warn_of_odd_columns(data.table)
    TableCodec().fit(data.table)  # an invalid column raises its error now
    cells = take_apart(data.pairs, data.image_columns, None).image_cells or []
    reading: dict[str, Any] = {
        "root": image_root,
        "loader": image_loader,
        "max_pixels": max_image_pixels,
        "n_jobs": n_jobs,
    }
    if image_encoder is None:
        numbers, has_photo = photo_numbers(
            cells, thumbnail_size, on_bad_image=on_bad_image, **reading
        )
        thumbnails = numbers
    else:
        numbers, has_photo = encoded_photos(
            cells,
            image_encoder,
            image_size=image_size,
            on_bad_image=on_bad_image,
            cache_dir=cache_dir,
            device=device,
            **reading,
        )
        thumbnails, _ = photo_numbers(cells, thumbnail_size, on_bad_image="skip", **reading)
    if not has_photo.any():
        raise ValueError(f"no row has a photo in {data.image_columns}")
    if not numbers.any():
        raise ValueError(f"the photos in {data.image_columns} all look alike")
    doubles = near_equal_photos(thumbnails, data.groups)
    warn_of_doubles(doubles, LOOKS, read_columns(data.table))
    data, numbers = _with_photo(data, has_photo), numbers[has_photo]
    rule = (data.groups, data.classes)
    folds = outer_folds(*rule, n_folds, 1, random_state)
    budgets, curve = _planned(data, folds, fractions, n_draws, random_state)
    with parallel_config(backend="loky", inner_max_num_threads=1):
        measured = Parallel(n_jobs=n_jobs)(
            delayed(measure_fold)(data, numbers, fold, budgets, curve, n_components, random_state)
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


def _planned(
    data: StudyData,
    folds: Sequence[Fold],
    fractions: Sequence[float],
    n_draws: int | Mapping[float, int],
    random_state: int,
) -> tuple[list[Budget], list[Budget]]:
    """Plan the label budgets that photos are asked at, and further points of a learning curve.

    Raises
    ------
    ValueError
        If a fraction leaves too few labels, or too few others to teach with.
    """
    rule = (data.groups, data.classes)
    budgets = plan_budgets(folds, *rule, fractions, n_draws, random_state)
    asked = []
    for budget in budgets:
        sizes = _sizes(data, folds, budget, random_state)
        asked.append(sizes)
        for fold, (n_labelled, n_pairs) in zip(folds, sizes, strict=True):
            if n_labelled < MIN_LABELLED or n_pairs < MIN_PAIRS:
                raise ValueError(
                    f"the label fraction {budget.text} gives {n_labelled} labelled rows and "
                    f"{n_pairs} others with a photo in fold {fold.number}, but photos need "
                    f"{MIN_LABELLED} and {MIN_PAIRS} to teach anything: choose other "
                    "label_fractions, or give more rows"
                )
    curve = []
    for budget in plan_budgets(folds, *rule, CURVE, 1, random_state):
        sizes = _sizes(data, folds, budget, random_state)
        is_enough = all(n >= MIN_LABELLED and others > 0 for n, others in sizes)
        if is_enough and sizes not in asked:
            curve.append(replace(budget, n_draws=max(each.n_draws for each in budgets)))
    return budgets, curve


def _sizes(
    data: StudyData, folds: Sequence[Fold], budget: Budget, random_state: int
) -> list[tuple[int, int]]:
    """Count in each fold the rows with a label and those without."""
    sizes = []
    for fold in folds:
        (seed,) = draw_seeds(random_state, fold, 1)
        n_labelled = len(draw_labelled(data, fold, budget, seed))
        sizes.append((n_labelled, len(fold.train) - n_labelled))
    return sizes
