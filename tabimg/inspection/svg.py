"""Displays as SVG inside a page: text in the page's colour, names that do not collide, no links."""

from __future__ import annotations

import html
import io
import re
from typing import Any

from tabimg.messages import import_hint

# Width and height in inches: at 10 points a letter stays readable on a phone.
SIZE = (5.0, 3.7)
# Stands for the colour of the page's text, which is dark by day and light by night.
_INK = "#010203"
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "svg.fonttype": "none",
    "svg.hashsalt": "tabimg",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_WITHOUT = re.compile(r'<metadata>.*?</metadata>|\sxmlns(:xlink)?="[^"]*"', re.DOTALL)
_ID = re.compile(r'(\bid="|href="#|url\(#)')


def inline_svg(display: Any, alt: str, name: str, **options: Any) -> str:
    """Draw a display as an ``<svg>`` element.

    Parameters
    ----------
    display : object with ``plot(ax, **options)``
    alt : str
        What the picture shows, for those who do not see it.
    name : str
        Distinguishes the ids of this picture from those of others on the page.
    **options
        Of ``plot``.

    Returns
    -------
    str

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    with import_hint("A report needs matplotlib", "'tabimg[plot]'"):
        import matplotlib
        from matplotlib.figure import Figure
    file = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        display.plot(figure.subplots(), **options)
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    text = file.getvalue()
    text = _WITHOUT.sub("", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = _ID.sub(rf"\g<1>{name}-", text.replace(_INK, "currentColor"))
    label = html.escape(alt, quote=True)
    return text.strip().replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
