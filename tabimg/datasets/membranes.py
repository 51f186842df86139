"""`make_membranes`: a regression task modelled on HIPMP, with known truth."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from tabimg.datasets.assembly import assemble, blank_cells, count_distinct, draw_groups
from tabimg.datasets.checks import check_count, check_share, spawn_streams
from tabimg.datasets.membrane_law import (
    CATEGORY_LEVELS,
    COLUMNS,
    NUMERIC_LEVELS,
    MembraneLaw,
    draw_recipes,
    population_scores,
)
from tabimg.datasets.micrograph import draw_micrograph
from tabimg.datasets.photos import open_photo_folder, write_photos

TARGET = "permeance_lmh_bar"


def make_membranes(
    n_samples: int = 1500,
    *,
    image_size: int = 64,
    image_dir: str | os.PathLike[str] | None = None,
    repeat_rate: float = 0.2,
    missing_rate: float = 0.03,
    column_r2: float = 0.85,
    target_noise: float = 0.1,
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    r"""Generate membranes: a recipe of 15 columns, a micrograph, and the permeance.

    Parameters
    ----------
    n_samples : int, default=1500
        Number of membranes, at least 2.
    image_size : int, default=64
        Side of the micrographs in pixels, at least 32.
    image_dir : str or path-like, default=None
        Folder that the micrographs are written to, as ``membrane_00000.png`` and so on; created if
        missing, and files of the same name are replaced. ``None``: a fresh temporary folder, which
        is removed when the interpreter exits.
    repeat_rate : float in [0, 1), default=0.2
        Share of membranes that repeat the recipe of another one: an identical row, with its own
        latent, micrograph and target.
    missing_rate : float in [0, 1), default=0.03
        Probability that a cell of a recipe is missing (NaN or None), whatever its value.
        Repetitions miss the same cells.
    column_r2 : float in (0, 1), default=0.85
        Share of the latent's variance that the complete columns determine.
    target_noise : float in [0, 1), default=0.1
        Share of the target's variance that the latent does not determine.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    random_state : int, RandomState instance or None, default=None
        An int gives the same frame (except for temporary paths) and the same files, byte for byte.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - ``frame``: DataFrame (n_samples, 17), the columns, ``photo`` and ``permeance_lmh_bar``
        - ``data``: ``frame`` without the target
        - ``target``: Series (n_samples,), permeance in L m\ :sup:`-2` h\ :sup:`-1` bar\ :sup:`-1`
        - ``latent``: float64 (n_samples, 2), z, which the micrograph shows; ``latent_names``
        - ``groups``: int64 (n_samples,), equal for the repetitions of one recipe
        - ``bayes_score``: R2 of the best predictor of the target that sees the table alone
        - ``bayes_prediction``: float64 (n_samples,), that predictor's value for each row
        - ``latent_r2``: R2 of the best predictor of z that sees the table alone, mean of the two
        - ``feature_names`` (15), ``image_column``, ``image_dir``, ``DESCR``
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
    The truth is made so that a micrograph can teach a table encoder something worth knowing, by a
    known amount. A recipe aims at f(columns): pore size and porosity, each of mean 0 and variance
    1, mostly interactions and nonlinear terms (the formula is in
    `tabimg.datasets.membrane_law.raw_response`). A membrane is drawn as

    .. math::

        z = \sqrt{r} f(\mathrm{columns}) + \sqrt{1 - r} e, \qquad
        y = \exp(\log 60 + .45 z_1 + .30 z_2 + s e')

    with r = ``column_r2`` and independent standard normal e, e'; s is set by ``target_noise``. The
    micrograph renders z and nothing else that the target depends on. So the target is a simple
    function of z, and z a hard one of the columns: pairs of recipe and micrograph teach f without
    any target, and a few targets are then enough.

    Columns are independent of each other. ``film_thickness_um``, ``casting_speed_mm_s``,
    ``stirring_time_h``, ``storage_days`` and ``support`` have no effect. The law is the same for
    every ``random_state``: another seed gives more membranes of the same world. ``bayes_score`` and
    ``latent_r2`` are population values, missing cells included, computed by Monte Carlo to about
    .005. They hold for a recipe that was not seen in training; if a repeated recipe misses a cell,
    its other repetitions can reveal slightly more.

    Examples
    --------
    >>> from tabimg.datasets import make_membranes
    >>> membranes = make_membranes(n_samples=20, random_state=0)
    >>> membranes.frame.shape
    (20, 17)
    """
    n_samples = check_count("n_samples", n_samples, 2)
    image_size = check_count("image_size", image_size, 32)
    repeat_rate = check_share("repeat_rate", repeat_rate)
    missing_rate = check_share("missing_rate", missing_rate)
    law = MembraneLaw(
        column_r2=check_share("column_r2", column_r2, above_zero=True),
        target_noise=check_share("target_noise", target_noise),
    )
    streams = spawn_streams(random_state, 6)
    design, grouping, blanks, noise, completion = map(np.random.default_rng, streams[:5])

    n_recipes = count_distinct(n_samples, repeat_rate)
    groups = draw_groups(n_samples, n_recipes, grouping)
    distinct = draw_recipes(n_recipes, design)
    distinct_missing = blanks.random(distinct.shape) < missing_rate
    expected = law.expected_given_observed(distinct, distinct_missing, completion)
    recipes, missing = distinct[groups], distinct_missing[groups]

    latent = law.draw_latent(recipes, noise)
    target = pd.Series(law.draw_permeance(latent, noise), name=TARGET)
    bayes_score, latent_r2 = population_scores(law, missing_rate)

    folder = open_photo_folder(image_dir, "membranes")
    photos = write_photos(
        folder,
        "membrane",
        streams[5],
        n_samples,
        lambda i, rng: draw_micrograph(latent[i], image_size, rng),
    )
    return assemble(
        blank_cells(_decode(recipes), missing),
        photos,
        target,
        return_X_y=return_X_y,
        latent=latent,
        latent_names=["pore_size", "porosity"],
        groups=groups,
        bayes_score=bayes_score,
        bayes_prediction=expected[groups],
        latent_r2=latent_r2,
        image_dir=str(folder),
        DESCR=make_membranes.__doc__,
    )


def _decode(recipes: np.ndarray) -> pd.DataFrame:
    """Convert level indices (n, 15) to the values of the columns."""
    levels = {**NUMERIC_LEVELS, **CATEGORY_LEVELS}
    return pd.DataFrame(
        {name: np.asarray(levels[name])[recipes[:, j]] for j, name in enumerate(COLUMNS)}
    )
