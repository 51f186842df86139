"""The catalogue behind `make_cars`: invented car models, how they look and how they are sold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_CLASSES = 286
N_GENERATIONS = 3
FIRST_YEAR, LAST_YEAR = 1998, 2018  # of registration
CATALOGUE_SEED = 70_565

MAKERS = (
    "Aldane", "Borvik", "Cestra", "Dunmore", "Elvaro", "Fenwick", "Gallio", "Hartig", "Ivanto",
    "Jorland", "Kestrel", "Lumora", "Marwell", "Norvane", "Ostera", "Pellard", "Quorin", "Rusden",
    "Solvay", "Tarnow", "Ulmeris", "Vestara", "Wexley", "Xandor", "Ysolde", "Zephra",
)  # fmt: skip
MODELS = (
    "Arc", "Brio", "Comet", "Delta", "Ember", "Fjord", "Grove", "Halo", "Indigo", "Juno", "Krill",
)  # fmt: skip

BODYTYPES = (
    "Car Derived Van", "Combi Van", "Convertible", "Coupe", "Estate", "Hatchback", "Limousine",
    "MPV", "Minibus", "Panel Van", "Pickup", "SUV", "Saloon",
)  # fmt: skip
GEARBOXES = ("Automatic", "Manual", "Semi-Automatic")
FUEL_TYPES = (
    "Bi Fuel", "Diesel", "Electric", "Hybrid Diesel/Electric",
    "Hybrid Diesel/Electric Plug-in", "Hybrid Petrol/Electric", "Hybrid Petrol/Electric Plug-in",
    "Hydrogen", "LPG", "Petrol", "Petrol Ethanol", "Petrol Hybrid",
)  # fmt: skip
ENGINE_SIZES = np.array([1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0])  # litres

# What a body adds to a model's length, height, width and wheelbase, in mm; its usual seats.
BODY_SIZES = np.array([
    [-300, 230, -30, -60], [80, 260, 30, 90], [-150, -90, -10, -60], [0, -80, 0, -20],
    [220, 20, 0, 40], [-300, 0, -20, -60], [600, 30, 30, 400], [60, 180, 20, 80],
    [400, 480, 120, 300], [300, 430, 110, 260], [550, 250, 60, 350], [50, 220, 60, 20],
    [150, -20, 0, 30],
])  # fmt: skip
BODY_SEATS = np.array([2, 5, 4, 4, 5, 5, 7, 7, 9, 3, 5, 5, 5])
BODY_DOORS = np.array([3, 5, 2, 2, 5, 5, 4, 5, 5, 4, 4, 5, 4])

STYLE_NAMES = ("length", "height", "hood", "deck", "rake", "wheel", "belt")
N_STYLES = len(STYLE_NAMES)

BASE_SIZES = np.array([4350.0, 1500.0, 1790.0, 2600.0])  # mm
# How style shows in the physical sizes: rows length, height, width, wheelbase; columns as above.
STYLE_SIZES = np.array([
    [190.0, 0.0, 60.0, 60.0, 0.0, 0.0, 0.0],
    [0.0, 60.0, 0.0, 0.0, -25.0, 10.0, 0.0],
    [25.0, 0.0, 20.0, 0.0, 0.0, 15.0, 15.0],
    [90.0, 0.0, -30.0, -30.0, 0.0, 20.0, 0.0],
])  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """``n`` car models of ``N_GENERATIONS`` generations each; all arrays start with the model.

    Attributes
    ----------
    names : tuple of str
        ``"Maker Model"``, all different.
    prior : float64 (n,)
        Share of the adverts.
    style : float64 (n, 7)
        How the model looks, in the order of ``STYLE_NAMES``, about standard normal.
    first_year, last_year : int64 (n, 3)
        First and last registration year of each generation. Every year sells equally.
    sizes : float64 (n, 3, 4)
        Length, height, width and wheelbase in mm, without the body's part (``BODY_SIZES``).
    log_price : float64 (n, 3)
        Log of the entry price in pounds.
    body, engine, gearbox, fuel : float64 (n, 13), (n, 9), (n, 3), (n, 12)
        Shares of the bodies, engine sizes, gearboxes and fuels.
    """

    names: tuple[str, ...]
    prior: np.ndarray
    style: np.ndarray
    first_year: np.ndarray
    last_year: np.ndarray
    sizes: np.ndarray
    log_price: np.ndarray
    body: np.ndarray
    engine: np.ndarray
    gearbox: np.ndarray
    fuel: np.ndarray


def build_catalogue(n_classes: int) -> Catalogue:
    """Return the first ``n_classes`` models; the catalogue is the same on every call."""
    models = [_draw_model(i) for i in range(n_classes)]
    popularity = 1.3 - 0.6 * np.arange(n_classes) / max(n_classes - 1, 1)
    return Catalogue(
        names=tuple(f"{MAKERS[i // 11]} {MODELS[i % 11]}" for i in range(n_classes)),
        prior=popularity / popularity.sum(),
        **{key: np.stack([model[key] for model in models]) for key in models[0]},
    )


def _draw_model(i: int) -> dict[str, np.ndarray]:
    # A stream per model: a longer catalogue starts with the shorter one.
    rng = np.random.default_rng([CATALOGUE_SEED, i])
    style = rng.standard_normal(N_STYLES)
    change = np.sort(rng.choice(np.arange(2003, 2015), size=N_GENERATIONS - 1, replace=False))
    first = np.concatenate([[FIRST_YEAR], change])
    last = np.concatenate([change - 1, [LAST_YEAR]])

    # A generation may be larger or smaller than the previous one, whatever the model looks like.
    redesign = rng.standard_normal((N_GENERATIONS, 4)) * [60.0, 18.0, 10.0, 25.0]
    sizes = BASE_SIZES + STYLE_SIZES @ style + redesign
    log_price = np.log(18_000) + 0.35 * rng.standard_normal() + 0.02 * (first - 2005)
    return {
        "style": style,
        "first_year": first,
        "last_year": last,
        "sizes": sizes,
        "log_price": log_price,
        "body": _uneven_shares(rng, len(BODYTYPES)),
        "engine": _uneven_shares(rng, len(ENGINE_SIZES)),
        "gearbox": _uneven_shares(rng, len(GEARBOXES)),
        "fuel": _uneven_shares(rng, len(FUEL_TYPES)),
    }


def _uneven_shares(rng: np.random.Generator, n: int) -> np.ndarray:
    # The floor keeps every category possible in every model: none rules a model out for certain.
    return 0.9 * rng.dirichlet(np.full(n, 0.5)) + 0.1 / n
