"""Benchmarks that compare variants of the method on some sets, and write a page about it.

They run on a part of the folds of ``accuracy.py``, in its work folder, so that what is pre-trained
for one program serves the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from headline import Outcome, pooled
from pages import (
    as_gain,
    computing_time,
    configuration,
    minutes,
    save_figure,
    score_table,
    table,
    write_page,
)
from runs import Bench, keep_results, read_scores, read_settings
from sets import SETS, DataSet

from tabimg.evaluation import StudyResult
from tabimg.evaluation.metrics import METRICS

FRACTIONS = (0.1, 1.0)
N_FOLDS, FOLDS = 5, (0, 1)
N_COLOURS, MARKERS = 10, "osD"
LEGEND_WIDTH = 85  # letters side by side


@dataclass(frozen=True)
class Variants:
    """A comparison of variants.

    Parameters
    ----------
    page : str
        Stem of the page and of its tables of scores, which are called ``page-set``.
    labels : mapping of str to str
        The methods, in their order, and what the page calls them.
    reference : str
        The method that gains are counted against.
    sets : sequence of DataSet
        Those that may have results.
    n_folds : mapping of str to int
        How many of the five folds are run, by name of the set; two where it is not named.
    drawn : sequence of str
        Methods in the figure; all where none are named.
    """

    page: str
    labels: Mapping[str, str]
    reference: str
    sets: Sequence[DataSet] = tuple(SETS.values())
    n_folds: Mapping[str, int] = field(default_factory=dict)
    drawn: Sequence[str] = ()

    def protocol(self, bench: Bench, name: str) -> dict[str, Any]:
        """Give the folds, label fractions and draws of a set."""
        some = {"n_folds": N_FOLDS, "n_draws": 1}
        if bench.quick:
            return {**some, "folds": FOLDS[:1], "label_fractions": FRACTIONS[:1]}
        folds = tuple(range(self.n_folds.get(name, len(FOLDS))))
        return {**some, "folds": folds, "label_fractions": FRACTIONS}

    def run(
        self,
        bench: Bench,
        data: DataSet,
        study: Any,
        name: str | None = None,
        notes: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        """Run a study of a set, and keep its scores.

        Parameters
        ----------
        bench : Bench
        data : DataSet
        study : callable
            Of `tabimg.evaluation`, called with ``parameters``.
        name : str, default=None
            Of the work folder; None is that of the set.
        notes : mapping, default=None
            To be kept with the configuration.
        **parameters
        """
        stem = f"{self.page}-{data.name}"
        given = {
            "metric": data.metric,
            "task": data.task,
            **self.protocol(bench, data.name),
            **parameters,
        }
        result = bench.run(stem, name or data.name, study, **given)
        keep_results(bench, stem, result.scores, {**result.settings, **(notes or {})})

    def outcomes(self, bench: Bench) -> list[Outcome]:
        """Read the results of all sets that have any."""
        tables = {data: read_scores(bench, f"{self.page}-{data.name}") for data in self.sets}
        return [
            Outcome(data, StudyResult(scores, data.metric))
            for data, scores in tables.items()
            if scores is not None
        ]

    def write(self, bench: Bench, introduction: str, findings: Iterable[str]) -> None:
        """Write the page: introduction, findings, gains over the sets, each set, configuration."""
        outcomes = self.outcomes(bench)
        absent = [d.name for d in self.sets if d.name not in {o.data.name for o in outcomes}]
        parts = [introduction]
        if absent:
            parts.append(f"**No results yet** for {', '.join(absent)}.\n")
        if outcomes:
            parts += [*findings, *self._figure(bench, outcomes)]
        for outcome in outcomes:
            parts += self._section(outcome)
        notes = {o.data.name: read_settings(bench, f"{self.page}-{o.data.name}") for o in outcomes}
        parts += ["## Configuration\n", configuration(notes)]
        write_page(bench.docs / f"{self.page}.md", parts)

    def gains(self, outcomes: Sequence[Outcome], methods: Sequence[str]) -> str:
        """Write average gains over the reference: a row a method, a column a label fraction."""
        rows = []
        for method in methods:
            found = [pooled(outcomes, (f,), self.reference, method) for f in FRACTIONS]
            rows.append([self.labels[method], *(as_gain(e.mean, e.low, e.high) for e in found)])
        heads = [
            f"gain over {self.labels[self.reference]}",
            *(f"{100 * f:g} % of labels" for f in FRACTIONS),
        ]
        return table(heads, rows)

    def _section(self, outcome: Outcome) -> Iterator[str]:
        data, study = outcome.data, outcome.study
        yield f"## {data.name}\n"
        done = f"{study.scores['fold'].nunique()} of {N_FOLDS} folds"
        yield f"{data.describe()} ({data.role} set; {done}.) {METRICS[data.metric].label}:\n"
        yield score_table(study, self.labels)
        total = sum(sum(pair) for pair in computing_time(study.scores).values())
        yield f"Computing time on one thread: {minutes(total)}.\n"

    def _figure(self, bench: Bench, outcomes: Sequence[Outcome]) -> Iterator[str]:
        name = f"{self.page}-gains.svg"
        height = 1.6 + (0.1 + 0.12 * len(outcomes)) * len(self.drawn or self.labels)
        save_figure(
            bench.docs / "figures" / name,
            lambda figure: self._draw(figure, outcomes),
            figsize=(8, height),
        )
        yield f"![Gains on each set](figures/{name})\n"

    def _draw(self, figure: Any, outcomes: Sequence[Outcome]) -> None:
        """Draw the gain of each method on each set, one panel a label fraction."""
        methods = [name for name in self.drawn or self.labels if name != self.reference]
        axes = figure.subplots(1, len(FRACTIONS), sharey=True)
        shifts = np.linspace(0.3, -0.3, len(methods))
        styles = [(f"C{i % N_COLOURS}", MARKERS[i // N_COLOURS]) for i in range(len(methods))]
        for ax, fraction in zip(axes, FRACTIONS, strict=True):
            for method, shift, (colour, marker) in zip(methods, shifts, styles, strict=True):
                means = [100 * o.gain((fraction,), self.reference, method).mean() for o in outcomes]
                places = np.arange(len(outcomes)) + shift
                label = self.labels[method]
                ax.plot(means, places, marker, color=colour, markersize=4, label=label)
            ax.axvline(0.0, color="grey", linewidth=0.8)
            ax.set_xlabel(
                f"Gain over {self.labels[self.reference]},\n{100 * fraction:g} % of the labels"
            )
        axes[0].set_yticks(range(len(outcomes)), [o.data.name for o in outcomes])
        handles = axes[0].get_legend_handles_labels()
        widest = max(len(self.labels[method]) for method in methods)
        figure.legend(*handles, loc="outside upper center", ncols=max(1, LEGEND_WIDTH // widest))
