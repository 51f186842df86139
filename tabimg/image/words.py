"""Show what the user gave in a message, however long it is."""

from __future__ import annotations

MAX_TEXT = 200
HEAD, TAIL = 100, 60


def quoted(text: object) -> str:
    """Quote a text; of a long one its ends, for the end of a path says most, and its length."""
    text = str(text)
    if len(text) <= MAX_TEXT:
        return repr(text)
    return f"{text[:HEAD]!r}...{text[-TAIL:]!r} ({len(text):,} characters)"
