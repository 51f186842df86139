"""The run of a study: plan every cell, leave out the finished ones, compute the rest in parallel.

Methods of one fold that share their pre-training form a unit. A unit is computed by one process
on one thread, so that scores do not depend on how many run side by side.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from tabimg.estimators import Unlabeled
from tabimg.estimators.base_pretrainer import PhotoPretrainer
from tabimg.evaluation.cells import CellStore, fingerprint, keep_cell
from tabimg.evaluation.data import StudyData, describe_pairs, require_photo_files
from tabimg.evaluation.encoders import Encoder, is_kept, obtain_encoder
from tabimg.evaluation.methods import Method, check_names
from tabimg.evaluation.metrics import metric_names, score_predictions
from tabimg.evaluation.near_equal import (
    LOOKS,
    MOST_PHOTOS,
    near_equal_photos,
    warn_of_doubles,
)
from tabimg.evaluation.splits import (
    Budget,
    Fold,
    draw_seeds,
    labelled_rows,
    outer_folds,
    plan_budgets,
)
from tabimg.evaluation.thumbnails import photo_numbers
from tabimg.messages import shorten
from tabimg.table import read_columns
from tabimg.training.runtime import derive_seed, own_warning_filters, single_thread

# Of the photos that are compared before a study; a double still looks like one.
THUMBNAIL_SIZE = 16
MEASURED = ("validation_loss", "pretrain_seconds", "fit_seconds")


@dataclass(frozen=True)
class Protocol:
    """How often rows are split and labels drawn; parameters as in `ablation_study`."""

    label_fractions: Sequence[float]
    n_folds: int
    n_repeats: int
    n_draws: int | Mapping[float, int]
    random_state: int
    folds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check_whole(self.random_state)
        if np.ndim(self.label_fractions) != 1:
            raise TypeError(
                f"label_fractions must be a sequence of numbers, got "
                f"{shorten(self.label_fractions)}"
            )


@dataclass(frozen=True, eq=False)
class PlannedCell:
    """A method, fitted on one draw of labels and scored on one fold."""

    method: Method
    fold: Fold
    budget: Budget
    draw: int
    labelled: np.ndarray
    seed: int
    fingerprint: str

    def place(self) -> dict[str, Any]:
        """What the table of scores says of the cell before it is computed."""
        return {
            "method": self.method.name,
            "repeat": self.fold.repeat,
            "fold": self.fold.number,
            "fraction": self.budget.fraction,
            "budget": self.budget.text,
            "draw": self.draw,
            "n_labels": len(self.labelled),
            "n_train": len(self.fold.train),
            "n_test": len(self.fold.test),
            **self.method.settings,
        }


@dataclass(frozen=True, eq=False)
class Unit:
    """Cells of one fold that share their pre-training, if there is one.

    Parameters
    ----------
    fold : Fold
    seed : int
        Of the pre-training, and of the shuffling.
    pretrainer : PhotoPretrainer or None
        Unfitted, with the seed as its random state.
    shuffles_photos : bool
    encoder_fingerprint : str
    cells : list of PlannedCell
    further : Unlabeled or None
        Pairs for the pre-training beside the fold's.
    """

    fold: Fold
    seed: int
    pretrainer: PhotoPretrainer | None
    shuffles_photos: bool
    encoder_fingerprint: str
    cells: list[PlannedCell]
    further: Unlabeled | None = None


class CellError(RuntimeError):
    """A cell could not be computed; the message names it, the cause is chained."""


def run_study(
    data: StudyData,
    methods: Sequence[Method],
    protocol: Protocol,
    results_dir: str | Path | None,
    n_jobs: int | None,
    verbose: int,
) -> pd.DataFrame:
    """Compute all cells that are not finished yet.

    Returns
    -------
    DataFrame
        One row a cell, in the order of the plan.

    Raises
    ------
    CellError
        If a method fails. Cells that were finished before stay finished.
    """
    check_names(methods)
    started = time.perf_counter()
    units = plan_units(data, methods, protocol)
    planned = [cell for unit in units for cell in unit.cells]
    columns = [*metric_names(data.task), *MEASURED]
    # Absolute: processes that are found waiting may have another working directory.
    store = CellStore(None if results_dir is None else Path(results_dir).absolute())
    stored = {cell.fingerprint: store.find(cell.fingerprint, columns) for cell in planned}
    done = {name: measured for name, measured in stored.items() if measured is not None}
    open_units = _without(units, done)
    _look_at_photos(open_units, data, store.folder)
    if verbose:
        print(f"{len(stored)} cells, {len(done)} of them finished earlier", flush=True)
    # Workers keep their cells at once; this process only gathers them.
    with parallel_config(backend="loky", inner_max_num_threads=1), own_warning_filters():
        # A worker that has grown is replaced between two units, which nobody needs to hear of.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        run = Parallel(n_jobs=n_jobs, return_as="generator")
        results = run(delayed(run_unit)(unit, data, store.folder) for unit in open_units)
        for unit, finished in zip(open_units, results, strict=True):
            done |= {cell["fingerprint"]: cell for cell in finished}
            if verbose:
                elapsed = time.perf_counter() - started
                state = f"{len(done)} of {len(stored)} cells, {elapsed:.0f} s"
                print(f"{_describe_unit(unit)}: {state}", flush=True)
    scores = pd.DataFrame([_row(cell, done[cell.fingerprint], columns) for cell in planned])
    store.write_scores(scores)
    return scores


def plan_units(data: StudyData, methods: Sequence[Method], protocol: Protocol) -> list[Unit]:
    """Write down everything that a study will compute, fold after fold."""
    rule = (data.groups, data.classes)
    seed = protocol.random_state
    folds = outer_folds(*rule, protocol.n_folds, protocol.n_repeats, seed)
    budgets = plan_budgets(folds, *rule, protocol.label_fractions, protocol.n_draws, seed)
    units: list[Unit] = []
    for fold in _chosen(folds, protocol):
        draws = [
            (budget, draw, labelled_rows(fold.train, *rule, budget.fraction, own_seed), own_seed)
            for budget in budgets
            for draw, own_seed in enumerate(draw_seeds(seed, fold, budget.n_draws))
        ]
        in_fold: dict[str, Unit] = {}
        for method in methods:
            unit = _unit_of(method, fold, data, seed)
            unit = in_fold.setdefault(unit.encoder_fingerprint, unit)
            for budget, draw, labelled, own_seed in draws:
                name = _cell_fingerprint(method, unit, labelled, own_seed, data)
                unit.cells.append(PlannedCell(method, fold, budget, draw, labelled, own_seed, name))
        units += in_fold.values()
    return units


def run_unit(unit: Unit, data: StudyData, folder: Path | None) -> list[dict[str, Any]]:
    """Pre-train, or load the encoder, then compute the unit's cells and keep each at once."""
    with single_thread(), threadpool_limits(1), own_warning_filters():
        # With few labels of many classes scikit-learn asks at each fit whether these are numbers.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        try:
            encoder = _prepare(unit, data, folder)
        except Exception as error:
            raise CellError(f"pre-training failed, {_describe_unit(unit)}: {error}") from error
        finished = []
        for cell in unit.cells:
            try:
                row = _compute(cell, encoder, data)
            except Exception as error:
                raise CellError(f"{cell.place()} failed: {error}") from error
            if folder is not None:
                keep_cell(folder, row)
            finished.append(row)
    return finished


