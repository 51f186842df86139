"""Which name was probably meant: for errors about missing columns, files and folders."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tabimg.messages import listing, shorten

# How many names are compared in full, and how many entries of a folder are listed.
MOST_COMPARED = 2000
LONGEST = 100
N_SHOWN = 3


def plain(name: str) -> str:
    """Reduce a name to what the eye sees: no case, one Unicode form, no blanks at the ends."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def near_labels(wanted: Any, labels: Sequence[Any]) -> list[Any]:
    """Return up to three labels that a wrong one may stand for; the nearest first."""
    # With several header levels a label is a tuple.
    inside = [label for label in labels if isinstance(label, tuple) and wanted in label]
    if inside:
        return inside[:N_SHOWN]
    reading = plain(str(wanted)[:LONGEST])
    known: dict[str, Any] = {}
    for label in islice(labels, MOST_COMPARED):
        known.setdefault(plain(str(label)[:LONGEST]), label)
    return [known[near] for near in difflib.get_close_matches(reading, list(known), n=N_SHOWN)]


def did_you_mean(wanted: Any, labels: Sequence[Any]) -> str:
    """Write similar labels as a question that starts with a blank; empty if there are none."""
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
    """Suggest entries of the parent folder with names similar to that of a missing path."""
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
    """Return the folder that a path leads to without a repeated part, as in ``images/images``."""
    parts = path.parts
    for place in range(1, len(parts)):
        if parts[place] == parts[place - 1]:
            shorter = Path(*parts[:place], *parts[place + 1 :])
            if shorter.exists():
                return shorter
    return None


def is_address(text: str) -> bool:
    """Return whether a text is a URL or the address of an object in a bucket, not a path."""
    return "://" in text[:LONGEST] or text[:5].casefold() == "data:"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
