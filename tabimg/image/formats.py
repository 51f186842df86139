"""The formats that are read, and how a file of one of them is opened.

The list is explicit because some formats that Pillow opens start programs: EPS starts Ghostscript.
Files are not opened by ``PIL.Image.open``, whose pixel limit belongs to the whole process.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from PIL import AvifImagePlugin, GifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from tabimg.image.orientation import exif_of, stored_orientation, tag_orientation
from tabimg.image.png import check_png
from tabimg.image.refusal import TRUNCATED, RefusedImage, check_pixels
from tabimg.image.tiff import TiffFile
from tabimg.image.whole import load_whole

# HEIF (phones) and JXL are read where a package such as pillow-heif has registered its plugin.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"),
    *("HEIF", "JXL"),
)
# Every scan of a progressive JPEG is a pass over the whole picture. Common encoders write ten.
MAX_SCANS = 100
START_OF_SCAN = b"\xff\xda"
HEADER_BYTES = 32
WEBP_SIGNATURE_BYTES = 16
# Positions and sides are 16-bit numbers, so no picture extends further right or down.
GIF_BEYOND_ALL = (2**17, 2**17)
# Errors by which a Pillow plugin says that a file is not of its format.
NOT_MINE = (SyntaxError, IndexError, TypeError, struct.error)


def decode(file: BinaryIO, draft_size: int, max_pixels: int) -> tuple[Image.Image, int]:
    """Decode the first picture of a file.

    Parameters
    ----------
    file : binary file, seekable, at its start
    draft_size : int
        JPEG may be decoded at a reduced scale, of at least this height and width.
    max_pixels : int
        The largest number of pixels that a picture may have.

    Returns
    -------
    image : PIL.Image.Image
        Loaded, as it is stored.
    orientation : int
        1 to 8, as EXIF numbers them.

    Raises
    ------
    RefusedImage
        If the file is of another format, cut off, damaged, or has too many pixels.
    Exception
        Whatever Pillow raises on broken data.
    """
    header = file.read(HEADER_BYTES)
    file.seek(0)
    names = [name for name in FORMATS if _accepts(name, header)]
    if "PNG" in names:
        png = check_png(file, max_pixels)
        image = _open(["PNG"], png.pixels)
        image.info.update(exif=png.exif, xmp=png.xmp)
    else:
        if "WEBP" in names:
            _check_webp(header, file, max_pixels)
        image = _open(names, file)
    with image:
        check_pixels(*image.size, max_pixels)
        if isinstance(image, TiffFile):
            # Tiles are decoded whole, also where the picture ends within them.
            check_pixels(*image.tile_size, max_pixels, "it has tiles of")
        image.draft(None, (draft_size, draft_size))
        whole = load_whole(image)
    if isinstance(image, TiffFile):
        return whole, tag_orientation(image.tag_v2)
    return whole, stored_orientation(image.info)


def _accepts(name: str, header: bytes) -> bool:
    _, accept = Image.OPEN.get(name, (None, None))
    # A str means that Pillow was built without the format.
    return accept is not None and accept(header[:16]) is True


def _open(names: list[str], file: BinaryIO) -> ImageFile:
    failure: Exception = RefusedImage(
        "it is not an image of a known format: those are "
        f"{', '.join(FORMATS)} (image_loader= opens other formats)"
    )
    for name in names:
        factory = OWN_FACTORIES.get(name) or Image.OPEN[name][0]
        file.seek(0)
        try:
            return factory(file, "")
        except NOT_MINE as error:
            failure = error
    raise failure


def _check_webp(header: bytes, file: BinaryIO, max_pixels: int) -> None:
    """Check size and length first: opening the decoder already allocates memory for the picture."""
    if len(header) < 30:
        raise RefusedImage(TRUNCATED)
    kind = header[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(header[24:27], "little") + 1
        height = int.from_bytes(header[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(header[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", header, 26))
    check_pixels(width, height, max_pixels)
    if file.seek(0, io.SEEK_END) < 8 + int.from_bytes(header[4:8], "little"):
        raise RefusedImage(TRUNCATED)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """Only the first picture of a file, ignoring the resolution in its EXIF data."""

    _scans = 0

    def _read_dpi_from_exif(self) -> None:
        pass

    def load_read(self, read_bytes: int) -> bytes:
        data = b"" if self.fp is None else self.fp.read(read_bytes)
        if not data:
            raise RefusedImage(TRUNCATED)
        self._scans += data.count(START_OF_SCAN)
        if self._scans > MAX_SCANS:
            raise RefusedImage(f"it has more than {MAX_SCANS} scans, which no camera writes")
        return data


class _Gif(GifImagePlugin.GifImageFile):
    """Only the first picture: how the second one is drawn over it does not matter.

    Pillow would compare the region of the second one, and a picture larger than the screen that the
    file declares, with the pixel limit of the process.
    """

    _seeking = False

    @property
    def size(self) -> tuple[int, int]:
        return GIF_BEYOND_ALL if self._seeking else self._size

    def _seek(self, frame: int, update_image: bool = True) -> None:
        self._seeking = True
        try:
            super()._seek(frame, update_image)
        finally:
            self._seeking = False
        for tile in self.tile:
            _, _, right, bottom = tile[1] or (0, 0, 0, 0)
            self._size = max(right, self._size[0]), max(bottom, self._size[1])

    @property
    def disposal_method(self) -> int:
        return 0

    @disposal_method.setter
    def disposal_method(self, value: int) -> None:
        pass


class _Avif(AvifImagePlugin.AvifImageFile):
    """A file opened without reading its EXIF data, about whose damaged fields Pillow would warn.

    The orientation is that of the picture itself, which takes precedence in Pillow as well.
    """

    def _open(self) -> None:
        self._decoder = AvifImagePlugin._avif.AvifDecoder(
            self.fp.read() if self.fp is not None else b"",
            AvifImagePlugin.DECODE_CODEC_CHOICE,
            AvifImagePlugin._get_default_max_threads(),
        )
        self._size, self.n_frames, self._mode, _, _, orientation, xmp = self._decoder.get_info()
        self.is_animated = self.n_frames > 1
        self.info.update(exif=exif_of(orientation), xmp=xmp)
        self.seek(0)


class _WebPBytes(io.BytesIO):
    """Returns fewer bytes of the header than asked for, so that Pillow reads no size from it.

    Pillow would compare the size with the pixel limit of the process; ours was checked before.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, WEBP_SIGNATURE_BYTES))


def _webp(file: BinaryIO, name: str) -> ImageFile:
    return WebPImagePlugin.WebPImageFile(_WebPBytes(file.read()), name)


OWN_FACTORIES: dict[str, Callable[[BinaryIO, str], ImageFile]] = {
    "GIF": _Gif,
    "JPEG": _Jpeg,
    "TIFF": TiffFile,
    "WEBP": _webp,
}
if AvifImagePlugin.SUPPORTED:  # otherwise another package may have registered its own
    OWN_FACTORIES["AVIF"] = _Avif
# Importing a plugin registers it.
for _name in ("Bmp", "Jpeg2K", "Png", "Ppm"):
    with suppress(ImportError):
        importlib.import_module(f"PIL.{_name}ImagePlugin")
