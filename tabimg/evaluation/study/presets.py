"""Presets of studies: how much of a comparison is run where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabimg.messages import shorten


@dataclass(frozen=True)
class Preset:
    """What a study runs; parameters as in `ablation_study`."""

    methods: Sequence[str]
    label_fractions: Sequence[float]
    n_folds: int
    folds: Sequence[int] | None
    n_draws: int | Mapping[float, int]


# The cells of "quick" are among those of "full": what it has stored is not computed again.
ABLATION = {
    "full": Preset(
        methods=("scratch", "masked_only", "contrastive_only", "mt_cmtm"),
        label_fractions=(0.05, 0.1, 0.25, 1.0),
        n_folds=5,
        folds=None,
        n_draws=3,
    ),
    "quick": Preset(
        methods=("scratch", "mt_cmtm"),
        label_fractions=(0.1, 1.0),
        n_folds=5,
        folds=(0, 1, 2),
        n_draws=1,
    ),
}
CURVE = {
    "full": Preset(
        methods=("scratch", "mt_cmtm"),
        label_fractions=(0.02, 0.05, 0.1, 0.25, 0.5, 1.0),
        n_folds=5,
        folds=None,
        n_draws=3,
    ),
    "quick": Preset(
        methods=("scratch", "mt_cmtm"),
        label_fractions=(0.05, 0.25, 1.0),
        n_folds=5,
        folds=(0, 1, 2),
        n_draws=1,
    ),
}


def fill_in(presets: Mapping[str, Preset], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Take what is not given (None) from a preset.

    The preset's choice among its folds only counts with its own number of folds.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if not isinstance(name, str) or name not in presets:
        raise ValueError(f"preset must be one of {list(presets)}, got {shorten(name)}")
    chosen = dict(vars(presets[name]))
    if given.get("n_folds") is not None:
        chosen["folds"] = None
    return {key: chosen[key] if value is None else value for key, value in given.items()}
