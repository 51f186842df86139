"""What displays look at in a fitted estimator: its pretrainer, its table, its embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.estimators.base_pretrainer import PhotoPretrainer
from tabimg.inputs.containers import as_container
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import as_column_list, is_frame, without_columns
from tabimg.inputs.rows import Rows


def require_finetuned(estimator: Any) -> FineTunedEstimator:
    """Return a fitted classifier or regressor of this package.

    Raises
    ------
    TypeError
        For anything else.
    sklearn.exceptions.NotFittedError
    """
    estimator = _thawed(estimator)
    if not isinstance(estimator, FineTunedEstimator):
        raise TypeError(
            f"this looks into a classifier or regressor of tabimg, got a {type(estimator).__name__}"
        )
    check_is_fitted(estimator, "members_")
    return estimator


def pretrainer_of(estimator: Any) -> PhotoPretrainer:
    """Return a fitted pretrainer, or that of a fitted classifier or regressor.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        If the estimator was trained from scratch.
    sklearn.exceptions.NotFittedError
    """
    estimator = _thawed(estimator)
    if isinstance(estimator, PhotoPretrainer):
        check_is_fitted(estimator, "network_")
        return estimator
    found = require_finetuned(estimator).pretrainer_
    if found is None:
        raise ValueError(
            f"this {type(estimator).__name__} was trained from scratch: it has no pretrainer to "
            "look into"
        )
    return found


def rows_of(estimator: Any, X: Any) -> Rows:
    """Split rows into the table, photos and groups, as the estimator declares its columns."""
    estimator = _thawed(estimator)
    pretrainer = getattr(estimator, "pretrainer_", None)
    return DeclaredColumns.of(estimator, pretrainer).rows_of(as_container(X))


def image_columns_of(estimator: Any) -> list[Any]:
    """List the columns that hold photos."""
    estimator = _thawed(estimator)
    pretrainer = getattr(estimator, "pretrainer_", None)
    return as_column_list(DeclaredColumns.of(estimator, pretrainer)["image_column"])


def has_photos(estimator: Any, X: Any) -> bool:
    """Tell whether rows come with photos in the columns that the estimator declares."""
    X = as_container(X)
    columns = image_columns_of(estimator)
    if not columns or not is_frame(X) or not set(columns) <= set(X.columns):
        return False
    return rows_of(estimator, X).has_photos


def without_images(estimator: Any, X: Any) -> Any:
    """Leave out the columns that an estimator declares to hold photos."""
    X = as_container(X)
    if not is_frame(X):
        return X
    return without_columns(X, [name for name in image_columns_of(estimator) if name in X.columns])


def table_to_predict(estimator: Any, X: Any) -> Any:
    """Return the columns that predictions use, as a pandas frame or an array.

    Photos are among them only if the estimator predicts from photos.
    """
    X = as_container(X)
    if getattr(_thawed(estimator), "predict_modality", "table") == "table":
        X = without_images(estimator, X)
    return X if isinstance(X, (pd.DataFrame, np.ndarray)) else _as_pandas(X)


def embedding_of(estimator: Any, X: Any) -> np.ndarray:
    """Embed rows with the pre-trained encoder, from the table alone; float32 (n_rows, d)."""
    estimator, pretrainer = _thawed(estimator), pretrainer_of(estimator)
    if estimator is pretrainer:
        return np.asarray(pretrainer.transform(X), dtype=np.float32)
    encoded = estimator._encode(rows_of(estimator, X).table)
    return estimator._columns.embed(encoded, estimator.device)


def some_rows(n_rows: int, most: int, random_state: Any) -> np.ndarray:
    """Draw at most so many rows; their positions in order, int64."""
    if n_rows <= most:
        return np.arange(n_rows)
    rng = np.random.default_rng(random_state)
    return np.sort(rng.choice(n_rows, size=most, replace=False))


def _thawed(estimator: Any) -> Any:
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _as_pandas(X: Any) -> Any:
    return X.to_pandas() if hasattr(X, "to_pandas") else np.asarray(X)
