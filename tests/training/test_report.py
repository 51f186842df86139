"""The report of a blend says what held-out rows said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tabimg.table import EncodedTable
from tabimg.training.blending import blend
from tabimg.training.blocks import COLUMNS, IMPUTED, Blocks, LabelledRows
from tabimg.training.linear import LinearCandidate
from tabimg.training.members import report_of
from tabimg.training.report import FitReport, MemberReport
from tabimg.training.tasks import Regression

TASK = Regression(1, "mse")


def rows(n_rows: int = 120) -> LabelledRows:
    """Columns that are noise, and another block that nearly is the target."""
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((n_rows, 2)).astype(np.float32)
    shown = rng.standard_normal((n_rows, 1)).astype(np.float32)
    table = EncodedTable(columns, np.zeros((n_rows, 0), dtype=np.int64))
    target = (shown + 0.1 * rng.standard_normal((n_rows, 1))).astype(np.float32)
    blocks = Blocks(table, {COLUMNS: columns, IMPUTED: shown})
    return LabelledRows(blocks, target, np.ones(n_rows, dtype=np.float32), np.arange(n_rows))


def test_loss_of_the_columns_leaves_out_what_knows_photos() -> None:
    given = rows()
    candidates = {"columns": LinearCandidate((COLUMNS,)), "imputed": LinearCandidate((IMPUTED,))}
    report = report_of(
        blend(candidates, given, TASK, 0), given, rows(7).blocks, TASK, True, {"blend": 1.0}, {}
    )
    assert report.loss == pytest.approx(0.01, abs=0.02)
    assert report.loss_of_columns == pytest.approx(given.target.var(), rel=0.2)
    assert (report.n_labelled, report.n_pairs) == (120, 7)
    sources = {member.name: member.learned_from for member in report.members}
    assert sources == {"columns": "columns", "imputed": "photos"}
    table = report.to_frame()
    assert table["name"].tolist() == ["imputed", "columns"]
    assert table["weight"].sum() == pytest.approx(1.0)
    assert "imputed" in str(report) and "120 labelled rows, 7 unlabelled pairs" in str(report)


def test_weights_of_the_loss_come_from_other_folds() -> None:
    """A member that is right by chance in each fold alone does not lower the loss."""
    given = rows(40)
    noise = {f"noise{n}": LinearCandidate((COLUMNS,)) for n in range(2)}
    blended = blend(noise, given, TASK, 0)
    own = blended.loss(given, TASK, list(noise))
    parts = np.stack(list(blended.held_out.values()))
    best = min(((part - given.target) ** 2).mean() for part in parts)
    assert own == pytest.approx(best, rel=0.05)


def test_report_without_held_out_rows_has_no_losses() -> None:
    given = rows(1)
    blended = blend({"columns": LinearCandidate((COLUMNS,))}, given, TASK, 0)
    report = report_of(blended, given, None, TASK, True, {}, {})
    assert math.isnan(report.loss) and report.losses() == {}
    assert "no held-out loss" in str(report)


def test_empty_report_prints_and_has_an_empty_table() -> None:
    report = FitReport(math.nan, math.nan, 3, 0, (), {"fine-tuning": 1.0})
    assert len(report.to_frame()) == 0 and "3 labelled rows" in str(report)
    one = MemberReport("columns", 1.0, 0.5, "columns", 0.1)
    assert FitReport(0.5, 0.5, 3, 0, (one,), {}).losses() == {"columns": 0.5}
