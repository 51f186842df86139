"""Abbreviations of column headers and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType


def _read() -> Iterator[tuple[str, str]]:
    text = files(__package__).joinpath("abbreviations.txt").read_text("utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            short, _, meaning = line.partition(" = ")
            yield short, meaning


ABBREVIATIONS: Mapping[str, str] = MappingProxyType(dict(_read()))
