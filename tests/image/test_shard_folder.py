"""What a cache_dir holds: each photo in use once, whatever happened to the folder or to a run."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import signal
import socket
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tabimg.image.folder_lock as folder_lock_module
import tabimg.image.shards as shards_module
from tabimg.image import ImageCache, RowImages, build_image_cache, read_image
from tabimg.image.folder_lock import folder_lock

SIZE = 8
IMAGE_BYTES = 3 * SIZE**2
ON_DISK = {"memory_limit": 0}
WHERE = pytest.mark.parametrize("where", [{}, ON_DISK], ids=["memory", "disk"])
MakePhotos = Callable[[int], Path]


def images_of(folder: Path, numbers: range | list[int]) -> RowImages:
    return RowImages.from_cells([[f"{number}.png" for number in numbers]], root=folder)


def assert_right(cache: ImageCache, images: RowImages) -> None:
    expected = [read_image(source, SIZE) for source in images.sources]
    np.testing.assert_array_equal(cache.gather(np.arange(len(images.sources))), expected)


def stored_images(kept: Path) -> int:
    """Number of images that the pixel files have room for."""
    return sum(path.stat().st_size // IMAGE_BYTES for path in kept.rglob("*.npy"))


def build(images: RowImages, kept: Path, **options: object) -> ImageCache:
    return build_image_cache(images, SIZE, cache_dir=kept, **options)[0]  # type: ignore[arg-type]


# Each photo in use, once


@WHERE
def test_folds_over_the_same_photos_keep_each_once(
    make_photos: MakePhotos, tmp_path: Path, decoded: list[str], where: dict[str, int]
) -> None:
    photos, kept = make_photos(10), tmp_path / "kept"
    for fold in range(5):
        numbers = [number for number in range(10) if number % 5 != fold]
        images = images_of(photos, numbers[::-1])
        assert_right(build(images, kept, **where), images)
        assert stored_images(kept) <= 10
    assert sorted(decoded) == [f"{number}.png" for number in range(10)]
    assert stored_images(kept) == 10


@WHERE
def test_photos_touched_one_by_one_do_not_make_the_folder_grow(
    make_photos: MakePhotos, tmp_path: Path, decoded: list[str], where: dict[str, int]
) -> None:
    photos, kept = make_photos(6), tmp_path / "kept"
    images = images_of(photos, range(6))
    caches = [build(images, kept, **where)]
    for number in range(6):
        os.utime(photos / f"{number}.png", ns=(number + 1, number + 1))
        caches.append(build(images, kept, **where))
        assert stored_images(kept) == 6
    assert decoded[6:] == [f"{number}.png" for number in range(6)]
    # Those opened before have kept the files that were removed.
    for cache in caches:
        assert_right(cache, images)


def test_dead_photos_of_a_large_shard_stay_below_an_eighth(
    make_photos: MakePhotos, tmp_path: Path, decoded: list[str]
) -> None:
    photos, kept = make_photos(40), tmp_path / "kept"
    images = images_of(photos, range(40))
    build(images, kept)
    for number in range(20):
        os.utime(photos / f"{number}.png", ns=(number + 1, number + 1))
        assert_right(build(images, kept, **ON_DISK), images)
        assert stored_images(kept) <= 45
    assert len(decoded) == 60
    assert len(list(kept.rglob("*.npy"))) <= 6


@pytest.mark.parametrize("change", ["moved", "removed", "changed"])
def test_photos_that_nobody_can_ask_for_go_when_others_come(
    make_photos: MakePhotos, tmp_path: Path, change: str
) -> None:
    photos, kept = make_photos(8), tmp_path / "kept"
    build(images_of(photos, range(4)), kept)
    for number in range(4):
        path = photos / f"{number}.png"
        if change == "moved":
            path.rename(photos / f"old{number}.png")
        elif change == "removed":
            path.unlink()
        else:
            os.utime(path, ns=(1, 1))
    images = images_of(photos, range(4, 8))
    assert_right(build(images, kept, **ON_DISK), images)
    assert stored_images(kept) == 4


def test_photos_of_another_set_stay(
    make_photos: MakePhotos, tmp_path: Path, decoded: list[str]
) -> None:
    photos, kept = make_photos(8), tmp_path / "kept"
    data = (photos / "0.png").read_bytes()
    for images in (
        RowImages.from_cells([[data]]),
        images_of(photos, range(2)),
        images_of(photos, range(2, 8)),
    ):
        build(images, kept)
    n_decoded = len(decoded)
    build(RowImages.from_cells([[data]]), kept)
    build(images_of(photos, range(8)), kept)
    assert (len(decoded), stored_images(kept)) == (n_decoded, 9)


def test_runs_at_once_decode_and_keep_each_photo_once(
    make_photos: MakePhotos, tmp_path: Path, decoded: list[str]
) -> None:
    photos, kept = make_photos(8), tmp_path / "kept"
    folds = [images_of(photos, [n for n in range(8) if n % 4 != fold]) for fold in range(4)]
    caches: list[ImageCache] = []
    threads = [
        threading.Thread(target=lambda fold=fold: caches.append(build(fold, kept, **ON_DISK)))
        for fold in folds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caches) == 4
    assert sorted(decoded) == [f"{number}.png" for number in range(8)]
    assert stored_images(kept) == 8
    for fold in folds:
        assert_right(build(fold, kept, **ON_DISK), fold)


def test_photos_that_are_kept_need_not_wait_for_a_run_that_adds_some(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    photos, kept = make_photos(5), tmp_path / "kept"
    held = images_of(photos, range(2))
    build(held, kept)
    seen: list[int] = []

    def meanwhile(done: int, total: int) -> None:
        assert_right(build(held, kept, **ON_DISK), held)
        seen.append(done)

    images = images_of(photos, range(5))
    assert_right(build(images, kept, progress=meanwhile, **ON_DISK), images)
    assert seen == [1, 2, 3]
    assert stored_images(kept) == 5


def test_run_that_has_stopped_keeps_nobody_waiting(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock_module, "STALLED_SECONDS", 0.0)
    photos, kept = make_photos(5), tmp_path / "kept"
    build(images_of(photos, range(2)), kept)
    (folder,) = kept.iterdir()
    images = images_of(photos, range(5))
    with folder_lock(folder, needed=True):
        for where in ({}, ON_DISK):
            assert_right(build(images, kept, **where), images)
    assert stored_images(kept) == 2


def test_folder_that_cannot_be_written_to_still_gives_what_it_keeps(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    photos, kept = make_photos(3), tmp_path / "kept"
    images = images_of(photos, range(2))
    build(images, kept)
    monkeypatch.setattr(folder_lock_module, "_take", refuse)
    assert_right(build(images, kept, **ON_DISK), images)
    with pytest.raises(PermissionError, match=f"cannot write .* to {kept}"):
        build(images_of(photos, range(3)), kept)


def test_disk_with_room_for_new_photos_alone_takes_them(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    photos, kept = make_photos(7), tmp_path / "kept"
    build(images_of(photos, range(6)), kept)
    os.utime(photos / "0.png", ns=(1, 1))
    images = images_of(photos, range(7))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 2 * IMAGE_BYTES + 600, hard))
    try:
        cache = build(images, kept, **ON_DISK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert_right(cache, images)
    assert stored_images(kept) == 8
    # One is dead, and goes when there is room again.
    assert_right(build(images, kept, **ON_DISK), images)
    assert stored_images(kept) == 7


# Files that are not what was written


def saved(array: np.ndarray, **options: bool) -> bytes:
    with io.BytesIO() as file:
        np.save(file, array, **options)  # type: ignore[arg-type]
        return file.getvalue()


def claiming(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    with io.BytesIO() as file:
        described = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
        return file.getvalue() + data


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", how) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return file.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Trap:
    """Is noticed when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (pytest.fail, ("something was unpickled",))


