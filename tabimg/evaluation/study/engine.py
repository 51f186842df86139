"""The run of a study: skip the cells that are finished, compute the others in parallel.

A unit of work is computed by one process on one thread, so that scores do not depend on how many
run in parallel.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits

from tabimg.evaluation.data import StudyData, photo_numbers, require_photo_files
from tabimg.evaluation.foundation import PhotoPretrainer, own_warning_filters, single_thread
from tabimg.evaluation.leakage import LOOKS, MOST_PHOTOS, near_equal_photos, warn_of_doubles
from tabimg.evaluation.metrics import metric_names, score_predictions
from tabimg.evaluation.study.cells import CellStore, keep_cell
from tabimg.evaluation.study.encoders import PretrainedEncoder, is_kept, obtain_encoder
from tabimg.evaluation.study.methods import StudyMethod, check_names
from tabimg.evaluation.study.plan import PlannedCell, Protocol, WorkUnit, describe_unit, plan_units
from tabimg.table import read_columns

# Of the photos that are compared before a study; duplicates are still recognisable.
THUMBNAIL_SIZE = 16
MEASURED = ("validation_loss", "pretrain_seconds", "fit_seconds")


class CellError(RuntimeError):
    """A cell could not be computed; the message names it, the cause is chained."""


def run_study(
    data: StudyData,
    methods: Sequence[StudyMethod],
    protocol: Protocol,
    results_dir: str | Path | None,
    n_jobs: int | None,
    verbose: int,
) -> pd.DataFrame:
    """Compute all cells that are not finished yet.

    Returns
    -------
    DataFrame
        One row per cell, in the order of the plan.

    Raises
    ------
    CellError
        If a method fails. Cells that were finished before are kept.
    """
    check_names(methods)
    started = time.perf_counter()
    units = plan_units(data, methods, protocol)
    planned = [cell for unit in units for cell in unit.cells]
    columns = [*metric_names(data.task), *MEASURED]
    # Absolute: reused worker processes may have another working directory.
    store = CellStore(None if results_dir is None else Path(results_dir).absolute())
    stored = {cell.fingerprint: store.find(cell.fingerprint, columns) for cell in planned}
    done = {name: measured for name, measured in stored.items() if measured is not None}
    open_units = _without(units, done)
    _look_at_photos(open_units, data, store.folder)
    if verbose:
        print(f"{len(stored)} cells, {len(done)} of them finished earlier", flush=True)
    # Workers store their cells at once; this process only collects them.
    with parallel_config(backend="loky", inner_max_num_threads=1), own_warning_filters():
        # A worker whose memory has grown is replaced between units, which needs no warning.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        run = Parallel(n_jobs=n_jobs, return_as="generator")
        results = run(delayed(run_unit)(unit, data, store.folder) for unit in open_units)
        for unit, finished in zip(open_units, results, strict=True):
            done |= {cell["fingerprint"]: cell for cell in finished}
            if verbose:
                elapsed = time.perf_counter() - started
                state = f"{len(done)} of {len(stored)} cells, {elapsed:.0f} s"
                print(f"{describe_unit(unit)}: {state}", flush=True)
    scores = pd.DataFrame([_row(cell, done[cell.fingerprint], columns) for cell in planned])
    store.write_scores(scores)
    return scores


def run_unit(unit: WorkUnit, data: StudyData, folder: Path | None) -> list[dict[str, Any]]:
    """Pre-train, or load the encoder, then compute the unit's cells and store each at once."""
    with single_thread(), threadpool_limits(1), own_warning_filters():
        # With few labels of many classes scikit-learn suspects numbers, and warns in each fit.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater")
        try:
            encoder = _prepare(unit, data, folder)
        except Exception as error:
            raise CellError(f"pre-training failed, {describe_unit(unit)}: {error}") from error
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


def _prepare(unit: WorkUnit, data: StudyData, folder: Path | None) -> PretrainedEncoder | None:
    """Return the encoder of a unit, pre-trained on its pairs of rows and photos."""
    if unit.pretrainer is None:
        return None
    pairs, train = data.pairs, unit.fold.train
    if unit.shuffles_photos:
        pairs = data.with_shuffled_photos(train, unit.seed)
    return obtain_encoder(
        unit.pretrainer,
        pairs,
        train,
        unit.encoder_fingerprint,
        folder,
        unit.further,
        _wants_features(unit),
    )


def _wants_features(unit: WorkUnit) -> bool:
    return any(cell.method.sees_test_photos for cell in unit.cells)


def _compute(
    cell: PlannedCell, encoder: PretrainedEncoder | None, data: StudyData
) -> dict[str, Any]:
    """Fit on the labelled rows, score on the test rows as the method sees them."""
    started = time.perf_counter()
    model = cell.method.fit(encoder, cell.fold.train, cell.labelled, data, cell.seed)
    seconds = time.perf_counter() - started
    table = cell.method.table(encoder, data).iloc[cell.fold.test]
    truth = data.target[cell.fold.test]
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


def _look_at_photos(units: Sequence[WorkUnit], data: StudyData, folder: Path | None) -> None:
    """Check that the photos for pending pre-training exist, and warn of near-equal ones."""
    ahead = [
        unit.pretrainer
        for unit in units
        if unit.pretrainer is not None
        and unit.pretrainer._wants_photos()
        and not is_kept(unit.encoder_fingerprint, folder, _wants_features(unit))
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


def _without(units: Sequence[WorkUnit], done: Mapping[str, Any]) -> list[WorkUnit]:
    """Keep what is left to compute: each open cell once, and the units with such cells."""
    reduced, known = [], set(done)
    for unit in units:
        open_cells = []
        for cell in unit.cells:
            # Two grid points may be the same setting.
            if cell.fingerprint not in known:
                known.add(cell.fingerprint)
                open_cells.append(cell)
        if open_cells:
            reduced.append(replace(unit, cells=open_cells))
    return reduced
