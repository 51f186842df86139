"""TIFF files whose metadata may be damaged: the first picture, and what makes up its pixels.

Pillow warns about damaged fields, which stops the reading if warnings are errors.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from PIL import Image, TiffImagePlugin, TiffTags

from tabimg.image.orientation import ORIENTATION
from tabimg.image.refusal import RefusedImage

PIXEL_FIELDS = {
    *(TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH, TiffImagePlugin.BITSPERSAMPLE),
    *(TiffImagePlugin.COMPRESSION, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION),
    *(TiffImagePlugin.FILLORDER, TiffImagePlugin.SAMPLESPERPIXEL, TiffImagePlugin.ROWSPERSTRIP),
    *(TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.TILEWIDTH),
    *(TiffImagePlugin.TILELENGTH, TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.TILEBYTECOUNTS),
    *(TiffImagePlugin.PLANAR_CONFIGURATION, TiffImagePlugin.PREDICTOR, TiffImagePlugin.COLORMAP),
    *(TiffImagePlugin.EXTRASAMPLES, TiffImagePlugin.SAMPLEFORMAT, TiffImagePlugin.JPEGTABLES),
    *(TiffImagePlugin.YCBCRSUBSAMPLING, ORIENTATION),
}
TILE_SIDES = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)
SIDE_KINDS = {TiffTags.SHORT, TiffTags.LONG, TiffTags.LONG8}
MAX_FIELDS = 2**16  # there are no more tags


class _Field(NamedTuple):
    tag: int
    kind: int
    length: int
    data: bytes


class _PixelFields(TiffImagePlugin.ImageFileDirectory_v2):
    """A directory of the fields that make up pixels, as far as their data lie in the file."""

    n_values: dict[int, int]

    def load(self, fp: IO[bytes]) -> None:
        fields = self._read_fields(fp)
        self.n_values = {tag: field.length for tag, field in fields.items()}
        super().load(io.BytesIO(self._rewritten(list(fields.values()))))

    def _read_fields(self, fp: IO[bytes]) -> dict[int, _Field]:
        """Read the first intact field of each tag, of no more bytes than the file has."""
        found: dict[int, _Field] = {}
        left = _length(fp)
        for field in self._fields(fp, found):
            found[field.tag] = field
            left -= len(field.data)
            if left < 0:
                raise RefusedImage("it is damaged (its fields hold more bytes than the file)")
        return found

    def _fields(self, fp: IO[bytes], known: dict[int, _Field]) -> Iterator[_Field]:
        number, entry, word = self._layout()
        head = fp.read(number.size)
        n_fields = number.unpack(head)[0] if len(head) == number.size else 0
        for _ in range(min(n_fields, MAX_FIELDS)):
            packed = fp.read(entry.size)
            if len(packed) < entry.size:
                return
            tag, kind, count, data = entry.unpack(packed)
            if tag in TILE_SIDES and kind not in SIDE_KINDS:
                # libtiff, which decodes, accepts more types than Pillow: it may read another size.
                raise RefusedImage("it is damaged (the size of its tiles has an unusual type)")
            if tag not in PIXEL_FIELDS or tag in known or kind not in self._load_dispatch:
                continue
            unit = self._load_dispatch[kind][0]
            if unit * count > word.size:
                data = _read_at(fp, word.unpack(data)[0], unit * count)
            if count > 1 and TiffTags.lookup(tag).length == 1:
                count = 1
            if count and len(data) >= unit * count:
                yield _Field(tag, kind, count, data[: unit * count])

    def _rewritten(self, fields: list[_Field]) -> bytes:
        """Lay out a directory that starts at 0 and is followed by no other picture."""
        number, entry, word = self._layout()
        entries, rest = b"", b""
        start = number.size + len(fields) * entry.size + word.size
        for tag, kind, count, data in fields:
            short = data
            if len(data) > word.size:
                short, rest = word.pack(start + len(rest)), rest + data
            entries += entry.pack(tag, kind, count, short)
        return number.pack(len(fields)) + entries + word.pack(0) + rest

    def _layout(self) -> tuple[struct.Struct, struct.Struct, struct.Struct]:
        formats = ("Q", "HHQ8s", "Q") if self._bigtiff else ("H", "HHL4s", "L")
        number, entry, word = (struct.Struct(self._endian + name) for name in formats)
        return number, entry, word


class TiffFile(TiffImagePlugin.TiffImageFile):
    """The first picture of a TIFF file, as it is stored."""

    def _seek(self, frame: int) -> None:
        if self.fp is not None and not isinstance(self.tag_v2, _PixelFields):
            self.fp.seek(0)
            header = self.fp.read(16)
            self.tag_v2 = _PixelFields(header if header[2] == 43 else header[:8])
        super()._seek(frame)

    @property
    def tile_size(self) -> tuple[int, int]:
        """Width and height of what is decoded at once; 0 if the picture has no tiles."""
        width, height = (self._number(tag) for tag in TILE_SIDES)
        return width, height

    def _setup(self) -> None:
        self._check_pieces()
        super()._setup()

    def _check_pieces(self) -> None:
        """Refuse more strips or tiles than the picture has room for: each one takes memory."""
        width = self._number(TiffImagePlugin.IMAGEWIDTH)
        height = self._number(TiffImagePlugin.IMAGELENGTH)
        across, down = (max(side, 1) for side in self.tile_size)
        most = {
            TiffImagePlugin.STRIPOFFSETS: height,
            TiffImagePlugin.TILEOFFSETS: math.ceil(width / across) * math.ceil(height / down),
        }
        for tag, number in most.items():
            # Each band may have its own.
            if self._n_values(tag) > max(number, 1) * TiffImagePlugin.MAX_SAMPLESPERPIXEL:
                raise RefusedImage(
                    "it is damaged (it lists more strips or tiles than it has room for)"
                )

    def _n_values(self, tag: int) -> int:
        return self.tag_v2.n_values.get(tag, 0) if isinstance(self.tag_v2, _PixelFields) else 0

    def _number(self, tag: int) -> int:
        value = self.tag_v2.get(tag)
        return value if isinstance(value, int) else 0

    def load_prepare(self) -> None:
        if self._im is None:
            # Pillow would check the pixel limit of the process first.
            self.im = Image.core.new(self.mode, getattr(self, "_tile_size", self.size))
        super().load_prepare()

    def load_end(self) -> None:
        # Pillow would rotate the picture, and read further metadata.
        pass


def _read_at(file: IO[bytes], place: int, size: int) -> bytes:
    """Read data stored elsewhere in the file; none if they lie beyond its end."""
    if place + size > _length(file):
        return b""
    here = file.tell()
    file.seek(place)
    data = file.read(size)
    file.seek(here)
    return data


def _length(file: IO[bytes]) -> int:
    here = file.tell()
    length = file.seek(0, io.SEEK_END)
    file.seek(here)
    return length
