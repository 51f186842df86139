"""Plots of a study's results; matplotlib is only imported for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tabimg.messages import import_hint


def draw_curve(summary: pd.DataFrame, methods: Sequence[str], label: str, ax: Any) -> Any:
    """Draw means with their intervals against the number of labels.

    Parameters
    ----------
    summary : DataFrame
        As from `StudyResult.summary`.
    methods : sequence of str
        Which to draw, in this order.
    label : str
        Of the vertical axis.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    _draw_intervals(ax, summary.rename(columns={"mean": "value"}), methods)
    ax.set_ylabel(label)
    ax.legend()
    return ax


def draw_worths(worths: pd.DataFrame, methods: Sequence[str], ax: Any) -> Any:
    """Draw labels' worth with its intervals against the number of labels.

    Parameters
    ----------
    worths : DataFrame
        As made by `StudyResult.labels_worth`.
    methods : sequence of str
        Which to draw, in this order.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    values = worths[["worth", "low", "high"]].to_numpy()
    measured = values[np.isfinite(values) & (values > 0)]
    edges = measured.min(initial=0.5) / 1.5, measured.max(initial=2.0) * 1.5
    shown = worths.rename(columns={"worth": "value"})
    shown[["low", "high"]] = shown[["low", "high"]].clip(*edges)
    _draw_intervals(ax, shown, methods)
    for censored, marker in ((">", "^"), ("<", "v")):
        rows = shown[(shown["censored"] == censored) & shown["method"].isin(methods)]
        ax.plot(rows["n_labels"], rows["value"], marker, color="black", zorder=3)
    ax.axhline(1.0, color="grey", linewidth=0.8)
    ax.set_yscale("log")
    ax.set_ylim(*edges)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if edges[0] <= tick <= edges[1]]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylabel("Times the labels")
    ax.legend()
    return ax


def draw_heat_map(grid: pd.DataFrame, label: str, ax: Any) -> Any:
    """Draw a grid of numbers as colours, with the numbers written in.

    Parameters
    ----------
    grid : DataFrame
        Its index and columns, with their names, label the axes.
    label : str
        Of the colours.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    values = grid.to_numpy(dtype=np.float64)
    image = ax.imshow(values, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "black" if image.norm(value) > 0.5 else "white"
            ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour)
    ax.set_xticks(range(grid.shape[1]), [str(name) for name in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [str(name) for name in grid.index])
    ax.set_xlabel(str(grid.columns.name))
    ax.set_ylabel(str(grid.index.name))
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def _draw_intervals(ax: Any, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    """Draw values with their intervals over a logarithmic axis of labels."""
    for place, method in enumerate(methods):
        own = rows[rows["method"] == method].sort_values("n_labels")
        x, value = own["n_labels"].to_numpy(), own["value"].to_numpy()
        reach = own[["low", "high"]].to_numpy().T - value
        # Slightly shifted, so that the intervals do not hide each other.
        shift = 1.0 + 0.03 * (place - (len(methods) - 1) / 2)
        bars = np.nan_to_num(np.abs(reach))
        ax.errorbar(x * shift, value, bars, marker="o", capsize=2, label=method)
    ticks = sorted(rows["n_labels"].unique())
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("Labelled rows")


def _axes(ax: Any) -> Any:
    with import_hint("Drawing needs matplotlib", "'tabimg[plot]'"):
        from matplotlib import pyplot
    return pyplot.subplots()[1] if ax is None else ax
