"""How the pages of results are written: tables, figures, the configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tabimg.evaluation import StudyResult
from tabimg.evaluation.study.cells import write_text

# What is declared of a set, and so may differ between sets.
DECLARED = ("image_column", "group_column", "augmentation", "random_state")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def with_interval(mean: float, low: float, high: float, digits: int = 3) -> str:
    """Write a score with its interval; an unknown one is left out."""
    if math.isnan(mean):
        return "-"
    text = f"{mean:.{digits}f}"
    return text if math.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def as_gain(mean: float, low: float, high: float) -> str:
    """Write a gain in hundredths, with its sign and interval."""
    if math.isnan(mean):
        return "-"
    text = f"{100 * mean:+.1f}"
    return text if math.isnan(low) else f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def score_table(study: StudyResult, labels: Mapping[str, str]) -> str:
    """Write mean scores with their intervals: a row a method, a column a budget.

    Parameters
    ----------
    study : StudyResult
    labels : mapping of str to str
        What methods are called; those that the study has are shown, in this order.
    """
    summary = study.summary()
    cells = {
        (row.method, row.budget): with_interval(row.mean, row.low, row.high)
        for row in summary.itertuples()
    }
    n_labels = summary.groupby("budget")["n_labels"].mean()
    heads = ["method", *(f"{budget} ({n_labels[budget]:.0f} labels)" for budget in study.budgets)]
    methods = [name for name in labels if name in study.methods]
    rows = [[labels[m], *(cells.get((m, b), "-") for b in study.budgets)] for m in methods]
    return table(heads, rows)


def minutes(seconds: float) -> str:
    """Write a time in minutes."""
    return f"{seconds / 60:.1f} min"


def computing_time(scores: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Sum up what was measured: for each method the seconds of pre-training and of fitting."""
    # Every cell of a fold carries the seconds of the one pre-training that it shares.
    by_fold = scores.groupby(["method", "repeat", "fold"], sort=False)["pretrain_seconds"].max()
    pretraining = by_fold.groupby("method", sort=False).sum()
    fitting = scores.groupby("method", sort=False)["fit_seconds"].sum()
    return {name: (pretraining[name], fitting[name]) for name in fitting.index}


def save_figure(path: Path, draw: Callable[[Any], None], **figure: Any) -> None:
    """Draw an SVG that is equal for equal figures; ``draw`` is given the matplotlib figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "tabimg", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(style):
        canvas = pyplot.figure(layout="constrained", **figure)
        draw(canvas)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, metadata={"Date": None})
        pyplot.close(canvas)


def configuration(notes: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Describe the configuration of several tables of scores, and where they differ.

    Parameters
    ----------
    notes : mapping of str to dict
        For each set what `runs.keep_results` wrote.
    """
    notes = {name: note for name, note in notes.items() if note is not None}
    if not notes:
        return "No results, so no configuration.\n"
    parts = []
    groups = _alike({name: _common(note) for name, note in notes.items()})
    if len(groups) > 1:
        parts.append(
            "**The sets were not all run with one configuration**, so they do not belong on one "
            "page; each configuration is given with its sets.\n"
        )
    for names, common in groups:
        if len(groups) > 1:
            parts.append(f"Of {', '.join(names)}:\n")
        parts += [_parameters(name, common[name]) for name in ("pretrainer", "estimator")]
    for names, versions in _alike({name: note["versions"] for name, note in notes.items()}):
        text = ", ".join(f"{package} {number}" for package, number in versions.items())
        parts.append(f"Versions ({_of(names, notes)}): {text}.\n")
    for names, (machine, processes, code) in _alike(
        {name: (n["machine"], n["processes"], n["code"]) for name, n in notes.items()}
    ):
        several = " (**more than one**: some cells are older)" if len(code) > 1 else ""
        parts.append(
            f"Run ({_of(names, notes)}): {machine}; {processes} processes on one thread each; "
            f"state of the code {', '.join(code)}{several}.\n"
        )
    return "\n".join(parts)


def write_page(path: Path, parts: Iterable[str]) -> None:
    """Write a page, a blank line between its parts, whole or not at all."""
    kept = [part.strip("\n") for part in parts]
    write_text(path, "\n\n".join(part for part in kept if part) + "\n")
    print(f"wrote {path}")


def _common(note: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of the prototypes what is declared of the set, and the task of the estimator."""
    settings = note["settings"]
    return {
        name: {
            key: value
            for key, value in settings[name].items()
            if key not in (*DECLARED, "class", "loss", "class_weight")
        }
        for name in ("pretrainer", "estimator")
    }


def _alike(values: Mapping[str, Any]) -> list[tuple[list[str], Any]]:
    """Group names by equal values."""
    groups: list[tuple[list[str], Any]] = []
    for name, value in values.items():
        for names, known in groups:
            if known == value:
                names.append(name)
                break
        else:
            groups.append(([name], value))
    return groups


def _of(names: Sequence[str], notes: Mapping[str, Any]) -> str:
    return "all sets" if len(names) == len(notes) else ", ".join(names)


def _parameters(name: str, values: Mapping[str, Any]) -> str:
    listed = ", ".join(f"`{key}={value!r}`" for key, value in sorted(values.items()))
    return f"{name}: {listed}\n"
