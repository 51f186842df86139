"""The published split of the DVM car set: half for testing, the rest 80/20, and few-label sets."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

TEST_SHARE = 0.5
VALIDATION_SHARE = 0.2


def split_rows(
    classes: np.ndarray, random_state: int | np.random.RandomState | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split rows into training, validation and test rows, stratified by class.

    Parameters
    ----------
    classes : ndarray of shape (n,), dtype int64
        Class of each row; at least 10 rows per class.
    random_state : int, RandomState instance or None
        For both splits.

    Returns
    -------
    train, validation, test : ndarrays of int64
        Positions of rows, disjoint, all rows together.
    """
    rows = np.arange(len(classes))
    others, test = train_test_split(
        rows, test_size=TEST_SHARE, stratify=classes, random_state=random_state
    )
    train, validation = train_test_split(
        others, test_size=VALIDATION_SHARE, stratify=classes[others], random_state=random_state
    )
    return train, validation, test


def draw_tenth(
    rows: np.ndarray, classes: np.ndarray, random_state: int | np.random.RandomState | None
) -> np.ndarray:
    """Draw a tenth of some rows, with at least one row of each of their classes.

    The first row of each class is taken, and the rest drawn: stratified by class if it is large
    enough for that.

    Parameters
    ----------
    rows : ndarray of shape (k,), dtype int64
        Positions of rows.
    classes : ndarray of shape (n,), dtype int64
        Class of each row.
    random_state : int, RandomState instance or None

    Returns
    -------
    ndarray of int64
        ``max(k // 10, number of classes)`` of ``rows``.
    """
    _, first = np.unique(classes[rows], return_index=True)
    others = np.delete(rows, first)
    n_drawn = len(rows) // 10 - len(first)
    if n_drawn <= 0:
        return rows[first]
    left, counts = np.unique(classes[others], return_counts=True)
    can_stratify = counts.min() > 1 and len(left) <= n_drawn <= len(others) - len(left)
    drawn, _ = train_test_split(
        others,
        train_size=n_drawn,
        stratify=classes[others] if can_stratify else None,
        random_state=random_state,
    )
    return np.concatenate([rows[first], drawn])
