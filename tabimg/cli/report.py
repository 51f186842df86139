"""The report of a study: what was found, in sentences and tables.

`write_report` is the one place that a study's report is made. Other forms of it, such as one HTML
file, are written there, from the same `Findings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabimg import __version__
from tabimg.cli.data import Data
from tabimg.cli.run_file import NAME, write_text
from tabimg.cli.wording import in_options
from tabimg.evaluation import DataCheck, StudyResult
from tabimg.evaluation.cost.words import seconds_in_words
from tabimg.evaluation.metrics import METRICS

REPORT = "report.md"
OURS, REFERENCE = "mt_cmtm", "scratch"
NAMES = {
    OURS: "taught by photos",
    REFERENCE: "the same model without photos",
    "linear": "linear model",
    "random_forest": "random forest",
    "boosting": "boosted trees",
}


@dataclass(frozen=True, eq=False)
class Findings:
    """What a study found.

    Parameters
    ----------
    data : Data
    check : DataCheck
    worth : dict or None
        "text", "verdict", "explanation" and "figures" of a `PhotoValue`; None without photos.
    study : StudyResult
    estimator : estimator
        The model that was saved.
    run : Path
    seconds : float
        What all of it took, in this process.
    """

    data: Data
    check: DataCheck
    worth: dict[str, Any] | None
    study: StudyResult
    estimator: Any
    run: Path
    seconds: float

    def sentences(self) -> list[str]:
        """Say at each budget what photos added, and which model was the best."""
        said = []
        summary = self.study.summary()
        metric = METRICS[self.study.metric]
        for budget in self.study.budgets:
            rows = summary[summary["budget"] == budget].set_index("method")
            labels = f"{rows['n_labels'].iloc[0]:.0f} labels ({budget})"
            if OURS in rows.index:
                ours: dict[str, Any] = dict(rows.loc[OURS])
                gain = [float(ours[name]) for name in ("gain", "gain_low", "gain_high")]
                said.append(f"{labels}: {_gain_in_words(gain, metric.label, metric.gain_unit)}")
            ordered = rows["mean"].sort_values(ascending=not metric.greater_is_better)
            best = ordered.index[0]
            said.append(
                f"{labels}: the best model is {NAMES.get(best, best)}, {metric.label} "
                f"{ordered.iloc[0]:.3f}"
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "task": self.data.task,
            "understood": self.data.understood,
            "check": {
                **self.check.to_dict(),
                "notes": [in_options(note) for note in self.check.notes],
            },
            "photo_value": self.worth,
            "sentences": self.sentences(),
            "scores": self.study.summary().to_dict(orient="records"),
            "metric": self.study.metric,
            "weights": self.estimator.weights_,
            "model": str(self.run / "model"),
            "report": str(self.run / REPORT),
            "seconds": self.seconds,
        }


def write_report(found: Findings) -> Path:
    """Write the report into the folder of the run; returns its path."""
    path = found.run / REPORT
    write_text(path, _markdown(found))
    return path


def _markdown(found: Findings) -> str:
    sections = [
        f"# {found.data.source.target}: what photos add",
        "\n".join(f"- {sentence}" for sentence in _answers(found)),
        "## The data",
        "\n".join(f"- {line}" for line in found.data.understood),
        _block(in_options(str(found.check))),
    ]
    if found.worth is not None:
        sections += ["## What photos are worth", _block(found.worth["text"])]
    sections += [
        "## Models on rows that they have not seen, from the table alone",
        found.study.to_markdown(),
        f"`{OURS}` is {NAMES[OURS]}, `{REFERENCE}` {NAMES[REFERENCE]}. All predict the same rows "
        "from the same labels. Scores of single folds are in `study/scores.csv`.",
        "## The model",
        "Trained on all rows, saved in `model/`. Its members, and what each of them is worth on "
        "rows held out inside this fit:",
        _block(str(found.estimator.report_)),
        _block(
            f"tabimg predict {found.run} NEW.csv -o predictions.csv\n"
            f"tabimg evaluate {found.run} TEST.csv\n"
            f"tabimg info {found.run}"
        ),
        _python(found),
        f"tabimg {__version__}; `{NAME}` repeats the run, which took "
        f"{seconds_in_words(found.seconds)}.",
    ]
    return "\n\n".join(sections) + "\n"


def _answers(found: Findings) -> list[str]:
    worth = [] if found.worth is None else [found.worth["explanation"]]
    return worth + found.sentences()


def _python(found: Findings) -> str:
    scale = ""
    if found.data.source.log_target:
        scale = " It predicts log(1 + target): `numpy.expm1` turns that back."
    return f'In Python: `tabimg.load("{found.run / "model"}").predict(frame)`.{scale}'


def _gain_in_words(gain: list[float], label: str, unit: str) -> str:
    mean, low, high = (100 * value for value in gain)
    told = f"photos change {label} by {mean:+.1f} {unit} against the same model without them"
    if math.isnan(low):
        return f"{told}, on one fold, which says little"
    certain = "photos help" if low > 0 else "photos harm" if high < 0 else "it may be chance"
    return f"{told} [{low:+.1f}, {high:+.1f}]: {certain}"


def _block(text: str) -> str:
    return f"```\n{text}\n```"
