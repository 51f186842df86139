"""Which interrupted fit an estimator resumes: the one with the same parameters and data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from tabimg.training.checkpoint_folder import checkpointed
from tabimg.training.processes import ONE_PROCESS, Processes

# Parameters that say where, how fast or how verbosely to compute, not what.
CIRCUMSTANCES = {
    "cache_dir",
    "checkpoint_dir",
    "compile",
    "device",
    "image_root",
    "keep_image_encoder",
    "memory",
    "n_jobs",
    "n_threads",
    "photo_control",
    "verbose",
}
# May differ when an interrupted fit is resumed.
_FREE = CIRCUMSTANCES | {"callbacks", "time_limit"}


@contextmanager
def fit_checkpoints(
    estimator: Any,
    seed: int,
    continued: bool,
    data: Callable[[], dict[str, Any]],
    processes: Processes = ONE_PROCESS,
) -> Iterator[int]:
    """Keep an estimator's checkpoints while it is fitted; yields the seed to fit with.

    Parameters
    ----------
    estimator : a pretrainer, or a fine-tuned estimator
    seed : int
        Drawn from its ``random_state``.
    continued : bool
        Whether a warm start continues what an earlier fit learned.
    data : callable
        Returns the data by name; the names are shown if an earlier fit had other data.
    processes : Processes, default=ONE_PROCESS
        Those that fit together: the first one keeps the checkpoints, and its seed is used by all.
    """

    def identity() -> dict[str, str]:
        found = {"the kind of estimator": type(estimator).__name__}
        for name, value in estimator.get_params(deep=True).items():
            if name.rpartition("__")[2] not in _FREE:
                found[name] = _digest(value)
        # A seed that nobody chose is found in the folder.
        found["random_state"] = "any" if estimator.random_state is None else str(seed)
        if continued:
            found["the warm start"] = _digest(_learned(estimator))
        return {**found, **{name: _digest(value) for name, value in data().items()}}

    directory = estimator.checkpoint_dir if processes.is_first else None
    with checkpointed(directory, identity, seed) as found:
        yield processes.from_first(lambda: found)


def _learned(estimator: Any) -> Any:
    """Return the weights of a fitted estimator, else None."""
    if hasattr(estimator, "network_"):
        return estimator.network_.arrays
    return [member.model.module.arrays for member in getattr(estimator, "members_", [])] or None


def _digest(value: Any) -> str:
    if hasattr(value, "get_params") and not isinstance(value, type):
        # Its parameters have their own digests.
        return joblib.hash((type(value).__name__, _learned(getattr(value, "estimator", value))))
    try:
        return joblib.hash(value)
    except Exception:  # code without a name, or cells of a user's type
        return getattr(value, "__qualname__", type(value).__name__)
