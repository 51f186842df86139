"""
Are photos likely to pay? Ask before any pre-training
=====================================================

Pre-training takes an hour on a large table; whether it is likely to pay, and what photos are worth
in labels, can be asked in minutes, by a fixed image encoder and simple models. Here it is asked of
generated membranes, for which the truth is known: micrographs show what permeance follows from, and
the recipe determines it in a tangled way. The program needs nothing but this package and takes a
few minutes.
"""

from __future__ import annotations

from tabimg.datasets import make_membranes
from tabimg.evaluation import photo_value

if __name__ == "__main__":
    # No recipe is repeated: every test recipe is new.
    membranes = make_membranes(n_samples=600, repeat_rate=0.0, random_state=0)
    print(photo_value(membranes.data, membranes.target, image_column="photo", n_jobs=2))
