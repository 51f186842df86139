"""Image cells that hold neither a path nor an image: what it is, and what to do."""

from __future__ import annotations

import datetime as dt
import re
from numbers import Number
from typing import Any
from uuid import UUID

import numpy as np

from tabimg.messages import shorten

# File systems take no longer names, and operating systems no longer paths.
LONGEST_NAME = 255
LONGEST_PATH = 4096
# Longer than paths are in practice: without a space or a dot it is an encoded file.
LONG = 1000
N_PARTS = 100
# What base64 makes of the first bytes of JPEG, PNG, GIF, WebP, BMP and TIFF files, and their
# hexadecimal digits.
_BASE64_HEADS = ("/9j/", "_9j_", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0A")
_HEX_HEADS = ("ffd8ff", "89504e47", "47494638", "52494646", "424d", "49492a00", "4d4d002a")
# Encoders break lines, and put no spaces in.
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]{60,}={0,2}")
_HEX = re.compile(r"(\\x|0x)?([0-9A-Fa-f\r\n]{60,})")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_SEPARATOR = re.compile(r"[;|,\n\t]")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_PHOTO_SUFFIX = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|tiff?|jp2|avif|hei[cf])$", re.IGNORECASE)
# What people write for an empty cell.
_MARKS = frozenset(
    ("n/a", "na", "n.a.", "#n/a", "null", "none", "nil", "unknown", "missing", "-", "--", "?", "[]")
)


def explain_text(text: str) -> str:
    """Say what a text that is not a path is, and what to do.

    Parameters
    ----------
    text : str
        Of a cell whose file does not exist.

    Returns
    -------
    str
        A sentence; empty if the text may be a path.
    """
    encoding = _encoding_of(text.strip(), len(text) > LONG)
    if encoding is not None:
        name, remedy = encoding
        return f"This is {name} text, not a path: decode it, {remedy}; bytes are taken as photos."
    if text[:2] in ("b'", 'b"') and text.rstrip()[2:].endswith(text[1]):
        return (
            "This is what str() makes of bytes, not a path: give the bytes themselves, or restore "
            "them, ast.literal_eval(cell); bytes are taken as photos."
        )
    paths = _paths_in(text)
    if paths:
        return (
            "Several paths are in one text: make it a list in the cell, such as "
            f"{[path[:N_PARTS] for path in paths[:2]]}."
        )
    if text.strip().casefold() in _MARKS:
        return f"{shorten(text)} is read as a path: a cell without a photo is empty (None)."
    if len(text) > LONGEST_PATH or max(map(len, re.split(r"[\\/]", text))) > LONGEST_NAME:
        return (
            "A cell holds text, not a path, because no file has a name that long: image_column= is "
            "for columns of paths, bytes or images."
        )
    return ""


def explain_bytes(data: bytes) -> str:
    """Say what bytes that hold a photo encoded as text are; empty for any others."""
    try:
        text = data[:LONGEST_PATH].decode("ascii")
    except UnicodeDecodeError:
        return ""
    if text[:5].casefold() == "data:":
        return "it is a data URI: decode it, base64.b64decode(cell.split(b',', 1)[1])"
    encoding = _encoding_of(text.strip(), is_long=False)
    if encoding is None:
        return ""
    name, remedy = encoding
    return (
        f"it is {name} text: decode it, {remedy.replace('fromhex(cell', 'fromhex(cell.decode()')}"
    )


def explain_object(cell: Any) -> str:
    """Say what to give in place of an object that is of none of the types of image cells."""
    if isinstance(cell, (Number, np.bool_)):
        return (
            "A number names no file: make it a path (f'{number:04d}.jpg'), or let "
            "tabimg.datasets.load_paired find the photo of that name, key_column=..."
        )
    if isinstance(cell, (UUID, dt.date, dt.time, np.datetime64)):
        kind = "UUID" if isinstance(cell, UUID) else "date"
        return (
            f"A {kind} names no file: make it a path as the files are named, such as "
            "f'{cell}.jpg'."
        )
    if isinstance(cell, dict):
        return "Extract its path or its bytes: cell['bytes']."
    if isinstance(cell, (set, frozenset)):
        return "A set has no order: make it a list, sorted(cell)."
    if hasattr(cell, "getvalue"):
        return "Extract its bytes: cell.getvalue()."
    if hasattr(cell, "read"):
        return "Give the path of the file, or its bytes: cell.read() where it is open as 'rb'."
    if hasattr(cell, "__array__"):
        return "Wrap decoded pixels with PIL.Image.fromarray."
    return "Give the path of the photo, the bytes of its file, or a PIL image."


def _encoding_of(text: str, is_long: bool) -> tuple[str, str] | None:
    """Recognise an encoded file: the name of the encoding, and how to decode it."""
    digits = _HEX.fullmatch(text)
    if digits is not None and (is_long or digits[2].lower().startswith(_HEX_HEADS)):
        return "hexadecimal", f"bytes.fromhex(cell{'[2:]' if digits[1] else ''})"
    if (is_long or text.startswith(_BASE64_HEADS)) and _BASE64.fullmatch(text):
        is_url_safe = "-" in text or "_" in text
        return "base64", f"base64.{'urlsafe_' if is_url_safe else ''}b64decode(cell)"
    return None


def _paths_in(text: str) -> list[str]:
    """List the first paths of a text that joins several, or is a written-out list; else nothing."""
    head = text[: N_PARTS * LONGEST_NAME].strip()
    is_list = head[:1] in ("[", "(") or head.startswith("array(")
    quoted = [one or other for one, other in _QUOTED.findall(head)] if is_list else []
    parts = quoted or [part.strip("'\" ") for part in _SEPARATOR.split(head.strip("[]() "))]
    parts = [part for part in parts if part][:N_PARTS]
    if (len(parts) > 1 or is_list) and all(map(_SUFFIX.search, parts)):
        return parts
    # Names may contain blanks: a text is only split at them if it cannot be one name.
    words = head.split()[:N_PARTS]
    return words if len(words) > 1 and all(map(_PHOTO_SUFFIX.search, words)) else []
