"""Keep decoded images in a folder, so that later runs need not decode them again.

The folder holds each image once. Runs add shards and remove them, but never change one, so others
may have it mapped. Images that nobody can ask for any more, because their file was changed, moved
or removed, are dropped when shards are rewritten. Only the run that holds the folder's lock changes
it; whatever it finds unfinished was left behind by a run that was killed. The folder may be deleted
whenever no run uses it.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tabimg.files import NO_SPACE, writing_to
from tabimg.image.folder_lock import LOCK_NAME, folder_lock
from tabimg.image.pixel_file import ForeignFileError, Shape
from tabimg.image.shard_search import Place, ShardSearch, Wanted
from tabimg.image.shards import (
    ADVICE,
    INDEX,
    PIXELS,
    Photo,
    Shard,
    read_shard,
    remove_files,
    write_shard,
)
from tabimg.messages import listing

OUR_FILE = re.compile(r"[0-9a-f]{32}\.(npy|npz|tmp)")

# From ids to pairs of id and pixels, without those that cannot be read.
Decode = Callable[[list[int]], Iterator[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Holdings:
    """Where wanted images lie, by id, and what to report about the folder."""

    places: dict[int, Place]
    problems: list[str]


@dataclass(frozen=True)
class _Content:
    """What lies in the folder."""

    shards: list[Shard] = field(default_factory=list)
    unusable: dict[Path, Exception] = field(default_factory=dict)
    unfinished: list[Path] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


class ShardFolder:
    """The shards of images that were made in one way.

    Parameters
    ----------
    cache_dir : str or Path
        Folder for shards of all kinds; created if missing.
    name : str
        Of this kind: what was made, and everything that decides how, as a folder's name.
    shape : tuple of int
        Of one image.
    """

    def __init__(self, cache_dir: str | os.PathLike[str], name: str, shape: Shape) -> None:
        self.folder = Path(cache_dir) / name
        self.shape = shape
        self.scope = name.encode()

    def obtain(self, wanted: Mapping[int, Wanted], decode: Decode) -> Holdings:
        """Map the images that are kept here, and add those that are not yet.

        Parameters
        ----------
        wanted : mapping of int to Wanted
            By id.
        decode : callable
            From a list of ids to pairs of id and pixels, without those that cannot be read.

        Returns
        -------
        Holdings
            If another run holds the lock and does not progress, images may be missing from it.

        Raises
        ------
        OSError
            If something has to be added and cannot be written. The folder stays as it was.
        """
        with ExitStack() as stack:
            with writing_to(self.folder, len(wanted) * math.prod(self.shape), ADVICE):
                self.folder.mkdir(parents=True, exist_ok=True)
                kept = {key for shard in self._content().shards for key in shard.keys}
                needed = not kept.issuperset(image.key for image in wanted.values())
                locked = stack.enter_context(folder_lock(self.folder, needed=needed))
            content = self._content()
            search = ShardSearch(content.shards, wanted)
            if locked:
                _remove_remains(content)
                added = self._add(search, wanted, decode)
                return Holdings(search.places | added, self._problems(content, search))
        return Holdings(search.places, [])

    def _content(self) -> _Content:
        content = _Content()
        suffixes: dict[str, set[str]] = {}
        for entry in os.scandir(self.folder):
            if OUR_FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                stem, suffix = os.path.splitext(entry.name)
                suffixes.setdefault(stem, set()).add(suffix)
            elif entry.name != LOCK_NAME:
                content.foreign.append(entry.name)
        for stem in sorted(suffixes):
            name = self.folder / stem
            if suffixes[stem] != {PIXELS, INDEX}:
                content.unfinished.append(name)
                continue
            try:
                content.shards.append(read_shard(name, self.scope, self.shape))
            except FileNotFoundError:
                pass  # another run has just removed it
            except (ForeignFileError, OSError) as error:
                content.unusable[name] = error
        return content

    def _problems(self, content: _Content, search: ShardSearch) -> list[str]:
        problems = [
            f"{name}{PIXELS} and {INDEX} cannot be used ({error})"
            for name, error in content.unusable.items()
        ]
        problems += [
            f"{number} photos in {shard.name}{PIXELS} are damaged: their checksums do not match"
            for shard, number in search.damaged.items()
        ]
        if content.foreign:
            problems.append(
                f"{self.folder} holds what tabimg did not write: "
                f"{listing(sorted(content.foreign))}. Move it elsewhere"
            )
        return problems

    def _add(
        self, search: ShardSearch, wanted: Mapping[int, Wanted], decode: Decode
    ) -> dict[int, Place]:
        """Write a shard of what is missing and of what is left of the shards it replaces."""
        missing = [index for index in wanted if index not in search.places]

        def photos(old: list[Shard]) -> Iterator[Photo]:
            for shard in old:
                sound = (row for row in search.living[shard] if shard.is_sound(row))
                yield from map(shard.photo, sound)
            for index, pixels in decode(missing):
                yield Photo(*wanted[index], pixels)

        def write(old: list[Shard]) -> Shard | None:
            n_most = len(missing) + sum(len(search.living[shard]) for shard in old)
            name = self.folder / uuid.uuid4().hex
            return write_shard(name, self.scope, self.shape, photos(old), n_most)

        if missing:
            search.forget_outdated()
        old = search.to_rewrite(len(missing))
        if not missing and not old:
            return {}
        try:
            new = write(old)
        except OSError as error:
            if error.errno not in NO_SPACE or not old:
                raise
            # There may still be room for what is missing alone.
            old, new = [], write([])
        for shard in old:
            remove_files(shard.name)
        return {} if new is None else search.places_in(new)


def _remove_remains(content: _Content) -> None:
    for name in content.unfinished:
        remove_files(name)
    for name, error in content.unusable.items():
        # A file that cannot be opened may be intact, and another user's.
        if isinstance(error, ForeignFileError):
            remove_files(name)
