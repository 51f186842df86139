"""Which name was probably meant: for errors about columns, files and folders that are not there."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tabimg.messages import listing, shorten

# Names compared in full, and entries of a folder that are listed.
MOST_COMPARED = 2000
LONGEST = 100
N_SHOWN = 3


def plain(name: str) -> str:
    """Write a name without what the eye overlooks: case, Unicode form, blanks at the ends."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def near_labels(wanted: Any, labels: Sequence[Any]) -> list[Any]:
    """Give the labels, three at most, that a wrong one may stand for; the nearest first."""
    # Under several headers a label is a tuple.
    inside = [label for label in labels if isinstance(label, tuple) and wanted in label]
    if inside:
        return inside[:N_SHOWN]
    reading = plain(str(wanted)[:LONGEST])
    known: dict[str, Any] = {}
    for label in islice(labels, MOST_COMPARED):
        known.setdefault(plain(str(label)[:LONGEST]), label)
    return [known[near] for near in difflib.get_close_matches(reading, list(known), n=N_SHOWN)]


def did_you_mean(wanted: Any, labels: Sequence[Any]) -> str:
    """Write the near labels as a question with a blank before it; empty where there is none."""
    near = near_labels(wanted, labels)
    if isinstance(wanted, tuple) and all(part in labels for part in wanted):
        return f" A tuple is one label: several columns are a list, {shorten(list(wanted))}."
    if not near:
        return ""
    first = str(near[0])
    form = ""
    if isinstance(wanted, str) and first != wanted and _composed(first) == _composed(wanted):
        form = " (the same letters in another Unicode form)"
    return f" Did you mean {listing(near)}?{form}"


def near_entries(path: Path) -> str:
    """Ask for entries of the parent folder with nearly the name of a path that is not there."""
    folder = path.parent
    missing = None
    while not folder.exists():
        missing, folder = folder, folder.parent
    if missing is not None:
        return f" The folder {shorten(str(missing))} does not exist.{_near(missing)}"
    return _near(path)


def _near(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = sorted(entry.name for entry in islice(entries, MOST_COMPARED))
    except OSError:
        return ""
    return did_you_mean(path.name, names)


def without_repeated_part(path: Path) -> Path | None:
    """Give the folder that a path with a repeated part, ``images/images``, leads to without it."""
    parts = path.parts
    for place in range(1, len(parts)):
        if parts[place] == parts[place - 1]:
            shorter = Path(*parts[:place], *parts[place + 1 :])
            if shorter.exists():
                return shorter
    return None


def is_address(text: str) -> bool:
    """Tell a URL or the address of an object in a bucket from a path."""
    return "://" in text[:LONGEST] or text[:5].casefold() == "data:"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
