"""Photos with bits, pieces and chunks changed: a picture or an error, and PNG no other picture."""

from __future__ import annotations

import collections
import functools
import io
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from tabimg.image import ImageReadError, read_image

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SIZE = 8
MAX_PIXELS = 10**6
N_CASES = 6000
CASES_AT_ONCE = 100
SECONDS = 10  # of processor time, for one photo
EXIF = Image.Exif()
EXIF[0x0112] = 6
XMP, PROFILE = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
XMP.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
PROFILE.add_text("Raw profile type exif", f"\nexif\n26\n{EXIF.tobytes().hex()}", zip=True)
# A photo without them is a sound one that looks different.
CHUNKS_OF_LOOKS = {b"tRNS", b"eXIf", b"iTXt", b"zTXt"}
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "P", {"transparency": 3, "dpi": (72, 72), "exif": EXIF}),
    *(("PNG", "RGB", options) for options in ({"exif": EXIF}, {"pnginfo": XMP})),
    ("PNG", "L", {"pnginfo": PROFILE}),
    *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    *(("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (0, 1)),
    ("WEBP", "RGB", {"save_all": True}),
    *(("GIF", mode, options) for mode in ("L", "P") for options in ({}, {"save_all": True})),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("PPM", mode, {}) for mode in ("1", "L", "RGB")),
    *(("TIFF", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F")),
    *(("TIFF", "RGB", {"compression": f"tiff_{name}"}) for name in ("lzw", "adobe_deflate")),
    *(("TIFF", mode, {"compression": "jpeg"}) for mode in ("L", "RGB")),
    ("TIFF", "1", {"compression": "group4"}),
    *(("JPEG2000", mode, {}) for mode in ("L", "RGB", "RGBA") if features.check("jpg_2000")),
    *(("AVIF", mode, {}) for mode in ("RGB", "RGBA") if features.check("avif")),
]


@functools.cache
def sound(kind: int) -> bytes:
    file_format, mode, options = KINDS[kind]
    noise = np.random.default_rng(kind).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image = (
        Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else (image.convert(mode))
    )
    if options.get("save_all"):
        options = {**options, "append_images": [image.rotate(90), image.rotate(180)]}
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@functools.cache
def picture(kind: int) -> np.ndarray:
    return read_image(sound(kind), SIZE)


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    bits[rng.integers(0, len(bits), rng.integers(1, 9))] ^= 1
    return np.packbits(bits).tobytes()


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, len(data))]


def spliced(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a piece of another photo, of any kind, in place of a piece of this one."""
    other = sound(int(rng.integers(len(KINDS))))
    (start, stop), (first, last) = piece(data, rng), piece(other, rng)
    return data[:start] + other[first:last] + data[stop:]


def shortened(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(data, rng)
    return data[:start] + data[stop:]


def repeated(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = piece(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 4)) + data[stop:]


def without_chunk(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = chunk(data, rng)
    return data[:start] + data[stop:]


def with_chunk_twice(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = chunk(data, rng)
    return data[:stop] + data[start:]


def piece(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(0, len(data)))
    return start, min(start + int(rng.integers(1, 65)), len(data))


def chunk(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Where a chunk of a PNG lies, or a piece of another format."""
    if not data.startswith(b"\x89PNG"):
        return piece(data, rng)
    chunks, start = [], 8
    while start < len(data):
        stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] not in CHUNKS_OF_LOOKS:
            chunks.append((start, stop))
        start = stop
    return chunks[rng.integers(len(chunks))]


MUTATIONS: list[Callable[[bytes, np.random.Generator], bytes]] = [
    *(flipped, flipped, truncated, spliced, shortened, repeated, without_chunk, with_chunk_twice)
]


def outcome(case: int) -> str:
    rng, kind = np.random.default_rng(case), case % len(KINDS)
    data = MUTATIONS[rng.integers(len(MUTATIONS))](sound(kind), rng)
    try:
        pixels = read_image(data, SIZE, max_pixels=MAX_PIXELS)
    except ImageReadError:
        return "refused"
    except BaseException as error:
        return f"foreign exception: {type(error).__name__}"
    if pixels.shape != (SIZE, SIZE, 3) or pixels.dtype != np.uint8:
        return "no picture"
    if KINDS[kind][0] == "PNG" and (pixels != picture(kind)).any():
        return "another picture"
    return "read"


def outcomes(first: int, last: int) -> list[str]:
    """Outcomes of cases, up to the first of which the process dies."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints its warnings
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        for case in range(first, last):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            os.write(writing, f"{outcome(case)}\n".encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as lines:
        found = lines.read().splitlines()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        found.append("hang" if os.WTERMSIG(status) == signal.SIGPROF else "crash")
    return found


def assert_none_does_harm(n_cases: int) -> None:
    for kind in range(len(KINDS)):
        picture(kind)  # once, for all children
    cases: dict[int, str] = {}
    while len(cases) < n_cases:
        start = len(cases)
        found = outcomes(start, min(start + CASES_AT_ONCE, n_cases))
        assert found
        cases.update(enumerate(found, start))
    counts = collections.Counter(cases.values())
    kinds = len({file_format for file_format, _, _ in KINDS})
    print(
        f"{n_cases} mutated images of {len(KINDS)} kinds of {kinds} formats: "
        f"{counts['read']} read, {counts['refused']} refused, {counts['crash']} crashes, "
        f"{counts['hang']} hangs, {counts['another picture']} other pictures of PNG files, "
        f"{n_cases - counts['read'] - counts['refused']} faults in all"
    )
    faults = {
        case: f"{KINDS[case % len(KINDS)]}: {found}"
        for case, found in cases.items()
        if found not in ("read", "refused")
    }
    assert faults == {}


def test_some_mutated_images_are_pictures_or_errors() -> None:
    assert_none_does_harm(150)


@pytest.mark.nightly
def test_mutated_images_are_pictures_or_errors() -> None:
    assert_none_does_harm(N_CASES)
