"""Check a PNG file by its own checksums, and strip everything but the pixels.

Pillow verifies no checksum of pixel data, and refuses whole photos over damaged text or profiles.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tabimg.image.refusal import TRUNCATED, RefusedImage, check_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What makes up the pixels. APNG's further frames are left out: IDAT holds the first picture.
PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
ORIENTATION_CHUNKS = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}
XMP_KEYWORD, EXIF_KEYWORD = b"XML:com.adobe.xmp", b"Raw profile type exif"
XMP_FIELD = b"tiff:Orientation"
# Damage to these changes no pixel. In a damaged chunk of another name, the name may be damaged.
METADATA_CHUNKS = ORIENTATION_CHUNKS | {
    *(b"iCCP", b"tIME", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"hIST", b"sPLT"),
    *(b"cICP", b"mDCV", b"cLLI", b"oFFs", b"pCAL", b"sCAL", b"gIFg", b"gIFx", b"sTER"),
    *(b"acTL", b"fcTL", b"fdAT", b"caBX"),
}
MAX_METADATA = 2**20
BLOCK = 2**20
PALETTE = 3
BITS_PER_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Interlaced passes: first column and row, spacing of columns and rows.
ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


@dataclass
class CheckedPng:
    """A PNG file whose checksums hold.

    Attributes
    ----------
    pixels : BytesIO
        A PNG file of the pixels alone.
    exif, xmp : bytes
        Metadata that may hold the orientation, perhaps malformed; empty if there are none.
    """

    pixels: io.BytesIO
    exif: bytes = b""
    xmp: bytes = b""


def check_png(file: BinaryIO, max_pixels: int) -> CheckedPng:
    """Verify the checksums of everything that determines the pixels and their orientation.

    Parameters
    ----------
    file : binary file at its start
    max_pixels : int
        Of the picture.

    Raises
    ------
    RefusedImage
        If the file is truncated, a checksum does not match, rows are missing, or there are too many
        pixels.
    """
    png = CheckedPng(io.BytesIO(file.read(len(SIGNATURE))))
    png.pixels.seek(0, io.SEEK_END)
    rows: _Rows | None = None
    while True:
        name, data = _next_chunk(file)
        if name in ORIENTATION_CHUNKS and data:
            _note_metadata(png, name, data)
        if name not in PIXEL_CHUNKS:
            continue
        png.pixels.write(struct.pack(">I", len(data)) + name + data)
        png.pixels.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
        if name == b"IHDR":
            rows = _Rows(data, max_pixels)
        elif name == b"PLTE" and rows is not None:
            rows.has_colours = True
        elif name == b"IDAT" and rows is not None:
            rows.inflate(data)
        elif name == b"IEND":
            break
    if rows is not None:
        rows.check_end()
    png.pixels.seek(0)
    return png


def _next_chunk(file: BinaryIO) -> tuple[bytes, bytes]:
    """Read a chunk and verify it; its data are empty if they are not needed."""
    head = file.read(8)
    if len(head) < 8:
        raise RefusedImage(TRUNCATED)
    (length,), name = struct.unpack(">I", head[:4]), head[4:]
    start = file.tell()
    kept = name in PIXEL_CHUNKS or (name in ORIENTATION_CHUNKS and length <= MAX_METADATA)
    parts, checksum = [], zlib.crc32(name)
    for block in _blocks(file, length):
        checksum = zlib.crc32(block, checksum)
        if kept:
            parts.append(block)
    stored, data = file.read(4), b"".join(parts)
    if len(stored) < 4:
        raise RefusedImage(TRUNCATED)
    if int.from_bytes(stored, "big") != checksum:
        if name not in METADATA_CHUNKS or _may_turn(name, data) or _hides(file, start, length):
            raise RefusedImage(f"it is damaged (the checksum of its chunk {name!r} does not match)")
        file.seek(start + length + 4)
    return name, data


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        block = file.read(min(length, BLOCK))
        if not block:
            raise RefusedImage(TRUNCATED)
        length -= len(block)
        yield block


def _may_turn(name: bytes, data: bytes) -> bool:
    """Return whether damaged metadata, or a damaged keyword, may have held the orientation."""
    if name not in ORIENTATION_CHUNKS:
        return False
    keyword = XMP_KEYWORD if name == b"iTXt" else EXIF_KEYWORD
    n_equal = sum(one == other for one, other in zip(data, keyword, strict=False))
    return name == b"eXIf" or 2 * n_equal > len(keyword) or XMP_FIELD in data


def _hides(file: BinaryIO, start: int, length: int) -> bool:
    """Return whether damaged metadata hold the name of a chunk that matters.

    That happens if it is their length that is damaged, and spans several chunks.
    """
    file.seek(start)
    end = b""
    for block in _blocks(file, length):
        text = end + block
        if any(name in text for name in PIXEL_CHUNKS | ORIENTATION_CHUNKS):
            return True
        end = block[-3:]
    return False


class _Rows:
    """Counts the bytes of all rows while zlib verifies its own checksum over them."""

    def __init__(self, header: bytes, max_pixels: int) -> None:
        if len(header) != 13:
            raise RefusedImage("it is damaged (its PNG header has a wrong length)")
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
        bits = depth * BITS_PER_PIXEL.get(colour, 0)
        passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
        check_pixels(width, height, max_pixels)
        # Without its palette, Pillow would show a picture's colour indices as greys.
        self.has_colours = colour != PALETTE
        self._missing = 0
        for left, top, across, down in passes:
            columns = math.ceil(max(width - left, 0) / across)
            rows = math.ceil(max(height - top, 0) / down)
            if columns:
                self._missing += rows * (1 + math.ceil(columns * bits / 8))
        self._inflater = zlib.decompressobj()

    def inflate(self, data: bytes) -> None:
        if not self.has_colours:
            raise RefusedImage("it is damaged (its palette is missing)")
        while data and not self._inflater.eof and self._missing >= 0:
            try:
                self._missing -= len(self._inflater.decompress(data, BLOCK))
            except zlib.error as error:
                raise RefusedImage(f"it is damaged ({error})") from error
            data = self._inflater.unconsumed_tail

    def check_end(self) -> None:
        if self._missing > 0:
            raise RefusedImage("it is truncated (rows of pixels are missing)")
        if self._missing == 0 and not self._inflater.eof:
            raise RefusedImage("it is damaged (its pixel data have no end)")


def _note_metadata(png: CheckedPng, name: bytes, data: bytes) -> None:
    if name == b"eXIf":
        png.exif = data
        return
    keyword, _, rest = data.partition(b"\0")
    if keyword == XMP_KEYWORD and name == b"iTXt":
        png.xmp = rest
    elif keyword == EXIF_KEYWORD and name != b"iTXt" and not png.exif:
        png.exif = _raw_profile(rest if name == b"tEXt" else _inflated(rest[1:]))


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_METADATA)
    except zlib.error:
        return b""


def _raw_profile(text: bytes) -> bytes:
    """Read ImageMagick's form: a name, a length, and lines of hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
