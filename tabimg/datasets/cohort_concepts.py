"""What a clinic can know about a patient, and the units and spellings it may use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unit:
    """How a value of the common unit is written: ``round(factor * value + offset, digits)``."""

    factor: float = 1.0
    offset: float = 0.0
    digits: int = 0


@dataclass(frozen=True)
class Measurement:
    """A numeric concept: its levels in the common unit, which is the first one, and all units."""

    levels: np.ndarray
    units: dict[str, Unit]

    @property
    def position(self) -> np.ndarray:
        """Levels scaled to [-1, 1]."""
        return np.linspace(-1, 1, len(self.levels))

    def written(self, unit: str) -> np.ndarray:
        """Levels as numbers of the given unit."""
        form = self.units[unit]
        return np.round(form.factor * self.levels + form.offset, form.digits)


@dataclass(frozen=True)
class Category:
    """A categorical concept: its spellings, and how its levels act in a product with a number.

    The levels are equally likely; the first spelling is the common one. A spelling by integers
    makes a numeric column.
    """

    scores: tuple[float, ...]
    spellings: dict[str, tuple[str, ...] | tuple[int, ...]]

    @property
    def levels(self) -> np.ndarray:
        """Levels in the common spelling."""
        return self.written(next(iter(self.spellings)))

    @property
    def position(self) -> np.ndarray:
        """Scores of the levels."""
        return np.array(self.scores)

    def written(self, spelling: str) -> np.ndarray:
        """Levels as words, or integers, of the given spelling."""
        words = self.spellings[spelling]
        return np.array(words, dtype=object if isinstance(words[0], str) else np.int64)


def _steps(low: float, high: float, step: float) -> np.ndarray:
    return np.round(np.arange(low, high + step / 2, step), 6)


# The digits of every unit keep all levels distinct: no unit says more than another.
CONCEPTS: dict[str, Measurement | Category] = {
    "age": Measurement(_steps(30, 85, 1), {"years": Unit()}),
    "weight": Measurement(
        _steps(48, 120, 0.5), {"kg": Unit(digits=1), "lb": Unit(2.20462, digits=1)}
    ),
    "height": Measurement(_steps(148, 196, 1), {"cm": Unit(), "inch": Unit(1 / 2.54, digits=1)}),
    "systolic": Measurement(_steps(96, 186, 1), {"mmHg": Unit()}),
    "diastolic": Measurement(_steps(56, 112, 1), {"mmHg": Unit()}),
    "hba1c": Measurement(
        _steps(5, 11, 0.1), {"percent": Unit(digits=1), "mmol/mol": Unit(10.93, -23.5)}
    ),
    "glucose": Measurement(
        _steps(4, 16, 0.1), {"mmol/l": Unit(digits=1), "mg/dl": Unit(18.016, digits=0)}
    ),
    "duration": Measurement(_steps(0, 30, 1), {"years": Unit(), "months": Unit(12)}),
    "cholesterol": Measurement(_steps(3, 8, 0.1), {"mmol/l": Unit(digits=1), "mg/dl": Unit(38.67)}),
    "creatinine": Measurement(
        _steps(40, 160, 1), {"µmol/l": Unit(), "mg/dl": Unit(1 / 88.4, digits=2)}
    ),
    "heart_rate": Measurement(_steps(50, 110, 1), {"1/min": Unit()}),
    "haemoglobin": Measurement(_steps(100, 180, 1), {"g/l": Unit(), "g/dl": Unit(0.1, digits=1)}),
    "sex": Category(
        (-1.0, 1.0),
        {
            "female": ("female", "male"),
            "Female": ("Female", "Male"),
            "F": ("F", "M"),
            "Woman": ("Woman", "Man"),
        },
    ),
    "smoking": Category(
        (-1.0, -0.2, 1.2),
        {
            "never": ("never", "former", "current"),
            "Never smoked": ("Never smoked", "Former smoker", "Current smoker"),
            "NEVER": ("NEVER", "EX", "CURRENT"),
            "No": ("No", "Formerly", "Currently"),
        },
    ),
    "treatment": Category(
        (1.1, 0.1, -1.2),
        {
            "diet": ("diet", "tablets", "insulin"),
            "Diet only": ("Diet only", "Oral drugs", "Insulin"),
            "DIET": ("DIET", "ORAL", "INSULIN"),
        },
    ),
    "statin": Category((1.0, -1.0), {"no": ("no", "yes"), "No": ("No", "Yes"), "0": (0, 1)}),
}
