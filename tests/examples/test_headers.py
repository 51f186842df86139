"""The synonym table of header encoders: what is measured, and what the page says."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAMS = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("headers")


def test_list_has_no_header_twice_and_none_alone(program: Any) -> None:
    assert len(set(program.HEADERS)) == len(program.HEADERS)
    assert min(map(len, program.SYNONYMS.values())) > 1


def test_encoder_of_meanings_is_always_right_and_its_opposite_never(program: Any) -> None:
    synonyms = (program.MEANINGS[:, None] == program.MEANINGS).astype(float)
    assert program.measure("meanings", lambda texts: synonyms).top1 == 1.0
    # Without what a group has in common its members point away from each other, and from no other.
    apart = np.eye(len(synonyms)) - synonyms / synonyms.sum(axis=1)
    assert program.measure("apart", lambda texts: apart).top1 == 0.0


def test_exact_names_are_as_good_as_chance(program: Any) -> None:
    sizes = np.array([len(group) for group in program.SYNONYMS.values()])
    chance = (sizes * (sizes - 1)).sum() / (sizes.sum() * (sizes.sum() - 1))
    assert program.measure("exact", program.exact_names).top1 == pytest.approx(chance)


def test_page_ranks_the_encoders_and_names_what_is_missing(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None of the packages that are extra.
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    results = [program.measure(name, each) for name, each in program.encoders(None).items()]
    scores = [each.top1 for each in results]
    # Exact names, n-grams, and n-grams that know abbreviations: each by far better than the last.
    assert np.diff(scores).min() > 0.1
    program.write(tmp_path / "headers.md", results)
    page = (tmp_path / "headers.md").read_text(encoding="utf-8")
    assert f"| {program.DEFAULT} | {scores[-1]:.2f} | " in page
    assert "**No results** for MiniLM" in page
    wrong = results[-1].nearest.query("credit == 0")
    assert all(f"| `{row.header}` | `{row.nearest}` |" in page for row in wrong.itertuples())


def test_committed_page_says_what_is_measured(program: Any) -> None:
    page = (program.ROOT / "docs" / "benchmarks" / "headers.md").read_text(encoding="utf-8")
    results = [program.measure(name, each) for name, each in program.encoders(None).items()]
    rows = program.overview(results).splitlines()
    assert set(rows) <= set(page.splitlines()), "run examples/benchmarks/headers.py"


def test_named_model_adds_two_encoders_and_loads_nothing(program: Any) -> None:
    titles = list(program.encoders("folder/all-MiniLM-L6-v2"))
    assert titles[-2:] == [
        "sentence vectors (all-MiniLM-L6-v2)",
        "sentence vectors (all-MiniLM-L6-v2) and abbreviations",
    ]
