"""The extra baselines: published models with their published defaults, bagged over inner folds."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import random
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor

from tabimg.evaluation.baselines.problem import Problem, Settings, predict_all_classes
from tabimg.evaluation.foundation import own_warning_filters
from tabimg.messages import import_hint
from tabimg.table import RawColumn, TableSchema, read_columns

MISSING = "(missing)"
FEW_ROWS = 10


class PlainView:
    """A plain frame of the raw cells, for models that scale and encode them.

    Numbers keep their unit; a missing one becomes the training rows' median, with an indicator
    column. Discrete cells are categories, and a missing cell is a category too.
    """

    def __init__(self, table: Any) -> None:
        columns = read_columns(table)
        self.schema = TableSchema.fit(columns)
        self.medians = {
            position: float(np.nanmedian(column.values))
            for position, column in self._observed(columns)
            if column.kind.is_continuous
        }
        self.incomplete = {position for position, c in enumerate(columns) if c.missing().any()}

    def __call__(self, table: Any) -> pd.DataFrame:
        cells: dict[str, Any] = {}
        for position, column in self._observed(self.schema.conform(read_columns(table))):
            missing = column.missing()
            if column.kind.is_discrete:
                cells[str(position)] = pd.Categorical(np.where(missing, MISSING, column.values))
                continue
            cells[str(position)] = np.where(missing, self.medians[position], column.values)
            if position in self.incomplete:
                cells[f"{position} is missing"] = missing.astype(np.float64)
        return pd.DataFrame(cells)

    def _observed(self, columns: list[RawColumn]) -> Iterator[tuple[int, RawColumn]]:
        """The columns that have a cell in the training rows, with their positions."""
        for position, column in enumerate(columns):
            if self.schema.kinds[position] != "empty":
                yield position, column


@dataclass(frozen=True)
class Rival:
    """A model of the pytabkit package.

    Parameters
    ----------
    title : str
        The prefix of its class names.
    n_members : int
        Maximum number of inner folds that are fitted, and averaged in prediction.
    max_bagged_rows : float
        With more rows to fit there is only one member.
    settings : dict
        Differences from its defaults.
    settings_of_few_rows : dict
        Further differences with fewer than `FEW_ROWS` rows to fit.
    """

    title: str
    n_members: int
    max_bagged_rows: float = math.inf
    settings: Settings = field(default_factory=dict)
    settings_of_few_rows: Settings = field(default_factory=dict)

    def fit(self, problem: Problem) -> BaggedModel:
        """Fit one member per inner fold, with early stopping on that fold, up to ``n_members``."""
        view = PlainView(problem.table)
        every_row = np.arange(len(problem.target))
        # If nothing can be held out, the training rows themselves decide when to stop.
        n_members = self.n_members if len(every_row) <= self.max_bagged_rows else 1
        folds = problem.folds[:n_members] or [(every_row, every_row)]
        members, losses = [], []
        for number, (train, valid) in enumerate(folds):
            member = self._fit_member(problem, view, number, train, valid)
            with outside_library():
                outputs = predict_all_classes(member, view(problem.rows(valid)), problem.n_classes)
            members.append(member)
            losses.append(problem.losses(outputs, valid))
        loss = float(np.concatenate(losses).mean()) if problem.folds else float("nan")
        return BaggedModel(members, view, problem.n_classes, loss)

    def _fit_member(
        self, problem: Problem, view: PlainView, number: int, train: np.ndarray, valid: np.ndarray
    ) -> Any:
        cells, target = view(problem.rows(train)), problem.target[train]
        if (cells.nunique() < 2).all() or len(np.unique(target)) < 2:
            return _make_dummy(problem.n_classes).fit(cells, target)
        settings = self.settings | (self.settings_of_few_rows if len(train) < FEW_ROWS else {})
        member = _model_class(self.title, problem.n_classes)(
            random_state=(problem.seed + number) % 2**31, n_threads=problem.n_threads, **settings
        )
        held_out = {"X_val": view(problem.rows(valid)), "y_val": problem.target[valid]}
        with outside_library():
            return member.fit(cells, target, **held_out)


@dataclass(frozen=True, eq=False)
class BaggedModel:
    """Members that were each fitted without one inner fold; predictions are their mean."""

    members: list[Any]
    view: PlainView
    n_classes: int
    validation_loss: float

    @property
    def settings(self) -> Settings:
        """The number of members; nothing else is chosen."""
        return {"n_members": len(self.members)}

    def predict(self, table: Any) -> np.ndarray:
        """Return probabilities (n_rows, n_classes), or numbers (n_rows,)."""
        frame = self.view(table)
        with outside_library():
            outputs = [predict_all_classes(m, frame, self.n_classes) for m in self.members]
        return np.mean(outputs, axis=0)


@contextlib.contextmanager
def outside_library() -> Iterator[None]:
    """Silence the library's output and warnings, and restore the state that it changes.

    It seeds all global random streams, and does not restore the number of threads when a fit fails.
    When interrupted, it ends the process as if it had succeeded: this is corrected too.
    """
    n_threads = torch.get_num_threads()
    on_interrupt = signal.getsignal(signal.SIGINT)
    streams = random.getstate(), np.random.get_state()
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            torch.random.fork_rng(),
            own_warning_filters(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    except SystemExit as stop:
        if stop.code == 1:  # Lightning's reaction to Ctrl-C, which it ignores from then on
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from stop
        # Its reaction to SIGTERM would end the process with exit status 0.
        raise SystemExit(128 + signal.SIGTERM) from stop
    finally:
        logger.setLevel(level)
        random.setstate(streams[0])
        np.random.set_state(streams[1])
        torch.set_num_threads(n_threads)


def _make_dummy(n_classes: int) -> Any:
    """A constant prediction if no column or no target varies; the library would fail."""
    return DummyClassifier(strategy="prior") if n_classes else DummyRegressor()


def _model_class(title: str, n_classes: int) -> Any:
    with import_hint(f"{title} needs further packages", "'tabimg[benchmarks]'"):
        import pytabkit

        if title.startswith("CatBoost"):
            import catboost  # noqa: F401  pytabkit would only miss it during the fit
    return getattr(pytabkit, f"{title}_{'Classifier' if n_classes else 'Regressor'}")


# Three members limit the cost of many small fits. TabM is itself an ensemble, and fitting it to
# many rows takes minutes. CatBoost is a different algorithm on GPUs, and fails if it draws no row.
EXTRA_MODELS = {
    "realmlp": Rival("RealMLP_TD", n_members=3),
    "tabm": Rival("TabM_D", n_members=3, max_bagged_rows=500),
    "catboost": Rival(
        "CatBoost_TD",
        n_members=3,
        settings={"device": "cpu"},
        settings_of_few_rows={"subsample": 1.0},
    ),
}
