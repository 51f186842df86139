"""Rows and photos of the data themselves, shown only on request."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.utils import _safe_indexing

from tabimg.inputs.frames import column_names
from tabimg.inspection.page import text
from tabimg.inspection.retrieval import RetrievalDisplay
from tabimg.messages import shorten

N_ROWS, N_PHOTOS, N_RETRIEVED = 5, 3, 5


def example_rows(table: Any) -> pd.DataFrame:
    """Return the first rows of a table, each cell as a short text."""
    first = _safe_indexing(table, np.arange(min(N_ROWS, len(table))))
    cells = [[shorten(cell) for cell in row] for row in np.asarray(first, dtype=object).tolist()]
    frame = pd.DataFrame(cells, columns=[str(name) for name in column_names(table)])
    frame.insert(0, "row", [str(number) for number in range(len(frame))])
    return frame


def example_photos(display: RetrievalDisplay) -> str:
    """Write the photos that some rows retrieve, nearest first, as a part of a page."""
    parts = []
    for number in display.examples(N_PHOTOS):
        row = display.rows[number]
        photos = [_photo(display, number, f"Row {row}: its own photo", "its own")]
        for place, found in enumerate(display.photos_of_row(number, N_RETRIEVED), start=1):
            owner = "its own" if found == number else f"of row {display.rows[found]}"
            alt = f"Row {row}: photo at rank {place}, {owner}"
            photos.append(_photo(display, int(found), alt, f"{place}. {owner}"))
        parts.append(f'<h3>Row {row}</h3><ul class="photos">{"".join(photos)}</ul>')
    return "".join(parts)


def _photo(display: RetrievalDisplay, number: int, alt: str, caption: str) -> str:
    file = io.BytesIO()
    Image.fromarray(display.thumbnail(number)).save(file, format="JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    picture = f'<img alt="{text(alt)}" src="data:image/jpeg;base64,{data}">'
    return f"<li>{picture}{text(caption)}</li>"
