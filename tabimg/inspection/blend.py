"""The parts of a blend: their weights, and how well each one predicts held-out rows."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from tabimg.inspection.drawing import COLOURS, axes_or_new, draw_bars
from tabimg.inspection.fitted import require_finetuned

SOURCES = ("columns", "pre-training", "photos")


class BlendDisplay:
    """Weights of the members of a blend, beside their losses on held-out rows.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    members : DataFrame
        As ``report_.to_frame()``: "name", "weight", "loss" and "learned_from" are read.
    loss, loss_of_columns : float
        Held-out loss of the blend, and of those members alone that learn from labelled columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure
    """

    def __init__(self, members: pd.DataFrame, loss: float, loss_of_columns: float) -> None:
        self.members = members
        self.loss = loss
        self.loss_of_columns = loss_of_columns

    @classmethod
    def from_estimator(cls, estimator: Any) -> BlendDisplay:
        """Read ``report_`` of a fitted classifier or regressor.

        Parameters
        ----------
        estimator : fitted classifier or regressor of tabimg

        Returns
        -------
        BlendDisplay

        Raises
        ------
        ValueError
            If it is no blend: ``finetune`` was not "auto".
        TypeError, sklearn.exceptions.NotFittedError
        """
        report = getattr(require_finetuned(estimator), "report_", None)
        if report is None or not report.members:
            raise ValueError("there is no blend to look into: only finetune='auto' makes one")
        return cls(report.to_frame(), report.loss, report.loss_of_columns)

    def plot(self, ax: Any = None) -> BlendDisplay:
        """Draw the weights as bars, the heaviest on top, with the losses beside them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        BlendDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        members = self.members
        colours = [COLOURS[SOURCES.index(source)] for source in members["learned_from"]]
        draw_bars(ax, list(members["name"]), list(members["weight"]), colours=colours)
        for place, (weight, loss) in enumerate(members[["weight", "loss"]].to_numpy(float)):
            if not math.isnan(loss):
                ax.text(weight, place, f" loss {loss:.3f}", va="center")
        for number, source in enumerate(SOURCES):
            if source in set(members["learned_from"]):
                ax.bar(0, 0, color=COLOURS[number], label=f"learned from {source}")
        ax.margins(x=0.25)
        ax.set_xlim(left=0.0)
        ax.set(xlabel="Weight in the prediction", title=self._title())
        ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _title(self) -> str:
        if math.isnan(self.loss):
            return "Members of the blend"
        return f"Held-out loss {self.loss:.3f}; of the columns alone {self.loss_of_columns:.3f}"
