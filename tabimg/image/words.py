"""Show a path, or a text in its place, in a message."""

from __future__ import annotations

from tabimg.messages import shorten

# Paths are longer than other values, and their end says most.
MAX_TEXT = 200


def quoted(text: object) -> str:
    """Quote a text; for a long one, such as an encoded photo, both ends and the length."""
    text = str(text)
    shown = shorten(text, MAX_TEXT)
    return shown if len(text) <= MAX_TEXT else f"{shown} ({len(text):,} characters)"
