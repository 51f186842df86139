"""numpy's RandomState as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

_KEY_LENGTH = 624


def to_plain(value: np.random.RandomState) -> dict[str, Any]:
    """Return the state of a generator."""
    return value.get_state(legacy=False)


def from_plain(plain: dict[str, Any]) -> np.random.RandomState:
    """Rebuild a generator; raise an error for a state that it cannot have."""
    key, position = plain["state"]["key"], plain["state"]["pos"]
    # numpy does not check them: it would read beyond the key's end.
    if key.dtype != np.uint32 or key.shape != (_KEY_LENGTH,) or not 0 <= position <= _KEY_LENGTH:
        raise ValueError("not the state of a Mersenne twister")
    if plain["has_gauss"] not in (0, 1) or not np.isfinite(plain["gauss"]):
        raise ValueError("not the state of a Mersenne twister")
    value = np.random.RandomState()
    value.set_state(plain)
    return value
