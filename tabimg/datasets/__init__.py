"""Data sets: generated ones with known truth, and loaders of files that you have.

No data file ships with the package, and nothing is downloaded.
"""

from __future__ import annotations

from tabimg.datasets.cars import make_cars
from tabimg.datasets.cohorts import make_cohorts
from tabimg.datasets.dvm import load_dvm
from tabimg.datasets.membranes import make_membranes
from tabimg.datasets.paired import load_paired
from tabimg.datasets.pairing import Pairing, suggest_pairing

__all__ = [
    "Pairing",
    "load_dvm",
    "load_paired",
    "make_cars",
    "make_cohorts",
    "make_membranes",
    "suggest_pairing",
]
