"""A fitted estimator as one ONNX file: raw columns in, predictions out."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators import CITabClassifier, CITabRegressor, MTCMTMClassifier, MTCMTMRegressor
from tabimg.estimators.loaded import made_up_rows, on_cpu
from tabimg.export.user_members import refuse_user_members
from tabimg.files import writing_to
from tabimg.messages import import_hint, shorten
from tabimg.serving import ServedModel, load

EXPORTED = (CITabClassifier, CITabRegressor, MTCMTMClassifier, MTCMTMRegressor)
# Share of the largest prediction that a file may differ by before it is refused. Rounding in
# float32 mostly leaves less than a hundredth of that.
TOLERANCE = 1e-3
_TRIAL_ROWS, _TRIAL_SPAN = 64, 3.0


def to_onnx(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier or regressor as an ONNX file that predicts from raw columns.

    Parameters
    ----------
    estimator : CITabClassifier, CITabRegressor, MTCMTMClassifier, MTCMTMRegressor
        Fitted, or a FrozenEstimator of one. Its ``predict_modality`` must be "table".
    path : path
        Of the file, usually with the ending ``.onnx``. Its folder must exist; an earlier file is
        replaced as a whole or not at all.

    Raises
    ------
    TypeError
        If the estimator is of another class, holds estimators of yours (``members``; the message
        names them), its ``tabular_encoder`` is one of yours that torch cannot translate, or its
        classes are neither texts nor numbers.
    ValueError
        If ``predict_modality`` is not "table".
    sklearn.exceptions.NotFittedError
    RuntimeError
        If the file's predictions of made-up rows differ from the estimator's; nothing is written.
    ImportError
        If onnx, onnxscript or onnxruntime is not installed (extra ``onnx``).
    OSError
        If the file cannot be written.

    See Also
    --------
    tabimg.serving.load : Loads the file, without torch and scikit-learn.

    Notes
    -----
    One input for each column, of shape (n_rows, 1) and with its name: numbers and bools as double
    (NaN if missing), dates as double, days since 1970-01-01 UTC, categories as string ("" if
    missing, or what the metadata entry ``tabimg.missing_text`` says). Outputs are ``label`` and
    ``probabilities``, or ``prediction``. Operators are those of opset 18 and of ai.onnx.ml 3, the
    file's metadata describe columns and classes.

    Everything that `fit` learned about columns becomes constants, headers and categories of CITab
    too: of a category's other spellings the file knows those that differ in case, blanks, ``_``
    and ``-``, as far as the estimator reads them as that category.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile
    >>> from pathlib import Path
    >>> from tabimg import MTCMTMRegressor, export, serving
    >>> table = pd.DataFrame({"size": np.arange(20.0), "colour": ["red", "blue"] * 10})
    >>> regressor = MTCMTMRegressor(tabular_encoder="mlp", finetune="full", max_epochs=1)
    >>> regressor = regressor.fit(table, np.arange(100.0, 120.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export.to_onnx(regressor, Path(folder) / "model.onnx")
    ...     served = serving.load(Path(folder) / "model.onnx")
    >>> bool(np.allclose(served.predict(table), regressor.predict(table), rtol=1e-5))
    True
    """
    found = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    _check(found)
    with import_hint("to_onnx() needs further packages", "'tabimg[onnx]'"):
        import onnxruntime  # noqa: F401  by which the file is checked
        import onnxscript  # noqa: F401  by which torch translates networks

        from tabimg.export.assembly import assemble, describe

    content = assemble(found, describe(found)).SerializeToString()
    target = Path(os.path.realpath(path))
    with writing_to(target.parent, len(content)):
        scratch = target.parent / f".{target.name}-{uuid.uuid4().hex}"
        try:
            _write(scratch, content)
            _compare(found, load(scratch))
            os.replace(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)


def _check(estimator: Any) -> None:
    if not isinstance(estimator, EXPORTED):
        raise TypeError(
            f"to_onnx() takes a fitted {' or '.join(each.__name__ for each in EXPORTED)}, got "
            f"{type(estimator).__name__}"
        )
    check_is_fitted(estimator, "members_")
    if estimator.predict_modality != "table":
        raise ValueError(
            "a file predicts from the table alone, and predict_modality is "
            f"{shorten(estimator.predict_modality)}: export "
            "estimator.set_params(predict_modality='table')"
        )
    refuse_user_members(estimator.members_)


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _compare(estimator: Any, served: ServedModel) -> None:
    """Check that made-up rows, some with missing cells, are predicted as by the estimator."""
    codec, here = estimator.codec_, on_cpu(estimator)
    frame = codec.decode(made_up_rows(codec, _TRIAL_ROWS, _TRIAL_SPAN))
    # A pretrainer may have learned the columns in another order.
    frame = frame[list(getattr(estimator, "feature_names_in_", frame.columns))]
    name = "predict_proba" if hasattr(estimator, "classes_") else "predict"
    wanted, got = getattr(here, name)(frame), getattr(served, name)(frame)
    # A number near zero has no relative precision: the largest of its column counts.
    allowed = TOLERANCE * np.abs(wanted).max(axis=0)
    farthest = np.abs(got - wanted).max(axis=0)
    if not (farthest <= allowed).all():
        raise RuntimeError(
            "the file's predictions of made-up rows differ from the estimator's by up to "
            f"{farthest.max():.3g}, so it was not written; please report this, with the versions "
            "of onnx, onnxruntime and torch"
        )
