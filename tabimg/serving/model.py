"""An exported file, ready to predict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.messages import import_hint, listing, shorten
from tabimg.serving.cells import read_column
from tabimg.serving.contract import PREDICTION, PROBABILITIES, Description, Feature, ServingError


def load(
    path: str | os.PathLike[str],
    *,
    n_threads: int | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> ServedModel:
    """Load a file that `tabimg.export.to_onnx` wrote, by onnxruntime.

    Parameters
    ----------
    path : path
    n_threads : int, optional
        Threads for one prediction. None leaves it to onnxruntime, which takes one for each core; a
        server with several workers should give 1.
    providers : sequence of str, default=("CPUExecutionProvider",)
        As in `onnxruntime.InferenceSession`.

    Returns
    -------
    ServedModel

    Raises
    ------
    FileNotFoundError
    ServingError
        If it is not an ONNX file, or not one of tabimg, or a newer version wrote it.
    ImportError
        If onnxruntime is not installed.

    Examples
    --------
    >>> import tabimg.serving
    >>> model = tabimg.serving.load("cars.onnx")  # doctest: +SKIP
    >>> model.predict({"mileage": [12_000, None], "colour": ["red", "blue"]})  # doctest: +SKIP
    array(['Golf', 'Polo'], dtype='<U4')
    """
    with import_hint("tabimg.serving needs onnxruntime", "onnxruntime"):
        import onnxruntime

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what its optimiser leaves as it is concerns nobody
    if n_threads is not None:
        options.intra_op_num_threads = int(n_threads)
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, list(providers))
    except Exception as error:  # each cause has an exception class of its own
        raise ServingError(
            f"onnxruntime {onnxruntime.__version__} cannot load {os.fspath(path)}: "
            f"{str(error)[:300]}"
        ) from error
    return ServedModel(session)


class ServedModel:
    """Predicts as the exported estimator does.

    Parameters
    ----------
    session : onnxruntime.InferenceSession

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The columns, as `fit` saw them; positions (int) if that was a table without names.
    classes_ : ndarray
        The labels; only a classifier has them.
    n_features_in_ : int
    description : Description
        All that the file says about itself.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.description = Description.from_metadata(session.get_modelmeta().custom_metadata_map)
        names = [feature.name for feature in self.description.features]
        self.feature_names_in_ = np.array(names)
        self.n_features_in_ = len(names)
        if self.description.classes is not None:
            self.classes_ = np.array(self.description.classes, self.description.classes_dtype)

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers.

        Parameters
        ----------
        X : DataFrame, mapping of column name to sequence, or array of shape (n_rows, n_columns)
            Dates may be ISO 8601 texts, as in JSON; all else is read as the estimator reads it.
            Columns come in any order; those of photos, groups and cohorts may be there.

        Returns
        -------
        ndarray of shape (n_rows,), or float64 (n_rows, n_outputs)
            As the estimator's ``predict``.

        Raises
        ------
        ValueError
            If columns are missing or unknown, or a cell does not fit its column; the message names
            them.
        """
        if self.description.classes is None:
            return self._run(X, PREDICTION)
        return self.classes_[np.argmax(self._run(X, PROBABILITIES), axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities, float64 (n_rows, n_classes), in the order of `classes_`.

        Parameters
        ----------
        X : as in `predict`

        Raises
        ------
        AttributeError
            If the model predicts numbers.
        ValueError
            As `predict`.
        """
        if self.description.classes is None:
            raise AttributeError(f"a {self.description.estimator} has no predict_proba")
        return self._run(X, PROBABILITIES)

    def _run(self, X: Any, output: str) -> np.ndarray:
        return self.session.run([output], self.inputs_of(X))[0]

    def inputs_of(self, X: Any) -> dict[str, np.ndarray]:
        """Return the inputs of the ONNX session for some rows, arrays of shape (n_rows, 1)."""
        columns = self._columns_of(X)
        text = self.description.missing_text
        inputs = {
            feature.input: read_column(feature.name, feature.kind, columns[feature.name], text)
            for feature in self.description.features
            if feature.input is not None
        }
        lengths = {name: len(values) for name, values in inputs.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of X differ in length: {shorten(lengths)}")
        if 0 in lengths.values():
            raise ValueError("X has no rows: give at least one")
        return inputs

    def _columns_of(self, X: Any) -> dict[str | int, Any]:
        """Return the cells of each column that the model has."""
        features = self.description.features
        if isinstance(X, Mapping) or hasattr(X, "columns"):
            self._check_names(list(X) if isinstance(X, Mapping) else _names_of(X))
            return {each.name: _cells(each.name, X[each.name]) for each in features if each.input}
        rows = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
        if rows.ndim != 2 or rows.shape[1] != len(features):
            raise ValueError(
                f"expected a table of {len(features)} columns, got shape {rows.shape}: give a "
                f"DataFrame, a mapping of column to list, or an array with the columns "
                f"[{listing(self.feature_names_in_.tolist())}]"
            )
        return {
            each.name: rows[:, position] if rows.dtype != object else rows[:, position].tolist()
            for position, each in enumerate(features)
        }

    def _check_names(self, given: list[Any]) -> None:
        features = self.description.features
        missing = [each.name for each in features if each.input and each.name not in given]
        if missing:
            raise ValueError(
                f"X lacks the columns [{listing(missing)}]; the model needs "
                f"[{listing([each.name for each in features if each.input], 50)}]"
            )
        known = {each.name for each in features} | set(self.description.not_features)
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(
                f"X has columns that the model does not know: [{listing(unknown)}]; leave them out"
            )


def _names_of(frame: Any) -> list[Any]:
    names = getattr(frame, "column_names", None)  # pyarrow's columns are the cells
    return list(frame.columns) if names is None else list(names)


def _cells(name: str | int, column: Any) -> Any:
    """Return a column as an array of plain numbers, or a list of Python objects."""
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiubmM":
        return np.asarray(column)
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(column, method):
            return getattr(column, method)()
    if isinstance(column, (str, bytes, Mapping)) or not isinstance(column, Iterable):
        raise TypeError(
            f"column {shorten(name)} is {shorten(column)}: give a list with one cell for each row"
        )
    return list(column)


__all__ = ["Feature", "ServedModel", "load"]
