"""The law behind `make_membranes`: what a fabrication recipe says about pores and permeance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

POPULATION_SIZE = 200_000  # Monte Carlo rows: R2 values are exact to about .003
POPULATION_SEED = 20_250_107

NUMERIC_LEVELS: dict[str, np.ndarray] = {
    "polymer_wt_pct": np.arange(12.0, 24.5, 0.5),
    "additive_wt_pct": np.arange(0.5, 8.5, 0.5),
    "evaporation_time_s": np.arange(0.0, 65.0, 5.0),
    "bath_temperature_c": np.arange(5.0, 46.0, 1.0),
    "casting_temperature_c": np.arange(20.0, 75.0, 5.0),
    "humidity_pct": np.arange(20.0, 95.0, 5.0),
    "film_thickness_um": np.arange(100.0, 325.0, 25.0),
    "casting_speed_mm_s": np.arange(5.0, 55.0, 5.0),
    "stirring_time_h": np.arange(4.0, 52.0, 4.0),
    "storage_days": np.arange(0.0, 31.0, 1.0),
}
CATEGORY_LEVELS: dict[str, tuple[str, ...]] = {
    "polymer": ("CA", "PES", "PSf", "PVDF"),
    "solvent": ("DMAc", "DMF", "DMSO", "NMP"),
    "additive": ("LiCl", "PEG", "PVP"),
    "bath": ("ethanol-water", "isopropanol-water", "water"),
    "support": ("glass", "polyester", "polypropylene"),
}
COLUMNS = (*NUMERIC_LEVELS, *CATEGORY_LEVELS)
N_LEVELS = np.array(
    [len(levels) for levels in NUMERIC_LEVELS.values()]
    + [len(levels) for levels in CATEGORY_LEVELS.values()]
)

# How well a solvent (column) dissolves a polymer (row), and how an additive (row) forms pores in a
# polymer (column). Rows and columns sum to about zero: neither category says much alone.
AFFINITY = np.array(
    [[1.0, -0.6, -0.8, 0.4], [-0.8, 0.9, 0.6, -0.7], [0.6, 0.5, -0.9, -0.2], [-0.8, -0.8, 1.1, 0.5]]
)
PORE_FORMING = np.array([[0.8, -0.9, 0.7, -0.6], [-1.0, 0.2, 0.3, 0.5], [0.2, 0.7, -1.0, 0.1]])
BATH_SLOPE = np.array([1.1, -0.3, 0.8])
ADDITIVE_SLOPE = np.array([-0.4, 1.0, 0.7])

LOG_PERMEANCE = np.log(60.0)  # at z = (0, 0); L m^-2 h^-1 bar^-1
EXPONENTS = np.array([0.45, 0.30])  # of pore size and of porosity


def draw_recipes(n: int, rng: np.random.Generator) -> np.ndarray:
    """Level index of every column, int64 (n, 15): columns independent, levels equally likely."""
    return rng.integers(N_LEVELS, size=(n, len(COLUMNS)))


def raw_response(recipes: np.ndarray) -> np.ndarray:
    """Pore size and porosity that recipes aim at, before standardisation, float64 (n, 2).

    With every numeric column u scaled to [-1, 1]::

        size     = AFFINITY[polymer, solvent] + u_evaporation (1.2 u_humidity + 0.9)
                   + BATH_SLOPE[bath] u_bath_temperature
        porosity = PORE_FORMING[additive, polymer] + ADDITIVE_SLOPE[additive] u_additive
                   - 1.1 u_polymer + 0.5 cos(pi u_casting_temperature)
    """
    index = dict(zip(COLUMNS, recipes.T, strict=True))
    u = {name: 2 * index[name] / (len(v) - 1) - 1 for name, v in NUMERIC_LEVELS.items()}
    size = (
        AFFINITY[index["polymer"], index["solvent"]]
        + u["evaporation_time_s"] * (1.2 * u["humidity_pct"] + 0.9)
        + BATH_SLOPE[index["bath"]] * u["bath_temperature_c"]
    )
    porosity = (
        PORE_FORMING[index["additive"], index["polymer"]]
        + ADDITIVE_SLOPE[index["additive"]] * u["additive_wt_pct"]
        - 1.1 * u["polymer_wt_pct"]
        + 0.5 * np.cos(np.pi * u["casting_temperature_c"])
    )
    return np.column_stack([size, porosity])


@lru_cache(maxsize=1)
def _raw_moments() -> tuple[np.ndarray, np.ndarray]:
    raw = raw_response(draw_recipes(POPULATION_SIZE, np.random.default_rng(POPULATION_SEED)))
    return raw.mean(axis=0), raw.std(axis=0)


def response(recipes: np.ndarray) -> np.ndarray:
    """Return f(columns), float64 (n, 2): each part has mean 0 and variance 1 over all recipes."""
    mean, std = _raw_moments()
    return (raw_response(recipes) - mean) / std


@lru_cache(maxsize=16)
def _latent_moments(column_r2: float) -> tuple[float, float]:
    """E[G]^2 and E[G^2] of G = exp(EXPONENTS z)."""
    rng = np.random.default_rng(POPULATION_SEED)
    aimed = np.sqrt(column_r2) * response(draw_recipes(POPULATION_SIZE, rng)) @ EXPONENTS
    spread = (1 - column_r2) * EXPONENTS @ EXPONENTS
    first = np.exp(aimed).mean() * np.exp(spread / 2)
    second = np.exp(2 * aimed).mean() * np.exp(2 * spread)
    return float(first**2), float(second)


@dataclass(frozen=True)
class MembraneLaw:
    """z = sqrt(r) f(columns) + sqrt(1 - r) e, permeance = exp(LOG_PERMEANCE + EXPONENTS z + s e').

    Parameters
    ----------
    column_r2 : float in (0, 1)
        r, the share of each latent's variance that complete columns determine.
    target_noise : float in [0, 1)
        Share of the permeance's variance that z does not determine; it sets s.
    """

    column_r2: float
    target_noise: float

    def draw_latent(self, recipes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Latent z of one membrane per recipe, float64 (n, 2): (pore size, porosity)."""
        aimed = response(recipes)
        noise = rng.standard_normal(aimed.shape)
        return np.sqrt(self.column_r2) * aimed + np.sqrt(1 - self.column_r2) * noise

    def draw_permeance(self, latent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Permeance of each membrane, float64 (n,), in L m^-2 h^-1 bar^-1."""
        noise = self._noise_scale * rng.standard_normal(len(latent))
        return np.exp(LOG_PERMEANCE + latent @ EXPONENTS + noise)

    def expected_permeance(self, recipes: np.ndarray) -> np.ndarray:
        """E[permeance | complete columns], float64 (n,): the mean of a log-normal variable."""
        variance = (1 - self.column_r2) * EXPONENTS @ EXPONENTS + self._noise_scale**2
        exponent = np.sqrt(self.column_r2) * response(recipes) @ EXPONENTS
        return np.exp(LOG_PERMEANCE + exponent + variance / 2)

    def expected_given_observed(
        self, recipes: np.ndarray, missing: np.ndarray, rng: np.random.Generator, n_draws: int = 256
    ) -> np.ndarray:
        """E[permeance | observed cells], float64 (n,): missing cells averaged over their levels."""
        expected = self.expected_permeance(recipes)
        for row in np.flatnonzero(missing.any(axis=1)):
            filled = np.where(missing[row], draw_recipes(n_draws, rng), recipes[row])
            expected[row] = self.expected_permeance(filled).mean()
        return expected

    @cached_property
    def _noise_scale(self) -> float:
        # With u = exp(s^2) the noise share is A (u - 1) / (A u - B), A = E[G^2], B = E[G]^2.
        squared_mean, mean_square = _latent_moments(self.column_r2)
        share = self.target_noise
        u = (mean_square - share * squared_mean) / (mean_square * (1 - share))
        return float(np.sqrt(np.log(u)))

    @cached_property
    def permeance_variance(self) -> float:
        """Var(y) over all membranes."""
        squared_mean, mean_square = _latent_moments(self.column_r2)
        u = np.exp(self._noise_scale**2)
        return float(np.exp(2 * LOG_PERMEANCE) * (mean_square * u**2 - squared_mean * u))


@lru_cache(maxsize=16)
def population_scores(law: MembraneLaw, missing_rate: float) -> tuple[float, float]:
    """Population R2 of the best table-only predictors of the permeance and of z.

    For a function m of the columns, Var(E[m | observed cells]) = Cov(m(x), m(x')), where x'
    is x with its missing cells redrawn; no average over completions is needed.
    """
    rng = np.random.default_rng(POPULATION_SEED + 1)
    recipes = draw_recipes(POPULATION_SIZE, rng)
    missing = rng.random(recipes.shape) < missing_rate
    redrawn = np.where(missing, draw_recipes(POPULATION_SIZE, rng), recipes)
    first, second = law.expected_permeance(recipes), law.expected_permeance(redrawn)
    target_r2 = np.cov(first, second)[0, 1] / law.permeance_variance
    f, f_redrawn = response(recipes), response(redrawn)
    explained = [np.cov(f[:, k], f_redrawn[:, k])[0, 1] for k in range(f.shape[1])]
    return float(target_r2), law.column_r2 * float(np.mean(explained))
