"""One HTML file without a network: sections, tables and figures; light and dark, phone and desk."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Whatever the page holds, a browser loads nothing from elsewhere and runs no script.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #8a929c;
  --faint: #f2f4f6; --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #14171a; --line: #7d8590; --faint: #20252b; --link: #8ab8f0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; }
header, nav, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.5rem 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { position: static; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; list-style: none; }
nav a { display: inline-block; padding: .3rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem 0; }
caption span { display: block; width: max-content; max-width: calc(100vw - 3rem);
  white-space: normal; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
td.number, th.number { text-align: right; }
figure { margin: 1rem 0; max-width: 40rem; }
figure svg { width: 100%; height: auto; }
figcaption { font-size: .95rem; }
.photos { display: flex; flex-wrap: wrap; gap: .6rem; padding: 0; list-style: none; }
.photos img { display: block; width: 96px; height: 96px; }
.notes { background: var(--faint); padding: .6rem 1rem .6rem 2rem; }
pre { overflow-x: auto; background: var(--faint); padding: .6rem; }
@media print { nav, .skip { display: none; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Parameters
    ----------
    name : str
        Of its anchor.
    title : str
    parts : sequence of str
        HTML elements.
    """

    name: str
    title: str
    parts: Sequence[str]


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Return a whole HTML document.

    Parameters
    ----------
    title, lead, footer : str
        Plain text.
    sections : sequence of Section
    """
    links = "".join(f'<li><a href="#{each.name}">{text(each.title)}</a></li>' for each in sections)
    body = "\n".join(
        f'<section id="{each.name}" aria-labelledby="{each.name}-title">'
        f'<h2 id="{each.name}-title">{text(each.title)}</h2>\n'
        + "\n".join(each.parts)
        + "</section>"
        for each in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header><h1>{text(title)}</h1>{paragraph(lead)}</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="main">
{body}
</main>
<footer>{paragraph(footer)}</footer>
</body>
</html>
"""


def text(value: Any) -> str:
    """Write a value as text of a page."""
    return html.escape(str(value), quote=True)


def paragraph(sentence: str) -> str:
    """Write a paragraph of plain text."""
    return f"<p>{text(sentence)}</p>"


def listed(sentences: Sequence[str]) -> str:
    """Write a list of plain sentences."""
    return '<ul class="notes">' + "".join(f"<li>{text(each)}</li>" for each in sentences) + "</ul>"


def figure(svg: str, caption: str) -> str:
    """Write a picture with its caption."""
    return f"<figure>{svg}<figcaption>{text(caption)}</figcaption></figure>"


def table(frame: pd.DataFrame, caption: str) -> str:
    """Write a frame as a table; its first column names the rows, and missing cells are dashes."""
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    head = "".join(
        f'<th scope="col"{_class(is_number)}>{text(name)}</th>'
        for name, is_number in zip(frame.columns, numeric, strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row">{_cell(first)}</th>'
        + "".join(
            f"<td{_class(is_number)}>{_cell(value)}</td>"
            for value, is_number in zip(others, numeric[1:], strict=True)
        )
        + "</tr>"
        for first, *others in frame.astype(object).to_numpy().tolist()
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f"<caption><span>{text(caption)}</span></caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return text(f"{value:.4g}" if isinstance(value, float) else value)
