"""`make_cars`: a classification task modelled on DVM, with known truth."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from tabimg.datasets.assembly import assemble, blank_cells, count_distinct, draw_groups
from tabimg.datasets.car_catalogue import MAX_CLASSES, STYLE_NAMES, build_catalogue
from tabimg.datasets.car_law import POPULATION_SEED, POPULATION_SIZE, CarLaw
from tabimg.datasets.car_photo import draw_car
from tabimg.datasets.checks import check_count, check_positive, check_share, spawn_streams
from tabimg.datasets.photos import open_photo_folder, write_photos

TARGET = "Genmodel"
MIN_ADVERTS_A_CLASS = 3


def make_cars(
    n_samples: int = 3000,
    n_classes: int = 30,
    *,
    image_size: int = 64,
    image_dir: str | os.PathLike[str] | None = None,
    repeat_rate: float = 0.2,
    missing_rate: float = 0.02,
    size_jitter: float = 60.0,
    style_noise: float = 0.25,
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    r"""Generate adverts of used cars: 17 columns, a photo from the side, and the model.

    Parameters
    ----------
    n_samples : int, default=3000
        Number of rows. Without the repetitions, at least 3 rows per class must be left; every class
        then has at least 2 of them.
    n_classes : int, default=30
        Number of car models, between 2 and 286: the first ones of a fixed catalogue.
    image_size : int, default=64
        Side of the photos in pixels, at least 32.
    image_dir : str or path-like, default=None
        Folder that the photos are written to, as ``car_00000.png`` and so on; created if missing,
        and files of the same name are replaced. ``None``: a fresh temporary folder, which is
        removed when the interpreter exits.
    repeat_rate : float in [0, 1), default=0.2
        Share of rows that repeat another advert: an identical row with its own latent and photo.
    missing_rate : float in [0, 1), default=0.02
        Probability that a cell is missing (NaN or None), whatever its value, in the columns that
        can miss some: the four sizes, ``Runned_Miles``, ``Seat_num``, ``Door_num``,
        ``Engine_size``, ``Color``, ``Gearbox`` and ``Fuel_type``.
    size_jitter : float, default=60.0
        Standard deviation, in mm, of adverts' sizes around those of the model; times
        1.5 for ``Length``, 0.5 for ``Height``, 0.4 for ``Width``, 0.8 for ``Wheelbase``. The
        larger, the less the table says about the model.
    style_noise : float, default=0.25
        Standard deviation of a car's style around its model's.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    random_state : int, RandomState instance or None, default=None
        An int gives the same frame (except for temporary paths) and the same files, byte for byte.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - ``frame``: DataFrame (n_samples, 19), the columns, ``photo`` and ``Genmodel``
        - ``data``: ``frame`` without the target
        - ``target``: Series (n_samples,) of strings such as ``"Aldane Comet"``
        - ``target_names``: sorted names of the classes
        - ``latent``: float64 (n_samples, 7), z, the style that the photo shows; ``latent_names``
        - ``groups``: int64 (n_samples,), equal for the repetitions of one advert
        - ``bayes_score``: accuracy of the best predictor of the model that sees the table alone
        - ``bayes_prediction``: str (n_samples,), that predictor's value for each row
        - ``latent_r2``: R2 of the best predictor of z that sees the table alone, mean of the seven
        - ``feature_names`` (17), ``image_column``, ``image_dir``, ``DESCR``
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
    The columns are those of the DVM set: 13 numeric and 4 categorical ones, with 22 colours, 13
    bodies, 3 gearboxes and 12 fuels. Makers, models and numbers are invented.

    The truth is made so that photos can teach a table encoder something worth knowing, by a known
    amount. A model has one style, seven standard normal numbers (length, height, hood, deck, rake,
    wheel, belt), but is sold in three generations and in all bodies, which change its sizes.
    For an advert of model c,

    .. math::

        z = \mathrm{style}_c + \sigma e, \qquad
        \mathrm{columns} \sim p(\mathrm{columns} \mid c, \mathrm{generation}, \mathrm{body})

    with :math:`\sigma` = ``style_noise`` and standard normal e; the photo renders z, and paint and
    body, which are columns too. So z = f(columns) + noise with f = E[z | columns]. The sizes tell
    the style only together with body and year, and one model's adverts lie in several regions of
    the table but look alike: pairs of row and photo bring them together without any label, and a
    few labels are then enough.

    ``Adv_year``, ``Adv_month``, ``Runned_Miles``, ``Price``, ``Seat_num``, ``Door_num`` and
    ``Color`` say nothing about the model that the other columns do not. The catalogue is the
    same for every ``random_state``: another seed gives more adverts of the same world.
    ``bayes_score`` and ``latent_r2`` are population values, missing cells included, computed from
    the exact P(model | columns) of 8,000 adverts, to about .005. They hold for an advert that was
    not seen in training: repetitions of a labelled row give its model away.

    Examples
    --------
    >>> from tabimg.datasets import make_cars
    >>> cars = make_cars(n_samples=60, n_classes=5, random_state=0)
    >>> cars.frame.shape, len(cars.target_names)
    ((60, 19), 5)
    """
    n_classes = check_count("n_classes", n_classes, 2, MAX_CLASSES)
    n_samples = check_count("n_samples", n_samples, MIN_ADVERTS_A_CLASS * n_classes)
    image_size = check_count("image_size", image_size, 32)
    repeat_rate = check_share("repeat_rate", repeat_rate)
    missing_rate = check_share("missing_rate", missing_rate)
    size_jitter = check_positive("size_jitter", size_jitter)
    style_noise = check_positive("style_noise", style_noise)
    n_adverts = count_distinct(n_samples, repeat_rate)
    if n_adverts < MIN_ADVERTS_A_CLASS * n_classes:
        raise ValueError(
            f"n_samples={n_samples} with repeat_rate={repeat_rate} leaves {n_adverts} distinct "
            f"rows, but n_classes={n_classes} needs at least {MIN_ADVERTS_A_CLASS * n_classes}. "
            "Raise n_samples, or lower repeat_rate or n_classes."
        )
    law = CarLaw(build_catalogue(n_classes), size_jitter, style_noise)
    streams = spawn_streams(random_state, 5)
    design, grouping, blanks, noise = map(np.random.default_rng, streams[:4])

    groups = draw_groups(n_samples, n_adverts, grouping)
    advert_classes = law.draw_classes(n_adverts, design)
    complete = law.draw_adverts(advert_classes, design)
    adverts = blank_cells(complete, law.draw_missing(n_adverts, missing_rate, blanks))
    names = np.array(law.catalogue.names)
    predicted = names[law.posterior(adverts).argmax(axis=1)]

    classes = advert_classes[groups]
    latent = law.draw_style(classes, noise)
    bayes_score, latent_r2 = _population_scores(n_classes, size_jitter, style_noise, missing_rate)
    bodies = complete["Bodytype"].to_numpy()[groups]
    colors = complete["Color"].to_numpy()[groups]
    folder = open_photo_folder(image_dir, "cars")
    photos = write_photos(
        folder,
        "car",
        streams[4],
        n_samples,
        lambda i, rng: draw_car(latent[i], bodies[i], colors[i], image_size, rng),
    )
    return assemble(
        adverts.iloc[groups].reset_index(drop=True),
        photos,
        pd.Series(names[classes], name=TARGET),
        return_X_y=return_X_y,
        target_names=sorted(law.catalogue.names),
        latent=latent,
        latent_names=list(STYLE_NAMES),
        groups=groups,
        bayes_score=bayes_score,
        bayes_prediction=predicted[groups],
        latent_r2=latent_r2,
        image_dir=str(folder),
        DESCR=make_cars.__doc__,
    )


@lru_cache(maxsize=16)
def _population_scores(
    n_classes: int, size_jitter: float, style_noise: float, missing_rate: float
) -> tuple[float, float]:
    """Accuracy and latent R2 of the best table-only predictors over all adverts."""
    law = CarLaw(build_catalogue(n_classes), size_jitter, style_noise)
    rng = np.random.default_rng(POPULATION_SEED)
    adverts = law.draw_adverts(law.draw_classes(POPULATION_SIZE, rng), rng)
    missing = law.draw_missing(POPULATION_SIZE, missing_rate, rng)
    posterior = law.posterior(blank_cells(adverts, missing))
    # E[max posterior] is the accuracy of the best guess, with less variance than counting hits.
    accuracy = posterior.max(axis=1).mean()

    style, prior = law.catalogue.style, law.catalogue.prior
    between = prior @ (style - prior @ style) ** 2
    explained = (posterior @ style).var(axis=0)
    return float(accuracy), float(np.mean(explained / (between + style_noise**2)))
