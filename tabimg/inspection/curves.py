"""The losses of pre-training and fine-tuning, epoch by epoch."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from tabimg.inspection.drawing import axes_or_new, colour
from tabimg.inspection.fitted import pretrainer_of, require_finetuned

STAGES = ("pre-training", "fine-tuning")
_LOSS = re.compile(r"^(train|valid)_(.+?)$")
# Fine-tuning has one term, which is its loss.
_REPEATED = ("_weighted", "_task")


class TrainingCurvesDisplay:
    """Loss terms by epoch.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    curves : DataFrame
        With the columns ``stage`` ("pre-training" or "fine-tuning"), ``member`` (of fine-tuning:
        the network's number), ``epoch``, ``term`` ("loss" is the weighted sum, others are not
        weighted), ``rows`` ("train" or "valid") and ``value``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn into; set by `plot`, as is ``figure_``.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from tabimg import MultiModalPretrainer
    >>> from tabimg.datasets import make_membranes
    >>> from tabimg.inspection import TrainingCurvesDisplay
    >>> data = make_membranes(n_samples=40, image_size=32, random_state=0)
    >>> pretrainer = MultiModalPretrainer(
    ...     image_column="photo", image_size=32, max_epochs=2, embedding_dim=16, random_state=0
    ... )
    >>> display = TrainingCurvesDisplay.from_estimator(pretrainer.fit(data.data))
    >>> sorted(display.curves["term"].unique())
    ['contrastive', 'loss', 'masked']
    """

    def __init__(self, curves: pd.DataFrame) -> None:
        self.curves = curves

    @classmethod
    def from_estimator(cls, estimator: Any) -> TrainingCurvesDisplay:
        """Read the histories of a fitted pretrainer, classifier or regressor.

        Parameters
        ----------
        estimator : fitted estimator of tabimg
            Of a classifier or regressor the pretrainer's history is read too.

        Returns
        -------
        TrainingCurvesDisplay

        Raises
        ------
        TypeError
            If it is no estimator of tabimg.
        ValueError
            If no network was trained.
        sklearn.exceptions.NotFittedError
        """
        parts = []
        if not hasattr(estimator, "transform_images"):
            finetuned = require_finetuned(estimator)
            parts.append(_long(finetuned.history_, STAGES[1]))
            estimator = finetuned.pretrainer_
        if estimator is not None:
            parts.insert(0, _long(pretrainer_of(estimator).history_, STAGES[0]))
        curves = pd.concat(parts, ignore_index=True)
        if curves.empty:
            raise ValueError("there are no curves: this fit trained no network")
        return cls(curves)

    @property
    def stages(self) -> list[str]:
        """The stages that have curves, in their order."""
        return [stage for stage in STAGES if (self.curves["stage"] == stage).any()]

    def plot(self, ax: Any = None, *, stage: str | None = None) -> TrainingCurvesDisplay:
        """Draw one stage: a colour for each term, dashed for validation rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        stage : {"pre-training", "fine-tuning"}, default=None
            None is the first one there is.

        Returns
        -------
        TrainingCurvesDisplay

        Raises
        ------
        ValueError
            If there are no curves of this stage.
        ImportError
            If matplotlib is not installed.
        """
        stage = stage or self.stages[0]
        if stage not in self.stages:
            raise ValueError(f"there are curves of {self.stages}, and none of {stage!r}")
        ax = axes_or_new(ax)
        own = self.curves[self.curves["stage"] == stage]
        terms = list(dict.fromkeys(own["term"]))
        seen = set()
        for (term, rows, _), line in own.groupby(["term", "rows", "member"], sort=False):
            name = f"{term}, {'training' if rows == 'train' else 'validation'}"
            ax.plot(
                line["epoch"],
                line["value"],
                color=colour(terms.index(term)),
                linestyle="-" if rows == "train" else "--",
                marker="." if len(line) == 1 else None,
                linewidth=1.2,
                label=None if name in seen else name,
            )
            seen.add(name)
        ax.locator_params(axis="x", integer=True)
        ax.set(xlabel="Epoch", ylabel="Loss", title=stage.capitalize())
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _long(history: list[dict[str, Any]], stage: str) -> pd.DataFrame:
    """List the losses of a history, one a row."""
    columns = ["stage", "member", "epoch", "term", "rows", "value"]
    found = [
        (stage, epoch.get("member", 0), epoch["epoch"], match[2], match[1], float(value))
        for epoch in history
        for name, value in epoch.items()
        if (match := _LOSS.match(name)) and not name.endswith(_REPEATED)
    ]
    return pd.DataFrame(found, columns=columns)
