"""TIFF files of which the metadata may be damaged: the first picture, and what makes up its pixels.

Pillow warns of damaged fields, which ends the reading where warnings are errors.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from PIL import Image, TiffImagePlugin, TiffTags

from tabimg.image.orientation import ORIENTATION

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


class _Field(NamedTuple):
    tag: int
    kind: int
    length: int
    data: bytes


class _PixelFields(TiffImagePlugin.ImageFileDirectory_v2):
    """A directory of the fields that make up pixels, as far as their data lie in the file."""

    def load(self, fp: IO[bytes]) -> None:
        super().load(io.BytesIO(self._rewritten(list(self._fields(fp)))))

    def _fields(self, fp: IO[bytes]) -> Iterator[_Field]:
        number, entry, word = self._layout()
        head = fp.read(number.size)
        n_fields = number.unpack(head)[0] if len(head) == number.size else 0
        for _ in range(n_fields):
            packed = fp.read(entry.size)
            if len(packed) < entry.size:
                return
            tag, kind, count, data = entry.unpack(packed)
            if tag not in PIXEL_FIELDS or kind not in self._load_dispatch:
                continue
            unit = self._load_dispatch[kind][0]
            if unit * count > word.size:
                data = _read_at(fp, word.unpack(data)[0], unit * count)
            if count > 1 and TiffTags.lookup(tag).length == 1:
                count = 1
            if count and len(data) >= unit * count:
                yield _Field(tag, kind, count, data[: unit * count])

    def _rewritten(self, fields: list[_Field]) -> bytes:
        """Lay out a directory that starts at 0, and after which no other picture comes."""
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

    def load_prepare(self) -> None:
        if self._im is None:
            # Pillow would look at the pixel limit of the process first.
            self.im = Image.core.new(self.mode, getattr(self, "_tile_size", self.size))
        super().load_prepare()

    def load_end(self) -> None:
        # Pillow would turn the picture, and read further metadata.
        pass


def _read_at(file: IO[bytes], place: int, size: int) -> bytes:
    """Read data that lie elsewhere; none if they do not lie in the file."""
    here = file.tell()
    if place + size > file.seek(0, io.SEEK_END):
        file.seek(here)
        return b""
    file.seek(place)
    data = file.read(size)
    file.seek(here)
    return data