def _chosen(folds: Sequence[Fold], protocol: Protocol) -> list[Fold]:
    """Give the folds to run, in every repeat."""
    if protocol.folds is None:
        return list(folds)
    unknown = [n for n in protocol.folds if n not in range(protocol.n_folds)]
    if unknown or not len(protocol.folds):
        raise ValueError(
            f"folds must name some of the folds 0 to {protocol.n_folds - 1}, got {protocol.folds}"
        )
    return [fold for fold in folds if fold.number in protocol.folds]


def _prepare(unit: Unit, data: StudyData, folder: Path | None) -> Encoder | None:
    """Give the encoder of a unit, pre-trained on the photos that the unit pairs the rows with."""
    if unit.pretrainer is None:
        return None
    pairs, train = data.pairs, unit.fold.train
    if unit.shuffles_photos:
        pairs = data.with_shuffled_photos(train, unit.seed)
    return obtain_encoder(
        unit.pretrainer, pairs, train, unit.encoder_fingerprint, folder, unit.further
    )


def _compute(cell: PlannedCell, encoder: Encoder | None, data: StudyData) -> dict[str, Any]:
    """Fit on the labelled rows, score on the test rows from the table alone."""
    started = time.perf_counter()
    model = cell.method.fit(encoder, cell.fold.train, cell.labelled, data, cell.seed)
    seconds = time.perf_counter() - started
    table, truth = data.table.iloc[cell.fold.test], data.target[cell.fold.test]
    given = [model.predict(table)]
    if data.task == "classification":
        given += [model.predict_proba(table), model.classes_]
    measured = {
        **score_predictions(data.task, truth, *given),
        "validation_loss": float(getattr(model, "validation_loss_", np.nan)),
        "pretrain_seconds": 0.0 if encoder is None else encoder.seconds,
        "fit_seconds": seconds,
    }
    return _row(cell, measured, list(measured))


