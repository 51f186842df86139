"""What all displays share: axes, colours, bars. matplotlib is only imported for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tabimg.messages import import_hint

# After Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind readers too. Each
# has a contrast of at least 3 with white and with black; theirs for the fifth and sixth have not.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D1F", "#7A6AD8", "#7F7F7F")


def axes_or_new(ax: Any) -> Any:
    """Return the given axes, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed; says how to install it.
    """
    if ax is not None:
        return ax
    with import_hint("Drawing needs matplotlib", "'tabimg[plot]'"):
        from matplotlib import pyplot
    return pyplot.subplots(layout="constrained")[1]


def colour(number: int) -> str:
    """Return the colour of the n-th thing that is drawn."""
    return COLOURS[number % len(COLOURS)]


def draw_bars(
    ax: Any,
    names: Sequence[str],
    values: Sequence[float],
    spread: Sequence[float] | None = None,
    colours: Sequence[str] | None = None,
) -> None:
    """Draw horizontal bars, the first one on top, with error bars if there is a spread."""
    places = np.arange(len(names))
    ax.barh(places, values, xerr=spread, color=colours or COLOURS[0], ecolor=COLOURS[-1])
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.axvline(0.0, color=COLOURS[-1], linewidth=0.8)
