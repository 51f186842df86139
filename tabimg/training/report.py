"""What a fit found out: losses of held-out rows, weights and times, of each member and of all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import pandas as pd

from tabimg.serialization import register
from tabimg.serialization.checks import check_items, check_type


class Stopwatch:
    """Measures stages of a fit, in seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure what is done in the context."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - began


@dataclass(frozen=True)
class MemberReport:
    """One kind of model in a blend.

    Parameters
    ----------
    name : str
    weight : float
        In the prediction.
    loss : float
        Mean loss of held-out rows: log loss, or the loss of the standardised target.
    learned_from : {"columns", "pre-training", "photos"}
        "columns" are labelled rows alone, "pre-training" the network that it left, "photos" their
        features.
    seconds : float
        To fit it on all inner folds.
    """

    name: str
    weight: float
    loss: float
    learned_from: str
    seconds: float


@dataclass(frozen=True, repr=False)
class FitReport:
    """What a fit found out about its blend.

    Parameters
    ----------
    loss : float
        Mean loss of the blend, log loss or that of the standardised target, on rows that are held
        out from its members and from its weights. NaN if the rows could not be split.
    loss_of_columns : float
        The same for the blend of those members alone that learn from labelled columns.
    n_labelled : int
        Labelled rows.
    n_pairs : int
        Unlabelled rows whose photos taught students.
    members : tuple of MemberReport
    seconds : mapping of str to float
        By stage: "pre-training", "photos" (seeing and imputing them), "blend".
    controls : mapping of str to float
        With ``photo_control=True``, the loss of the blend if what learns from photos learned from
        others: "shuffled photos" are those of other rows, and the students of a "teacher without
        photos" are taught by the columns alone. Pre-training stays as it is.

    Notes
    -----
    A loss that is smaller than that of the columns says that pre-training and photos helped on
    these rows; with few of them, chance says so as well.
    """

    loss: float
    loss_of_columns: float
    n_labelled: int
    n_pairs: int
    members: tuple[MemberReport, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    controls: Mapping[str, float] = field(default_factory=dict)

    def losses(self) -> dict[str, float]:
        """Return the loss of each member alone; empty if nothing was held out."""
        return {each.name: each.loss for each in self.members if not math.isnan(each.loss)}

    def to_frame(self) -> pd.DataFrame:
        """Return the members as a table, the heaviest first."""
        columns = [each.name for each in fields(MemberReport)]
        table = pd.DataFrame([vars(member) for member in self.members], columns=columns)
        return table.sort_values("weight", ascending=False, ignore_index=True)

    def __repr__(self) -> str:
        told = f"loss={self.loss:.4g}, loss_of_columns={self.loss_of_columns:.4g}, "
        told += f"n_labelled={self.n_labelled}, n_pairs={self.n_pairs}"
        return f"FitReport({told}, {len(self.members)} members)"

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        lines = [f"{self.n_labelled} labelled rows, {self.n_pairs} unlabelled pairs; {stages}"]
        if math.isnan(self.loss):
            lines.append("no held-out loss: nothing was blended, or no row could be held out")
        else:
            alone = f"of the columns alone {self.loss_of_columns:.4f}"
            lines.append(f"held-out loss {self.loss:.4f}, {alone}")
        lines += [f"held-out loss with {name} {loss:.4f}" for name, loss in self.controls.items()]
        if self.members:
            lines.append(self.to_frame().round(4).to_string(index=False))
        return "\n".join(lines)


def check_member_report(report: MemberReport) -> None:
    """Raise a ValueError for a report that holds something else than it says."""
    for name, wanted in (("name", str), ("learned_from", str)):
        check_type(name, getattr(report, name), wanted)
    for name in ("weight", "loss", "seconds"):
        check_type(name, getattr(report, name), float)


def check_report(report: FitReport) -> None:
    """Raise a ValueError for a report that holds something else than it says."""
    check_items("members", report.members, tuple, MemberReport)
    for name in ("seconds", "controls"):
        values = getattr(report, name)
        check_type(name, values, dict)
        for value in values.values():
            check_type(f"a value of {name}", value, float)
    for name in ("loss", "loss_of_columns"):
        check_type(name, getattr(report, name), float)
    for name in ("n_labelled", "n_pairs"):
        check_type(name, getattr(report, name), int)


register(MemberReport, check=check_member_report)
register(FitReport, check=check_report)
