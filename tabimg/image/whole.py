"""Decoding that ends with a complete picture or an error, whatever Pillow's global flags say.

Under ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``, which any library in the process may set, Pillow
ignores premature ends and its decoders' errors. Here both raise before Pillow checks its flag; the
flag itself is neither read nor written, so threads cannot disturb each other.
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile

from tabimg.image.refusal import TRUNCATED, RefusedImage

DECODER = "tabimg_whole"
# Pillow passes the arguments of these to libtiff itself, and raises its errors under any flag.
OWN_LOOP = {"libtiff"}


def load_whole(image: ImageFile.ImageFile) -> Image.Image:
    """Load all pixels of an image that was just opened.

    Returns
    -------
    PIL.Image.Image
        The pixels as they are stored: orientation is not applied.

    Raises
    ------
    RefusedImage
        If the picture is truncated or its data are broken.
    Exception
        Whatever else Pillow raises on broken data.
    """
    cut_off: list[str] = []
    image.tile = [_guarded(tile, cut_off) for tile in image.tile]
    image.load()
    if cut_off:
        raise RefusedImage(TRUNCATED)
    # Formats have methods and sizes of their own; the plain class has neither.
    return image._new(image.im)


def _guarded(tile: Any, cut_off: list[str]) -> Any:
    name, extents, offset, args = tile
    if name in OWN_LOOP:
        return tile
    make = getattr(type(tile), "_make", tuple)  # plain tuples in older versions of Pillow
    return make((DECODER, extents, offset, (name, args, cut_off)))


class _WholeDecoder(ImageFile.PyDecoder):
    """Runs one of Pillow's decoders; raises its errors, and notes when it is stopped early."""

    def __init__(self, mode: str, name: str, args: Any, cut_off: list[str], *extra: Any) -> None:
        self._decoder = Image._getdecoder(mode, name, args, extra)
        self._name, self._cut_off = name, cut_off
        self._finished = False

    @property
    def pulls_fd(self) -> bool:
        return bool(self._decoder.pulls_fd)

    def setimage(self, im: Any, extents: Any = None) -> None:
        self._decoder.setimage(im, extents)

    def setfd(self, fd: Any) -> None:
        self._decoder.setfd(fd)

    def decode(self, buffer: Any) -> tuple[int, int]:
        consumed, error = self._decoder.decode(buffer)
        if error < 0:
            raise RefusedImage(f"it is damaged or truncated (decoder error {error})")
        self._finished = consumed < 0 or self.pulls_fd
        return consumed, error

    def cleanup(self) -> None:
        self._decoder.cleanup()
        if not self._finished:
            self._cut_off.append(self._name)


Image.register_decoder(DECODER, _WholeDecoder)
