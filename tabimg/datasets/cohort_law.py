"""The law behind `make_cohorts`: what a patient's values say about the retina and about sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tabimg.datasets.cohort_concepts import CONCEPTS

CONCEPT_NAMES = tuple(CONCEPTS)
LATENT_NAMES = ("narrowing", "leakage")
MEAN_LOSS = 12.0  # letters, at z = (0, 0)
EFFECTS = np.array([4.0, 3.0])  # letters lost per unit of narrowing and of leakage


def _rise(position: np.ndarray) -> np.ndarray:
    return position


def _bend(position: np.ndarray) -> np.ndarray:
    return np.cos(np.pi * position)


class Term(NamedTuple):
    """A product of curves, one per concept, and its weight in each latent."""

    narrowing: float
    leakage: float
    curves: dict[str, Callable[[np.ndarray], np.ndarray]]


# No two terms have the same concepts, so they are uncorrelated: see `CohortLaw`.
TERMS = (
    Term(0.6, 0.0, {"systolic": _rise}),
    Term(0.8, 0.0, {"systolic": _rise, "smoking": _rise}),
    Term(0.7, 0.0, {"age": _bend}),
    Term(-0.5, 0.0, {"weight": _rise, "height": _rise}),
    Term(0.3, 0.0, {"diastolic": _rise}),
    Term(0.5, 0.0, {"cholesterol": _rise, "statin": _rise}),
    Term(0.0, 0.5, {"hba1c": _rise}),
    Term(0.0, 0.8, {"hba1c": _rise, "treatment": _rise}),
    Term(0.0, 0.6, {"duration": _rise, "glucose": _rise}),
    Term(0.0, 0.7, {"creatinine": _bend}),
    Term(0.0, 0.4, {"duration": _rise}),
    Term(0.0, 0.5, {"age": _rise, "sex": _rise}),
)
# Terms by latents: each latent has variance 1.
WEIGHTS = np.array([(term.narrowing, term.leakage) for term in TERMS])
WEIGHTS = WEIGHTS / np.sqrt((WEIGHTS**2).sum(axis=0))
USED = np.array([[name in term.curves for name in CONCEPT_NAMES] for term in TERMS])


def draw_patients(n: int, rng: np.random.Generator) -> np.ndarray:
    """Level index of every concept, int64 (n, 16): independent, levels equally likely."""
    n_levels = [len(concept.levels) for concept in CONCEPTS.values()]
    return rng.integers(n_levels, size=(n, len(CONCEPTS)))


@lru_cache(maxsize=1)
def _curves() -> list[dict[int, np.ndarray]]:
    """Return each term's curves of its concepts over the levels, with mean 0 and variance 1."""
    return [
        {
            CONCEPT_NAMES.index(name): _standardised(curve(CONCEPTS[name].position))
            for name, curve in term.curves.items()
        }
        for term in TERMS
    ]


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def term_values(patients: np.ndarray) -> np.ndarray:
    """Each term's product of curves, float64 (n, n_terms): mean 0, variance 1, uncorrelated."""
    products = [
        np.prod([curve[patients[:, j]] for j, curve in curves.items()], axis=0)
        for curves in _curves()
    ]
    return np.column_stack(products)


def response(patients: np.ndarray) -> np.ndarray:
    """Return f(concepts), float64 (n, 2): each latent's part has mean 0 and variance 1."""
    return term_values(patients) @ WEIGHTS


@dataclass(frozen=True)
class CohortLaw:
    """z = sqrt(r) f(concepts) + sqrt(1 - r) e, loss = MEAN_LOSS + EFFECTS z + s e'.

    The concepts are independent and each curve has mean 0 over its concept. So a term with an
    unknown concept has mean 0 whatever the others are, terms of different concepts are
    uncorrelated, and the conditional mean given any subset of the concepts is the sum of the terms
    in this subset: the decomposition of Hoeffding (1948) and Sobol (1993), exactly.

    Parameters
    ----------
    column_r2 : float in (0, 1)
        r, the share of each latent's variance that all concepts together determine.
    target_noise : float in [0, 1)
        Share of the loss's variance that z does not determine; it sets s.
    """

    column_r2: float
    target_noise: float

    def draw_latent(self, patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Latent z of one eye per patient, float64 (n, 2): narrowing and leakage."""
        aimed = response(patients)
        noise = rng.standard_normal(aimed.shape)
        return np.sqrt(self.column_r2) * aimed + np.sqrt(1 - self.column_r2) * noise

    def draw_loss(self, latent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Letters that each eye loses, float64 (n,)."""
        deviation = np.sqrt(self.loss_variance * self.target_noise)
        return MEAN_LOSS + latent @ EFFECTS + deviation * rng.standard_normal(len(latent))

    def expected_given_known(self, patients: np.ndarray, known: np.ndarray) -> np.ndarray:
        """E[loss | known concepts], float64 (n,); ``known``: bool (n, 16)."""
        whole = ~(USED[None] & ~known[:, None]).any(axis=2)
        explained = (term_values(patients) * whole) @ WEIGHTS @ EFFECTS
        return MEAN_LOSS + np.sqrt(self.column_r2) * explained

    def scores(self, recorded: np.ndarray, missing_rate: float) -> tuple[float, float]:
        """Population R2 of the best table-only predictors of the loss and of z (mean of the two).

        ``recorded``: bool (16,), the concepts that have a column, a share ``missing_rate`` of whose
        cells is missing. A term counts if none of its concepts is missing.
        """
        whole = np.prod(np.where(USED, recorded * (1 - missing_rate), 1.0), axis=1)
        loss = self.column_r2 * (whole @ (WEIGHTS @ EFFECTS) ** 2) / self.loss_variance
        latent = self.column_r2 * (whole @ WEIGHTS**2)
        return float(loss), float(latent.mean())

    @property
    def loss_variance(self) -> float:
        """Var(loss) over all eyes."""
        joint = self.column_r2 * WEIGHTS.T @ WEIGHTS + (1 - self.column_r2) * np.eye(2)
        return float(EFFECTS @ joint @ EFFECTS / (1 - self.target_noise))
