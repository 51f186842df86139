"""Data sets with known truth, generated on demand: no data file ships with the package."""

from __future__ import annotations

from tabimg.datasets.cars import make_cars
from tabimg.datasets.membranes import make_membranes

__all__ = ["make_cars", "make_membranes"]
