"""Seconds and bytes in words."""

from __future__ import annotations


def seconds_in_words(seconds: float) -> str:
    """Write a duration with two digits, such as ``"8 s"``, ``"4 min"`` or ``"2.5 h"``.

    Examples
    --------
    >>> seconds_in_words(0.4), seconds_in_words(100), seconds_in_words(9000)
    ('less than 1 s', '100 s', '2.5 h')
    """
    if seconds < 1:
        return "less than 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def bytes_in_words(n_bytes: float) -> str:
    """Write a size, such as ``"24 MB"`` or ``"1.2 GB"``.

    Examples
    --------
    >>> bytes_in_words(24_300_000), bytes_in_words(1_230_000_000)
    ('24 MB', '1.2 GB')
    """
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:.0f} kB"
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.1f} GB"
