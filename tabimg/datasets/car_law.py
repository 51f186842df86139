"""The law behind `make_cars`: adverts of the catalogue's models, and what a row says about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from tabimg.datasets.car_catalogue import (
    BODY_DOORS,
    BODY_SEATS,
    BODY_SIZES,
    BODYTYPES,
    ENGINE_SIZES,
    FIRST_YEAR,
    FUEL_TYPES,
    GEARBOXES,
    LAST_YEAR,
    N_GENERATIONS,
    Catalogue,
)

COLUMNS = (
    "Wheelbase", "Height", "Width", "Length", "Adv_year", "Adv_month", "Reg_year", "Runned_Miles",
    "Price", "Seat_num", "Door_num", "Entry_price", "Engine_size",
    "Color", "Bodytype", "Gearbox", "Fuel_type",
)  # fmt: skip
# Columns that may miss cells. In any other, a missing cell would make another column informative
# (Price for Entry_price, seats for the body): keeping these complete keeps the truth exact.
CAN_BE_MISSING = frozenset(
    {"Wheelbase", "Height", "Width", "Length", "Runned_Miles", "Seat_num", "Door_num"}
    | {"Engine_size", "Color", "Gearbox", "Fuel_type"}
)
SIZE_COLUMNS = ("Length", "Height", "Width", "Wheelbase")  # in the catalogue's order
SIZE_SCALE = np.array([1.5, 0.5, 0.4, 0.8])  # of the size jitter, by the same order
PRICE_JITTER = 0.2  # standard deviation of log Entry_price around its generation's
POPULATION_SIZE = 8_000
POPULATION_SEED = 17_642

PAINTS: dict[str, tuple[int, int, int]] = {
    "Beige": (214, 199, 163), "Black": (28, 28, 30), "Blue": (36, 82, 170),
    "Bronze": (140, 100, 54), "Brown": (95, 62, 40), "Burgundy": (108, 20, 44),
    "Cream": (242, 232, 200), "Gold": (200, 162, 62), "Green": (32, 112, 62),
    "Grey": (118, 122, 126), "Indigo": (58, 44, 138), "Magenta": (192, 38, 130),
    "Maroon": (128, 32, 32), "Navy": (22, 34, 84), "Orange": (236, 122, 28),
    "Pink": (240, 160, 184), "Purple": (110, 52, 142), "Red": (200, 28, 34),
    "Silver": (190, 194, 200), "Turquoise": (44, 176, 178), "White": (246, 246, 246),
    "Yellow": (246, 212, 44),
}  # fmt: skip
# White, black and grey cars are common, magenta ones are not.
PAINT_SHARES = np.where(
    np.isin(list(PAINTS), ["Black", "Blue", "Grey", "Red", "Silver", "White"]), 5.0, 1.0
)
PAINT_SHARES = PAINT_SHARES / PAINT_SHARES.sum()


@dataclass(frozen=True)
class CarLaw:
    """Adverts drawn from a catalogue.

    Parameters
    ----------
    catalogue : Catalogue
        The models.
    size_jitter : float
        Standard deviation, in mm, of an advert's sizes around its generation's, for a size of
        scale 1 (``SIZE_SCALE``).
    style_noise : float
        Standard deviation of a car's style around its model's.
    """

    catalogue: Catalogue
    size_jitter: float
    style_noise: float

    def draw_classes(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Model of each advert, int64 (n,): shares as in the prior, to within one advert."""
        edges = np.cumsum(self.catalogue.prior)
        points = (np.arange(n) + rng.random()) / n
        return rng.permutation(np.minimum(np.searchsorted(edges, points), len(edges) - 1))

    def draw_adverts(self, classes: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Complete rows (n, 17) of adverts of the given models."""
        book = self.catalogue
        n = len(classes)
        reg_year = rng.integers(FIRST_YEAR, LAST_YEAR + 1, size=n)
        generation = (reg_year[:, None] > book.last_year[classes]).sum(axis=1)
        body = _draw_categories(book.body[classes], rng)
        adv_year = rng.integers(np.maximum(reg_year, 2012), 2022)
        age = adv_year - reg_year + 0.5
        nominal = book.sizes[classes, generation] + BODY_SIZES[body]
        sizes = nominal + self._size_deviations() * rng.standard_normal((n, 4))
        log_price = book.log_price[classes, generation]
        entry_price = np.exp(log_price + PRICE_JITTER * rng.standard_normal(n))
        used_price = entry_price * 0.86**age * np.exp(0.15 * rng.standard_normal(n))
        miles = 7_500 * age * np.exp(0.4 * rng.standard_normal(n))
        # One seat or door configuration in ten is not the body's usual one.
        seats = BODY_SEATS[body] + (rng.random(n) < 0.1)
        doors = BODY_DOORS[body] + (rng.random(n) < 0.1)
        rounded = dict(zip(SIZE_COLUMNS, np.round(sizes).T, strict=True))
        table = {
            **rounded,
            "Adv_year": adv_year,
            "Adv_month": rng.integers(1, 13, size=n),
            "Reg_year": reg_year,
            "Runned_Miles": np.round(miles),
            "Price": np.round(used_price),
            "Seat_num": seats,
            "Door_num": doors,
            "Entry_price": np.round(entry_price),
            "Engine_size": ENGINE_SIZES[_draw_categories(book.engine[classes], rng)],
            "Color": np.array(list(PAINTS))[rng.choice(len(PAINTS), size=n, p=PAINT_SHARES)],
            "Bodytype": np.array(BODYTYPES)[body],
            "Gearbox": np.array(GEARBOXES)[_draw_categories(book.gearbox[classes], rng)],
            "Fuel_type": np.array(FUEL_TYPES)[_draw_categories(book.fuel[classes], rng)],
        }
        return pd.DataFrame({name: table[name] for name in COLUMNS})

    def draw_style(self, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Latent z of each car, float64 (n, 7)."""
        prototype = self.catalogue.style[classes]
        return prototype + self.style_noise * rng.standard_normal(prototype.shape)

    def posterior(self, table: pd.DataFrame) -> np.ndarray:
        """P(model | row), float64 (n, n_classes), where missing cells (NaN, None) say nothing.

        Only the columns that depend on the model count: sizes, Reg_year, Bodytype, Entry_price,
        Engine_size, Gearbox and Fuel_type. Given these, the rest is independent of the model.
        """
        step = max(1, 2_000_000 // (len(self.catalogue.names) * N_GENERATIONS))
        parts = [self._posterior(table.iloc[i : i + step]) for i in range(0, len(table), step)]
        return np.concatenate(parts)

    def _posterior(self, table: pd.DataFrame) -> np.ndarray:
        book = self.catalogue
        body = np.searchsorted(BODYTYPES, table["Bodytype"].to_numpy(dtype=str))
        year = table["Reg_year"].to_numpy()[:, None, None]
        on_sale = (book.first_year <= year) & (year <= book.last_year)
        log_p = np.where(on_sale, 0.0, -np.inf)
        for k, name in enumerate(SIZE_COLUMNS):
            without_body = table[name].to_numpy(dtype=float) - BODY_SIZES[body, k]
            log_p += _log_normal(without_body, book.sizes[..., k], self._size_deviations()[k])
        log_entry_price = np.log(table["Entry_price"].to_numpy(dtype=float))
        log_p += _log_normal(log_entry_price, book.log_price, PRICE_JITTER)

        by_class = np.log(book.prior) + np.logaddexp.reduce(log_p, axis=2)
        by_class += np.log(book.body.T[body])
        for name, levels, shares in (
            ("Engine_size", list(ENGINE_SIZES), book.engine),
            ("Gearbox", list(GEARBOXES), book.gearbox),
            ("Fuel_type", list(FUEL_TYPES), book.fuel),
        ):
            code = pd.Index(levels).get_indexer(pd.Index(table[name]))
            by_class += np.where(code[:, None] >= 0, np.log(shares.T[code]), 0.0)
        return softmax(by_class, axis=1)

    def draw_missing(self, n: int, missing_rate: float, rng: np.random.Generator) -> np.ndarray:
        """Cells that are missing, bool (n, 17)."""
        eligible = np.array([name in CAN_BE_MISSING for name in COLUMNS])
        return (rng.random((n, len(COLUMNS))) < missing_rate) & eligible

    def _size_deviations(self) -> np.ndarray:
        return self.size_jitter * SIZE_SCALE


def _draw_categories(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one index per row from that row's shares (n, k)."""
    edges = np.cumsum(shares, axis=1)[:, :-1]
    return (rng.random(len(shares))[:, None] > edges).sum(axis=1)


def _log_normal(values: np.ndarray, means: np.ndarray, scale: float) -> np.ndarray:
    """Log density up to a constant, (n, *means.shape); 0 for missing values."""
    deviation = (values.reshape(-1, *([1] * means.ndim)) - means) / scale
    return np.nan_to_num(-0.5 * deviation**2, nan=0.0)
