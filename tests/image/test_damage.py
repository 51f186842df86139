"""What damage does to a photo: another kind of damage, another promise."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, WebPImagePlugin, features

from tabimg.evaluation import image_groups
from tabimg.image import ImageReadError, RowImages, build_image_cache, read_image
from tabimg.image.fingerprint import source_key

SIZE = 16
IFD_ORIENTATION, IFD_X_RESOLUTION = 0x0112, 0x011A


def noise(height: int = 40, width: int = 56) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks: bytes, rows: bytes | None = None) -> bytes:
    """A PNG of 8 x 4 grey pixels with further chunks before its pixels."""
    rows = b"".join(b"\0" + bytes(range(y, y + 8)) for y in range(4)) if rows is None else rows
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 4, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def with_wrong_checksum(part: bytes) -> bytes:
    return part[:-1] + bytes([part[-1] ^ 1])


def odd_exif(orientation: int) -> bytes:
    """EXIF with the orientation among fields that point nowhere and have unknown types."""
    fields = [
        (0x010E, 2, 2**31, 2**31),
        (IFD_ORIENTATION, 3, 1, orientation),
        (0x011A, 5, 1, 0xFFFFFFF0),
        (0x8769, 4, 1, 0xFFFFFF00),
        (0x9286, 77, 3, 5),
    ]
    body = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(fields)) + body + b"\0\0\0\0"


# PNG


def test_png_flipped_bits_give_the_same_picture_or_an_error() -> None:
    data = encoded(noise(), "PNG")
    whole, rng, refused = read_image(data, SIZE), np.random.default_rng(0), 0
    for place in rng.integers(0, len(data), 300):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            np.testing.assert_array_equal(read_image(bytes(flipped), SIZE), whole)
        except ImageReadError:
            refused += 1
    assert refused > 290


def test_png_missing_rows_are_an_error_though_every_checksum_holds() -> None:
    assert read_image(png(), 4).shape == (4, 4, 3)
    for n_rows in (0, 1, 3):
        with pytest.raises(ImageReadError, match="rows of pixels are missing"):
            read_image(png(rows=bytes(9 * n_rows)), 4)


def test_png_without_its_palette_is_an_error() -> None:
    data = encoded(noise().convert("P"), "PNG")
    start = data.index(b"PLTE") - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(ImageReadError, match="its palette is missing"):
        read_image(data[:start] + data[stop:], SIZE)


def test_png_wrong_checksum_of_zlib_is_an_error() -> None:
    rows = bytearray(zlib.compress(bytes(36)))
    rows[-1] ^= 1
    data = png().replace(chunk(b"IDAT", png()[png().index(b"IDAT") + 4 : -16]), b"")
    broken = data[:-12] + chunk(b"IDAT", bytes(rows)) + chunk(b"IEND", b"")
    with pytest.raises(ImageReadError, match="damaged"):
        read_image(broken, 4)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tIME", b"acTL"])
def test_png_damaged_or_huge_metadata_refuse_no_photo(name: bytes) -> None:
    whole = read_image(png(), 4)
    bomb = b"a\0\0" + zlib.compress(bytes(2**21))
    for data in (b"", b"\xff" * 50, bomb, bytes(2**21)):
        good = chunk(name, data)
        for part in (good,) if name == b"eXIf" else (good, with_wrong_checksum(good)):
            np.testing.assert_array_equal(read_image(png(part), 4), whole)


EXIF_OF_6 = Image.Exif()
EXIF_OF_6[IFD_ORIENTATION] = 6
EXIF_TEXT = f"Raw profile type exif\0\nexif\n26\n{EXIF_OF_6.tobytes().hex()}".encode()
ORIENTATIONS = {
    "eXIf": chunk(b"eXIf", EXIF_OF_6.tobytes()),
    "XMP": chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
    "tEXt": chunk(b"tEXt", EXIF_TEXT),
    "zTXt": chunk(b"zTXt", EXIF_TEXT[:22] + b"\0" + zlib.compress(EXIF_TEXT[22:])),
}


@pytest.mark.parametrize("kind", ["tRNS", "eXIf", "XMP", "tEXt", "zTXt"])
def test_png_length_of_metadata_that_swallows_what_changes_the_picture_is_an_error(
    kind: str,
) -> None:
    other = chunk(b"tRNS", b"\0\3") if kind == "tRNS" else ORIENTATIONS[kind]
    # After the long ones, the name lies across two blocks of the file that are read at once.
    for size in (9, *range(2**20 - 14, 2**20)):
        part = chunk(b"pHYs", bytes(size))
        assert (read_image(png(part, other), 4) != read_image(png(), 4)).any()
        length = len(part) - 8 + len(other) - 4
        with pytest.raises(ImageReadError, match="checksum of its chunk b'pHYs'"):
            read_image(png(struct.pack(">I", length) + part[4:] + other), 4)


@pytest.mark.parametrize("kind", ORIENTATIONS)
def test_png_flipped_bits_of_an_orientation_turn_no_photo(kind: str) -> None:
    part = ORIENTATIONS[kind]
    whole = read_image(png(), 4)
    np.testing.assert_array_equal(read_image(png(part), 4), np.rot90(whole, 3))
    for place in range(len(part)):
        for bits in (1, 8, 64, 255):
            damaged = part[:place] + bytes([part[place] ^ bits]) + part[place + 1 :]
            with pytest.raises(ImageReadError, match=r"checksum of its chunk|truncated"):
                read_image(png(damaged), 4)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_png_damaged_text_that_tells_no_orientation_is_passed_over(name: bytes) -> None:
    whole = read_image(png(), 4)
    for text in (b"Software\0a program of some years", b"XML:other\0", b"Raw\0", b"Or\0"):
        part = with_wrong_checksum(chunk(name, text))
        np.testing.assert_array_equal(read_image(png(part), 4), whole)


def test_png_damaged_chunk_of_unknown_name_is_an_error() -> None:
    part = chunk(b"tSNS", b"\0\1")
    assert read_image(png(part), 4).shape == (4, 4, 3)
    with pytest.raises(ImageReadError, match="checksum of its chunk b'tSNS'"):
        read_image(png(with_wrong_checksum(part)), 4)


# Metadata


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_odd_exif_fields_leave_photo_and_orientation_readable(
    file_format: str, orientation: int
) -> None:
    upright = read_image(encoded(noise(), file_format), SIZE)
    turned = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    data = encoded(noise(), file_format, exif=odd_exif(orientation))
    np.testing.assert_array_equal(read_image(data, SIZE), np.rot90(upright, turned))


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not read AVIF")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_odd_exif_fields_leave_an_avif_and_its_orientation_readable(orientation: int) -> None:
    upright = read_image(encoded(noise(), "AVIF"), SIZE)
    turned = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    exif = Image.Exif()
    exif[IFD_ORIENTATION], exif[IFD_X_RESOLUTION] = orientation, 300.0
    data = encoded(noise(), "AVIF", exif=exif)
    entry = struct.pack(">HHI", IFD_X_RESOLUTION, 5, 1)
    assert data.count(entry) == 1
    start = data.index(entry) + len(entry)
    data = data[:start] + b"\xff\xff\xff\xf0" + data[start + 4 :]  # beyond the file
    np.testing.assert_array_equal(read_image(data, SIZE), np.rot90(upright, turned))


def tiff(fields: list[tuple[int, int, int, int]]) -> bytes:
    """A TIFF of 8 x 4 grey pixels with further fields."""
    fields = [
        *((256, 3, 1, 8), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 8), (278, 3, 1, 4), (279, 4, 1, 32)),
        *fields,
    ]
    body = b"".join(struct.pack("<HHII", *field) for field in sorted(fields))
    head = b"II*\0" + struct.pack("<I", 40) + bytes(range(32))
    return head + struct.pack("<H", len(fields)) + body + b"\0\0\0\0"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_odd_fields_of_a_tiff_leave_photo_and_orientation_readable(orientation: int) -> None:
    upright = read_image(tiff([]), 4)
    turned = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    odd = [
        (0x010E, 2, 2**31, 2**31),  # a text that lies beyond the file
        (IFD_ORIENTATION, 3, 2, orientation),  # two orientations
        (0x011A, 5, 1, 0xFFFFFFF0),
        (0x0131, 77, 3, 5),  # of no known type
        (0x8769, 4, 1, 0xFFFFFF00),
        (0x8773, 7, 2**20, 8),
    ]
    np.testing.assert_array_equal(read_image(tiff(odd), 4), np.rot90(upright, turned))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
def test_tiff_of_any_layout_is_read_as_pillow_reads_it(compression: str | None, big: bool) -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
        if compression == "jpeg" and mode in ("1", "P"):
            continue  # which JPEG cannot hold
        data = encoded(noise().convert(mode), "TIFF", compression=compression, big_tiff=big)
        with Image.open(io.BytesIO(data)) as opened:
            expected = read_image(opened.copy(), SIZE)
        np.testing.assert_array_equal(read_image(data, SIZE), expected)


@pytest.mark.filterwarnings("error")
def test_odd_exif_fields_of_a_loaded_image_leave_its_orientation_readable() -> None:
    image = noise()
    upright = read_image(noise(), SIZE)
    image.info["exif"] = odd_exif(6)
    np.testing.assert_array_equal(read_image(image, SIZE), np.rot90(upright, 3))


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_broken_exif_icc_and_xmp_refuse_no_photo(file_format: str) -> None:
    whole = read_image(encoded(noise(), file_format), SIZE)
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 40):
        data = encoded(
            noise(), file_format, exif=exif, icc_profile=b"\xff" * 9, xmp=b"<x tiff:Orientation"
        )
        np.testing.assert_array_equal(read_image(data, SIZE), whole)


# Limits


def test_jpeg_of_very_many_scans_is_refused() -> None:
    data = encoded(noise(), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    length = int.from_bytes(data[first + 2 : first + 4], "big")
    scans = data[first : first + 2 + length] * 500
    with pytest.raises(ImageReadError, match="more than 100 scans"):
        read_image(data[:first] + scans + data[first:], SIZE)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_many_frames_the_first_alone_is_decoded(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = noise(8, 8)
    frames = [first.rotate(90 * (number % 4)) for number in range(1, 100)]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(first, file_format, save_all=True, append_images=frames, **options)
    alone, decoded = read_image(encoded(first, file_format, **options), 8), []
    get_decoder, get_next = Image._getdecoder, WebPImagePlugin.WebPImageFile._get_next

    def noted(mode: str, name: str, *rest: object) -> object:
        decoded.append(name)
        return get_decoder(mode, name, *rest)

    def noted_frame(self: WebPImagePlugin.WebPImageFile) -> object:
        decoded.append("frame")
        return get_next(self)

    monkeypatch.setattr(Image, "_getdecoder", noted)
    monkeypatch.setattr(WebPImagePlugin.WebPImageFile, "_get_next", noted_frame)
    np.testing.assert_array_equal(read_image(data, 8), alone)
    assert len(decoded) == len(set(decoded))


def test_formats_that_start_programs_are_not_opened(tmp_path: Path) -> None:
    eps = tmp_path / "a.eps"
    noise().save(eps)
    for source in (eps, eps.read_bytes()):
        with pytest.raises(ImageReadError, match=r"known format.*image_loader= opens other"):
            read_image(source, SIZE)
    with (
        Image.open(eps) as opened,
        pytest.raises(ImageReadError, match=r"the format EPS, which is not read.*load\(\)"),
    ):
        read_image(opened, SIZE)


# Paths


def special_files(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(folder / "fifo")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket"))
    (folder / "to_folder").symlink_to(folder)
    return {
        "named pipe": folder / "fifo",
        r"named pipe \(FIFO\)": folder / "link",
        "device": folder / "zero",
        "socket": folder / "socket",
        "directory": folder / "to_folder",
        "cannot be reached": folder / "loop",
    }


@pytest.mark.parametrize("loader", [None, lambda path: pytest.fail("was called")])
def test_files_that_are_not_regular_are_refused_at_once(tmp_path: Path, loader: object) -> None:
    for cause, path in special_files(tmp_path).items():
        if loader is not None and cause in ("directory", "cannot be reached"):
            continue  # a loader may read folders, and what is not there
        with pytest.raises(ImageReadError, match=cause):
            read_image(path, SIZE, loader)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["raise", "warn", "skip"])
@pytest.mark.parametrize("cached", [False, True])
def test_rows_of_files_that_are_not_regular_have_no_photo(
    tmp_path: Path, policy: str, cached: bool
) -> None:
    (tmp_path / "good.png").write_bytes(png())
    paths = list(special_files(tmp_path).values())
    images = RowImages.from_cells([["good.png", *map(str, paths)]], root=tmp_path)
    options = {"on_bad_image": policy, "cache_dir": tmp_path / "kept" if cached else None}
    assert len({source_key(path) for path in images.sources}) == len(images.sources)
    if policy == "raise":
        for row in range(1, len(paths) + 1):
            with pytest.raises(ImageReadError, match=f"row {row}: "):
                build_image_cache(images.take(np.array([0, row])), 4, **options)  # type: ignore[arg-type]
        return
    with pytest.warns(UserWarning) if policy == "warn" else contextlib.nullcontext() as caught:
        _, left = build_image_cache(images, 4, **options)  # type: ignore[arg-type]
    assert left.counts.tolist() == [1] + [0] * len(paths)
    if caught is not None:
        assert "6 of 7 images could not be read" in str(caught[0].message)


def test_loader_may_read_a_folder(tmp_path: Path) -> None:
    pixels = read_image(tmp_path, 4, lambda path: np.full((4, 4), 7, dtype=np.uint8))
    assert (pixels == 7).all()


NAMES = ["a\x00b.png", "\udcff.png", "\ud800.png", "x" * 5000 + ".png", "y/" * 5000]


@pytest.mark.parametrize("policy", ["raise", "warn", "skip"])
@pytest.mark.parametrize("cached", [False, True])
def test_names_that_no_file_has_are_unreadable_photos_of_their_rows(
    tmp_path: Path, policy: str, cached: bool
) -> None:
    (tmp_path / "good.png").write_bytes(png())
    options = {"on_bad_image": policy, "cache_dir": tmp_path / "kept" if cached else None}
    for name in NAMES:
        images = RowImages.from_cells([["good.png", name]], root=tmp_path)
        if policy == "raise":
            with pytest.raises(ImageReadError, match="row 1: ") as caught:
                build_image_cache(images, 4, **options)  # type: ignore[arg-type]
            assert len(str(caught.value).encode("utf-8")) < 1000
        elif policy == "warn":
            with pytest.warns(UserWarning, match="1 of 2 images could not be read"):
                _, left = build_image_cache(images, 4, **options)  # type: ignore[arg-type]
            assert left.counts.tolist() == [1, 0]
        else:
            _, left = build_image_cache(images, 4, **options)  # type: ignore[arg-type]
            assert left.counts.tolist() == [1, 0]


def test_image_groups_does_not_wait_for_a_named_pipe(tmp_path: Path) -> None:
    import pandas as pd

    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match=r"row 0.*fifo"):
        image_groups(pd.DataFrame({"photo": [str(tmp_path / "fifo")]}), "photo")
