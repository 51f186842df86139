"""`make_cohorts`: tables of several clinics that share one kind of patient, but not columns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from tabimg.datasets.assembly import PHOTO_COLUMN, blank_cells, count_distinct, draw_groups
from tabimg.datasets.checks import check_count, check_share, spawn_streams
from tabimg.datasets.cohort_catalogue import CLINICS, Clinic
from tabimg.datasets.cohort_concepts import CONCEPTS
from tabimg.datasets.cohort_law import LATENT_NAMES, CohortLaw, draw_patients
from tabimg.datasets.photos import open_photo_folder, write_photos
from tabimg.datasets.retina_photo import draw_retina
from tabimg.messages import shorten

TARGET = "letters_lost"
COHORT_COLUMN = "cohort"
FEWEST_ROWS = 40  # the smallest clinic then has 2


def make_cohorts(
    n_samples: int | Mapping[str, int] = 2400,
    *,
    image_size: int = 64,
    image_dir: str | os.PathLike[str] | None = None,
    repeat_rate: float = 0.2,
    missing_rate: float = 0.1,
    column_r2: float = 0.85,
    target_noise: float = 0.1,
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    r"""Generate cohorts: patients of five clinics with different columns, and retina photos.

    Parameters
    ----------
    n_samples : int or mapping of str to int, default=2400
        Rows of all clinics together, at least 40: 34 % "harbour", 27 % "meadow", 20 % "northgate",
        14 % "lakeside" and 5 % "summit". Or the rows of each clinic by name, at least 2; clinics
        that are not named are left out. A clinic's rows do not depend on the others.
    image_size : int, default=64
        Side of the photos in pixels, at least 32.
    image_dir : str or path-like, default=None
        Folder that the photos are written to, as ``harbour_00000.png`` and so on; created if
        missing, and files of the same name are replaced. ``None``: a fresh temporary folder, which
        is removed when the interpreter exits.
    repeat_rate : float in [0, 1), default=0.2
        Share of a clinic's rows that belong to a patient who is already included: an identical row,
        for another eye with its own latent, photo and target.
    missing_rate : float in [0, 1), default=0.1
        Probability that a cell of "meadow", which misses most, is missing (NaN or None), whatever
        its value; times .8 in "lakeside", .6 in "summit", .5 in "northgate", .3 in "harbour".
        Repetitions miss the same cells.
    column_r2 : float in (0, 1), default=0.85
        Share of the latent's variance that all concepts together determine; a clinic keeps columns
        for only some of them.
    target_noise : float in [0, 1), default=0.1
        Share of the target's variance that the latent does not determine.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    random_state : int, RandomState instance or None, default=None
        An int gives the same frames (except for temporary paths) and the same files, byte for byte.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - ``frames``: dict of clinic to DataFrame (n, p + 1), its own columns and ``photo``; the
          index is the row's position in the stacked data
        - ``targets``: dict of clinic to Series (n,), with the same index
        - ``data``: DataFrame, all clinics stacked: ``cohort``, the columns of all, and ``photo``;
          columns that a clinic lacks are NaN or None
        - ``target``: Series (n_samples,), letters on a chart that the eye loses in five years
        - ``frame``: ``data`` with the target
        - ``latent``: float64 (n_samples, 2), z, which the photo shows; ``latent_names``
        - ``groups``: int64 (n_samples,), equal for the rows of one patient
        - ``concepts``: dict of clinic to dict of column to the concept that it stands for
        - ``units``: dict of clinic to dict of column to its unit, or its spelling of categories
        - ``concept_values``: DataFrame (n_samples, 16), the patients as they are: every concept in
          common units and spellings, even if the clinic has no column for it or misses the cell
        - ``bayes_score``: dict of clinic to R2 of the best predictor of the target that sees the
          clinic's table alone
        - ``bayes_prediction``: float64 (n_samples,), that predictor's value for each row
        - ``latent_r2``: dict of clinic to R2 of the best predictor of z that sees its table alone,
          mean of the two
        - ``cohort_names``, ``feature_names`` (columns of ``data`` except cohort and photo),
          ``cohort_column``, ``image_column``, ``image_dir``, ``DESCR``
    (data, target) : tuple
        With ``return_X_y``.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong type or lies outside its range; the message names it.
    NotADirectoryError
        If ``image_dir`` is a file.

    Notes
    -----
    All patients come from one population and one law. With 16 concepts (age, weight, systolic
    pressure, treatment and so on), an eye is drawn as

    .. math::

        z = \sqrt{r} f(\mathrm{concepts}) + \sqrt{1 - r} e, \qquad
        y = 12 + 4 z_1 + 3 z_2 + s e'

    with r = ``column_r2`` and independent standard normal e, e'; s is set by ``target_noise``. f
    has two parts of mean 0 and variance 1, narrowing of the vessels and leakage, mostly
    interactions and nonlinear terms (``TERMS`` in `tabimg.datasets.cohort_law`). The photo renders
    z: narrow vessels, yellow spots. So pairs of row and photo teach f without any target, and pairs
    of one clinic teach it for the others, once it is known which column stands for which concept.

    That is what the headers say. Each clinic has 12 to 14 of the concepts, under its own names
    (``systolic_blood_pressure``, ``SBP``, ``SystolicBP``, ``Systolic pressure (mmHg)``), in its own
    units (kg or lb, mmol/l or mg/dl, years or months) and spellings (female, F, Woman). Equal names
    do not promise equal units: ``glucose`` is in mmol/l in "harbour" and in mg/dl in "summit". The
    units of a concept are linear in each other, so that values standardised within their clinic
    agree. In "summit" ``statin_use`` is the number 0 or 1, elsewhere statins are a word. Heart rate
    and haemoglobin have no effect. Each clinic has its own camera: colours and field of view reveal
    the clinic, and nothing else.

    Concepts are independent, and a term of f whose concepts are not all known has mean 0. So
    ``bayes_prediction``, ``bayes_score`` and ``latent_r2`` are exact, missing cells included. They
    hold for a patient who was not seen in training. For a classification task, cut the target at
    its median.

    Examples
    --------
    >>> from tabimg.datasets import make_cohorts
    >>> cohorts = make_cohorts({"harbour": 30, "summit": 10}, random_state=0)
    >>> cohorts.frames["summit"].shape, cohorts.concepts["summit"]["sys_bp"]
    ((10, 15), 'systolic')
    """
    counts = _rows_by_clinic(n_samples)
    image_size = check_count("image_size", image_size, 32)
    repeat_rate = check_share("repeat_rate", repeat_rate)
    missing_rate = check_share("missing_rate", missing_rate)
    law = CohortLaw(
        column_r2=check_share("column_r2", column_r2, above_zero=True),
        target_noise=check_share("target_noise", target_noise),
    )
    # One stream per clinic, named in n_samples or not: the others do not change its rows.
    streams = dict(zip(CLINICS, spawn_streams(random_state, len(CLINICS)), strict=True))
    drawn = {
        name: _draw_rows(CLINICS[name], n, law, repeat_rate, missing_rate, streams[name])
        for name, n in counts.items()
    }
    folder = open_photo_folder(image_dir, "cohorts")
    tables = {
        name: rows.table.assign(**{PHOTO_COLUMN: _draw_photos(name, rows, image_size, folder)})
        for name, rows in drawn.items()
    }
    target = pd.Series(np.concatenate([rows.target for rows in drawn.values()]), name=TARGET)
    data = _stack(tables)
    if return_X_y:
        return data, target

    spans = _spans(counts)
    return Bunch(
        frames={name: table.set_axis(spans[name]) for name, table in tables.items()},
        targets={name: target.loc[span] for name, span in spans.items()},
        frame=data.assign(**{TARGET: target}),
        data=data,
        target=target,
        latent=np.concatenate([rows.latent for rows in drawn.values()]),
        latent_names=list(LATENT_NAMES),
        groups=np.concatenate([rows.groups + spans[name].start for name, rows in drawn.items()]),
        concepts={name: CLINICS[name].concepts for name in drawn},
        units={name: CLINICS[name].units for name in drawn},
        concept_values=_in_common_units(np.concatenate([r.patients for r in drawn.values()])),
        bayes_score={name: rows.bayes_score for name, rows in drawn.items()},
        bayes_prediction=np.concatenate([rows.expected for rows in drawn.values()]),
        latent_r2={name: rows.latent_r2 for name, rows in drawn.items()},
        cohort_names=list(drawn),
        feature_names=[c for c in data.columns if c not in (COHORT_COLUMN, PHOTO_COLUMN)],
        cohort_column=COHORT_COLUMN,
        image_column=PHOTO_COLUMN,
        image_dir=str(folder),
        DESCR=make_cohorts.__doc__,
    )


def _rows_by_clinic(n_samples: object) -> dict[str, int]:
    """Rows of each clinic, in the catalogue's order."""
    if isinstance(n_samples, Mapping):
        unknown = [name for name in n_samples if name not in CLINICS]
        if unknown or not n_samples:
            raise ValueError(
                f"n_samples must name one or more of the clinics {', '.join(map(repr, CLINICS))}, "
                f"got {list(n_samples)}."
            )
        return {
            name: check_count(f"n_samples[{shorten(name)}]", n_samples[name], 2)
            for name in CLINICS
            if name in n_samples
        }
    total = check_count("n_samples", n_samples, FEWEST_ROWS)
    edges = np.round(total * np.cumsum([clinic.share for clinic in CLINICS.values()])).astype(int)
    return dict(zip(CLINICS, np.diff(edges, prepend=0).tolist(), strict=True))