TRAP = np.array([Trap()], dtype=object)
Change = Callable[[bytes], bytes]
PIXEL_CHANGES: dict[str, Change] = {
    "empty": lambda data: b"",
    "header alone": lambda data: data[:128],
    "cut in the header": lambda data: data[:50],
    "cut by one byte": lambda data: data[:-1],
    "cut by one photo": lambda data: data[:-IMAGE_BYTES],
    "longer": lambda data: data + bytes(IMAGE_BYTES),
    "pixels changed": lambda data: data[:128] + bytes(len(data) - 128),
    "one photo for another": lambda data: data[:128] + data[128 + IMAGE_BYTES :] + data[128:][:192],
    "claims 100 GB": lambda data: claiming((10**11 // IMAGE_BYTES, SIZE, SIZE, 3), data[128:]),
    "claims nothing": lambda data: claiming((0, SIZE, SIZE, 3)),
    "negative": lambda data: claiming((-3, SIZE, SIZE, 3), data[128:]),
    "other size": lambda data: saved(np.zeros((3, SIZE // 2, SIZE // 2, 3), dtype=np.uint8)),
    "one dimension": lambda data: claiming((3 * IMAGE_BYTES,), data[128:]),
    "no dimension": lambda data: saved(np.uint8(1)),  # type: ignore[arg-type]
    "int16": lambda data: saved(np.zeros((3, SIZE, SIZE, 3), dtype=np.int16)),
    "float": lambda data: saved(np.zeros((3, SIZE, SIZE, 3))),
    "Fortran order": lambda data: saved(np.asfortranarray(np.zeros((3, 8, 8, 3), np.uint8))),
    "pickled": lambda data: saved(TRAP, allow_pickle=True),
    "bare pickle": lambda data: pickle.dumps(TRAP),
    "a zip": lambda data: zipped({"keys.npy": saved(np.zeros(3))}),
    "text": lambda data: b"not an array" * 50,
    "unending header": lambda data: data[:10] + b"(" * 118 + data[128:],
}
INDEX_CHANGES: dict[str, Change] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "text": lambda data: b"not a zip" * 50,
    "an array": lambda data: saved(np.zeros(3)),
    "without keys": lambda data: zipped(
        {name: held for name, held in members_of(data).items() if name != "keys.npy"}
    ),
    "without members": lambda data: zipped({}),
    "compressed": lambda data: zipped(members_of(data), zipfile.ZIP_DEFLATED),
    "bomb": lambda data: zipped(
        members_of(data) | {"keys.npy": claiming((10**6, 16), bytes(16 * 10**6))},
        zipfile.ZIP_DEFLATED,
    ),
    "keys claim 100 GB": lambda data: zipped(
        members_of(data) | {"keys.npy": claiming((10**10, 16))}
    ),
    "paths claim 100 GB": lambda data: zipped(
        members_of(data) | {"paths.npy": claiming((10**11,))}
    ),
    "size in the directory": lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x02", 1).replace(
        (48 + 128).to_bytes(4, "little"), (2**31).to_bytes(4, "little")
    ),
    "keys of one photo": lambda data: zipped(
        members_of(data) | {"keys.npy": saved(np.zeros((1, 16), dtype=np.uint8))}
    ),
    "keys and paths of one for another": lambda data: zipped(exchanged(members_of(data))),
    "wide keys": lambda data: zipped(
        members_of(data) | {"keys.npy": saved(np.zeros((3, 17), dtype=np.uint8))}
    ),
    "float checksums": lambda data: zipped(members_of(data) | {"checksums.npy": saved(np.ones(3))}),
    "other checksums": lambda data: zipped(
        members_of(data) | {"checksums.npy": saved(np.ones(3, dtype=np.uint32))}
    ),
    "one path": lambda data: zipped(
        members_of(data) | {"paths.npy": saved(np.zeros(0, dtype=np.uint8))}
    ),
    "pickled": lambda data: zipped(members_of(data) | {"keys.npy": saved(TRAP, allow_pickle=True)}),
}


def exchanged(members: dict[str, bytes]) -> dict[str, bytes]:
    keys, paths = (np.load(io.BytesIO(members[f"{name}.npy"])) for name in ("keys", "paths"))
    rolled = b"\0".join(np.roll(paths.tobytes().split(b"\0"), 1).tolist())
    return members | {
        "keys.npy": saved(np.roll(keys, 1, axis=0)),
        "paths.npy": saved(np.frombuffer(rolled, dtype=np.uint8)),
    }


CHANGES = [
    *(pytest.param(".npy", change, id=f"pixels {name}") for name, change in PIXEL_CHANGES.items()),
    *(pytest.param(".npz", change, id=f"index {name}") for name, change in INDEX_CHANGES.items()),
]


@pytest.mark.parametrize(("suffix", "change"), CHANGES)
def test_shard_that_was_changed_is_named_and_its_photos_decoded_again(
    make_photos: MakePhotos, tmp_path: Path, suffix: str, change: Change
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    (path,) = kept.rglob(f"*{suffix}")
    path.write_bytes(change(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"decoded again:\n.*{path.stem}") as caught:
        assert_right(build(images, kept, **ON_DISK), images)
    assert len(caught) == 1 and len(str(caught[0].message)) < 1000
    # The folder is sound again.
    assert stored_images(kept) == 3 and len(list(kept.rglob("*.np?"))) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(build(images, kept, **ON_DISK), images)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket must be short
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def make_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    target.write_bytes(b"precious")
    path.symlink_to(target)


def make_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def make_device_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, make_folder, make_socket, make_link, make_dangling_link, make_device_link],
)
def test_what_is_no_plain_file_is_never_opened_and_named(
    make_photos: MakePhotos, tmp_path: Path, suffix: str, make: Callable[[Path], None]
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    (path,) = kept.rglob(f"*{suffix}")
    path.unlink()
    make(path)
    for where in ({}, ON_DISK):
        with pytest.warns(UserWarning, match=f"did not write: '{path.name}'"):
            assert_right(build(images, kept, **where), images)
    assert os.path.lexists(path)
    assert all(found.read_bytes() == b"precious" for found in kept.glob("elsewhere"))


@pytest.mark.parametrize("make", [os.mkfifo, make_folder, make_link, make_device_link])
def test_lock_that_is_no_plain_file_is_named_and_left_alone(
    make_photos: MakePhotos, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    kept = tmp_path / "kept"
    photos = make_photos(5)
    build(images_of(photos, range(3)), kept)
    (folder,) = kept.iterdir()
    make(folder / "lock")
    with pytest.raises(OSError, match="'lock' in it is not a regular file: remove it"):
        build(images_of(photos, range(5)), kept)
    assert os.path.lexists(folder / "lock")


def test_foreign_files_are_named_and_left_alone(make_photos: MakePhotos, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    (folder,) = kept.iterdir()
    (index,) = folder.glob("*.npz")
    foreign = ["Zürich 写真.npz", "notes.txt", "a" * 200, f"{'0' * 31}.npy", "\udcff.npz"]
    for name in foreign:
        (folder / name).write_bytes(index.read_bytes())
    with pytest.warns(UserWarning, match=r"did not write.*Zürich") as caught:
        assert_right(build(images, kept, **ON_DISK), images)
    assert len(str(caught[0].message)) < 1000
    assert all((folder / name).exists() for name in foreign)


@pytest.mark.parametrize("renamed", [[".npy"], [".npz"], [".npy", ".npz"]])
@pytest.mark.parametrize("stem", ["mine", "f" * 32])
def test_shard_that_was_renamed_gives_right_pixels(
    make_photos: MakePhotos, tmp_path: Path, renamed: list[str], stem: str
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    for suffix in renamed:
        (path,) = kept.rglob(f"*{suffix}")
        path.rename(path.with_name(stem + suffix))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_right(build(images, kept, **ON_DISK), images)
    ours = [path for path in kept.rglob("*.npy") if path.stem != "mine"]
    assert len(ours) == 1


def white_loader(path: str) -> np.ndarray:
    return np.full((4, 4, 3), 255, dtype=np.uint8)


def test_shards_of_another_loader_never_pass_for_those_of_this_one(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    (own,) = kept.iterdir()
    build(images, kept, loader=white_loader)
    (other,) = set(kept.iterdir()) - {own}
    shutil.rmtree(own)
    other.rename(own)
    with pytest.warns(UserWarning, match="3 photos in .* are damaged"):
        assert_right(build(images, kept, **ON_DISK), images)


@pytest.mark.parametrize(("n_second", "cause"), [(3, "do not match"), (2, "index is not one of")])
def test_pixels_of_two_shards_that_were_exchanged_are_decoded_again(
    make_photos: MakePhotos, tmp_path: Path, n_second: int, cause: str
) -> None:
    photos, kept = make_photos(6), tmp_path / "kept"
    build(images_of(photos, range(3)), kept)
    build(images_of(photos, range(3, 3 + n_second)), tmp_path / "other")
    (first,), (second,) = kept.rglob("*.npy"), (tmp_path / "other").rglob("*.npy")
    shutil.copy(second.with_suffix(".npz"), first.with_name(f"{second.stem}.npz"))
    first.rename(first.with_name(second.name))
    second.rename(first)
    images = images_of(photos, range(3 + n_second))
    with pytest.warns(UserWarning, match=cause):
        assert_right(build(images, kept, **ON_DISK), images)
    assert stored_images(kept) == 3 + n_second


def test_shard_without_right_to_read_is_named_and_left_alone(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    build(images, kept)
    (path,) = kept.rglob("*.npy")
    monkeypatch.setattr(shards_module, "open_regular", refuse)
    with pytest.warns(UserWarning, match=f"{path.stem}.*Permission denied"):
        assert_right(build(images, kept, **ON_DISK), images)
    assert path.exists()


def test_open_cache_outlives_its_folder(make_photos: MakePhotos, tmp_path: Path) -> None:
    images = images_of(make_photos(3), range(3))
    cache = build(images, tmp_path / "kept", **ON_DISK)
    shutil.rmtree(tmp_path / "kept")
    assert_right(cache, images)


def test_folder_that_is_removed_while_photos_are_decoded_does_no_harm(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(3), range(3))
    cache = build(images, kept, progress=lambda done, n: shutil.rmtree(kept, True), **ON_DISK)
    assert_right(cache, images)


# Runs that were killed


@WHERE
def test_what_killed_runs_left_is_removed_by_the_next(
    make_photos: MakePhotos, tmp_path: Path, where: dict[str, int]
) -> None:
    photos, kept = make_photos(4), tmp_path / "kept"
    build(images_of(photos, range(3)), kept)
    (folder,) = kept.iterdir()
    for name in ("a" * 32 + ".npy", "b" * 32 + ".npy", "b" * 32 + ".tmp", "c" * 32 + ".npz"):
        (folder / name).write_bytes(bytes(1000))
    (folder / "lock").touch()
    images = images_of(photos, range(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(build(images, kept, **where), images)
    assert stored_images(kept) == 4
    assert {path.suffix for path in folder.iterdir()} == {".npy", ".npz"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@WHERE
def test_killed_run_leaves_nothing_that_the_next_does_not_clear(
    make_photos: MakePhotos, tmp_path: Path, where: dict[str, int]
) -> None:
    kept = tmp_path / "kept"
    images = images_of(make_photos(5), range(5))

    def die(done: int, total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        build(images, kept, progress=die, **where)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert stored_images(kept) == 5
    (folder,) = kept.iterdir()
    assert len(list(folder.glob("*.npz"))) == 0
    assert_right(build(images, kept, **where), images)
    assert stored_images(kept) == 5
    assert len(list(folder.iterdir())) == 2
