"""How near the estimated cost of a fit comes to the real one, on generated cars.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_cost.py

prints both and their ratio for three sizes, and fails if one is off by more than a factor of 3.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings

from tabimg import MTCMTMClassifier, MultiModalPretrainer
from tabimg.datasets import make_cars
from tabimg.evaluation import estimate_cost

SIZES = (200, 600, 1500)
FACTOR = 3.0


def main() -> int:
    worst = 1.0
    for n_rows in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            cars = make_cars(n_samples=n_rows, image_dir=folder, random_state=0)
            pretrainer = MultiModalPretrainer(image_column=cars.image_column, random_state=0)
            classifier = MTCMTMClassifier(pretrainer, random_state=0)
            estimated = estimate_cost(classifier, cars.data, cars.target).seconds
            began = time.perf_counter()
            classifier.fit(cars.data, cars.target)
            real = time.perf_counter() - began
        ratio = estimated / real
        worst = max(worst, ratio, 1 / ratio)
        print(f"{n_rows} rows: estimated {estimated:.0f} s, real {real:.0f} s, ratio {ratio:.2f}")
    return int(worst > FACTOR)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