@dataclass(frozen=True)
class _Rows:
    """Rows of one clinic: what it recorded, and the truth."""

    table: pd.DataFrame
    patients: np.ndarray
    latent: np.ndarray
    target: np.ndarray
    expected: np.ndarray
    bayes_score: float
    latent_r2: float
    groups: np.ndarray
    photo_seed: np.random.SeedSequence


def _draw_rows(
    clinic: Clinic,
    n_rows: int,
    law: CohortLaw,
    repeat_rate: float,
    missing_rate: float,
    seed: np.random.SeedSequence,
) -> _Rows:
    """Draw patients, what the clinic recorded about them, and what became of their eyes."""
    *seeds, photo_seed = seed.spawn(5)
    design, grouping, blanks, noise = map(np.random.default_rng, seeds)
    n_patients = count_distinct(n_rows, repeat_rate)
    groups = draw_groups(n_rows, n_patients, grouping)
    patients = draw_patients(n_patients, design)
    rate = missing_rate * clinic.missing
    missing = blanks.random((n_patients, len(clinic.columns))) < rate
    known = np.zeros(patients.shape, dtype=bool)
    known[:, clinic.positions] = ~missing
    written = blank_cells(clinic.write(patients), missing)

    latent = law.draw_latent(patients[groups], noise)
    bayes_score, latent_r2 = law.scores(clinic.recorded, rate)
    return _Rows(
        table=written.iloc[groups].reset_index(drop=True),
        patients=patients[groups],
        latent=latent,
        target=law.draw_loss(latent, noise),
        expected=law.expected_given_known(patients, known)[groups],
        bayes_score=bayes_score,
        latent_r2=latent_r2,
        groups=groups,
        photo_seed=photo_seed,
    )


def _draw_photos(name: str, rows: _Rows, image_size: int, folder: Path) -> list[str]:
    camera = CLINICS[name].camera
    return write_photos(
        folder,
        name,
        rows.photo_seed,
        len(rows.latent),
        lambda i, rng: draw_retina(rows.latent[i], camera, image_size, rng),
    )


def _stack(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Stack the tables, ``cohort`` first and ``photo`` last."""
    named = [table.assign(**{COHORT_COLUMN: name}) for name, table in tables.items()]
    stacked = pd.concat(named, ignore_index=True)
    between = stacked.columns.drop([COHORT_COLUMN, PHOTO_COLUMN])
    return stacked[[COHORT_COLUMN, *between, PHOTO_COLUMN]]


def _spans(counts: dict[str, int]) -> dict[str, pd.RangeIndex]:
    """Return where each clinic's rows are among all rows."""
    ends = np.cumsum(list(counts.values())).tolist()
    return {
        name: pd.RangeIndex(end - n, end)
        for (name, n), end in zip(counts.items(), ends, strict=True)
    }


def _in_common_units(patients: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {name: c.levels[patients[:, j]] for j, (name, c) in enumerate(CONCEPTS.items())}
    )
