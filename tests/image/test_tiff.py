"""TIFF files whose fields claim more than the picture has: pieces, bytes and pixels."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from tabimg.image import ImageReadError, read_image

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
COLOR_MAP, EXTRA_SAMPLES = 320, 338
SHORT, LONG = 3, 4
RAW, DEFLATE = 1, 8

Field = tuple[int, int, int, int]
STRIP = (STRIP_OFFSETS, LONG, 1, 8)
HEAD: list[Field] = [
    *((WIDTH, SHORT, 1, 8), (HEIGHT, SHORT, 1, 4), (BITS, SHORT, 1, 8)),
    (PHOTOMETRIC, SHORT, 1, 1),
]
STRIPED = [*HEAD, (COMPRESSION, SHORT, 1, RAW), (ROWS_PER_STRIP, SHORT, 1, 4)]
STRIPED += [(STRIP_BYTES, LONG, 1, 32)]
PIXELS = np.arange(32, dtype=np.uint8).reshape(4, 8)


def tiff(fields: list[Field], data: bytes = PIXELS.tobytes()) -> bytes:
    """A TIFF whose data lie at 8, and whose fields come in the order given."""
    body = b"".join(struct.pack("<HHII", *field) for field in fields)
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return head + struct.pack("<H", len(fields)) + body + b"\0\0\0\0"


def tiled(side: int, compression: int = DEFLATE, kind: int = LONG) -> bytes:
    """A TIFF of 8 x 4 pixels in a single tile of more."""
    tile = np.zeros((side, side), dtype=np.uint8)
    tile[:4, :8] = PIXELS
    data = tile.tobytes() if compression == RAW else zlib.compress(tile.tobytes())
    fields = [
        *(*HEAD, (COMPRESSION, SHORT, 1, compression)),
        *((TILE_WIDTH, kind, 1, side), (TILE_LENGTH, kind, 1, side)),
        *((TILE_OFFSETS, LONG, 1, 8), (TILE_BYTES, LONG, 1, len(data))),
    ]
    return tiff(fields, data)


def test_field_given_thousands_of_times_is_read_once() -> None:
    n_fields = 3000
    n_offsets = 12 * n_fields // 4
    rest = [(STRIP_OFFSETS, LONG, n_offsets, 0)] * n_fields  # each as long as the file
    image = read_image(tiff([*STRIPED, STRIP, *rest]), 8)
    np.testing.assert_array_equal(image, read_image(tiff([*STRIPED, STRIP]), 8))
    data = tiff([*STRIPED, *rest])
    tracemalloc.start()
    try:
        with pytest.raises(ImageReadError, match="more strips or tiles than it has room for"):
            read_image(data, 8)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


def test_fields_that_share_the_bytes_of_the_file_are_refused() -> None:
    data = bytes(40_000)
    shared = [(tag, SHORT, 15_000, 8) for tag in (COLOR_MAP, EXTRA_SAMPLES)]
    with pytest.raises(ImageReadError, match="its fields hold more bytes than the file"):
        read_image(tiff([*STRIPED, STRIP, *shared], data), 8)


@pytest.mark.parametrize(
    ("rest", "tag", "room"),
    [
        ([], STRIP_OFFSETS, 4),
        ([(TILE_WIDTH, SHORT, 1, 4), (TILE_LENGTH, SHORT, 1, 3)], TILE_OFFSETS, 4),
    ],
)
def test_more_strips_or_tiles_than_the_picture_has_room_for_are_refused(
    rest: list[Field], tag: int, room: int
) -> None:
    most = 6 * room  # bands may have pieces of their own
    data = bytes(1000)
    assert read_image(tiff([*STRIPED, *rest, (tag, LONG, most, 8)], data), 8).shape == (8, 8, 3)
    with pytest.raises(ImageReadError, match="more strips or tiles than it has room for"):
        read_image(tiff([*STRIPED, *rest, (tag, LONG, most + 1, 8)], data), 8)


@pytest.mark.parametrize("compression", [RAW, DEFLATE])
def test_tile_of_more_pixels_than_the_limit_is_refused_before_it_is_decoded(
    compression: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = read_image(tiled(64, compression), 8, max_pixels=64**2)
    np.testing.assert_array_equal(within, read_image(tiff([*STRIPED, STRIP]), 8))
    monkeypatch.setattr(Image, "_getdecoder", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(ImageReadError, match=r"tiles of 64 x 64 pixels.* max_image_pixels=4095"):
        read_image(tiled(64, compression), 8, max_pixels=4095)


@pytest.mark.parametrize("kind", [1, 6, 8, 9, 13, 17])
def test_tile_sides_of_types_that_only_some_decoders_read_are_refused(kind: int) -> None:
    with pytest.raises(ImageReadError, match="size of its tiles has an unusual type"):
        read_image(tiled(64, DEFLATE, kind), 8)