def _row(cell: PlannedCell, measured: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    values = {name: measured[name] for name in columns}
    return {**cell.place(), **values, "fingerprint": cell.fingerprint}


def _unit_of(method: Method, fold: Fold, data: StudyData, seed: int) -> Unit:
    """Give the unit, still empty, that a method belongs to in a fold."""
    own_seed = derive_seed(seed, fold.repeat, fold.number) % 2**31
    if method.pretrainer is None:
        return Unit(fold, own_seed, None, False, f"no pre-training: {method.name}", [])
    pretrainer = clone(method.pretrainer).set_params(random_state=own_seed)
    shuffles = method.shuffles_photos
    parts = [data.pairs_fingerprint, fold.train, pretrainer, shuffles]
    if method.further is not None:
        parts.append(describe_pairs(method.further.frame))
    return Unit(fold, own_seed, pretrainer, shuffles, fingerprint(*parts), [], method.further)


def _cell_fingerprint(
    method: Method, unit: Unit, labelled: np.ndarray, seed: int, data: StudyData
) -> str:
    encoder = None if unit.pretrainer is None else unit.encoder_fingerprint
    rows = (unit.fold.train, labelled, unit.fold.test)
    return fingerprint(data.fingerprint, *rows, encoder, method.estimator, seed)


def _look_at_photos(units: Sequence[Unit], data: StudyData, folder: Path | None) -> None:
    """Check that photos are there for the pre-trainings to come, and warn of near-equal ones."""
    ahead = [
        unit.pretrainer
        for unit in units
        if unit.pretrainer is not None
        and unit.pretrainer._wants_photos()
        and not is_kept(unit.encoder_fingerprint, folder)
        and not isinstance(unit.pretrainer.image_root, Mapping)  # a folder for each cohort
    ]
    from_files = [pretrainer for pretrainer in ahead if pretrainer.image_loader is None]
    for root, on_bad_image in {(p.image_root, p.on_bad_image) for p in from_files}:
        require_photo_files(data, root, on_bad_image)
    if ahead:
        _warn_of_near_photos(data, ahead[0])


def _warn_of_near_photos(data: StudyData, pretrainer: PhotoPretrainer) -> None:
    rows = np.arange(min(len(data), MOST_PHOTOS))
    cells = [data.pairs[name].iloc[rows].tolist() for name in data.image_columns]
    numbers, _ = photo_numbers(
        cells,
        THUMBNAIL_SIZE,
        root=pretrainer.image_root,
        loader=pretrainer.image_loader,
        on_bad_image="raise" if pretrainer.on_bad_image == "raise" else "skip",
        n_jobs=pretrainer.n_jobs,
    )
    doubles = near_equal_photos(numbers, data.groups[rows])
    warn_of_doubles(doubles, LOOKS, read_columns(data.table.iloc[rows]))


def _check_whole(random_state: Any) -> None:
    if not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be an int, which decides folds and draws and lets a study be "
            f"resumed, got {shorten(random_state)}"
        )


def _without(units: Sequence[Unit], done: Mapping[str, Any]) -> list[Unit]:
    """Keep what is to be computed: each open cell once, and the units that have such cells."""
    reduced, known = [], set(done)
    for unit in units:
        open_cells = []
        for cell in unit.cells:
            # Two points of a grid may be the same setting.
            if cell.fingerprint not in known:
                known.add(cell.fingerprint)
                open_cells.append(cell)
        if open_cells:
            reduced.append(replace(unit, cells=open_cells))
    return reduced


def _describe_unit(unit: Unit) -> str:
    names = ", ".join(dict.fromkeys(cell.method.name for cell in unit.cells))
    return f"repeat {unit.fold.repeat}, fold {unit.fold.number}, {names}"
