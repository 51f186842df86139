"""Folders of checkpoints: one per unfinished fit, locked by the process that works on it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabimg.locks import lock, open_locked
from tabimg.messages import warn
from tabimg.serialization import read_directory, write_directory

HEADER = "fit"
LOCK = "lock"
_FIT = re.compile(r"fit-[0-9a-f]{32}")
_STAGE = re.compile(r"stage-[0-9a-f]{32}(-\d+)?")
# Left behind by a killed write: inside a fit's folder, or beside it in older versions.
_SCRATCH = re.compile(r"\.(fit|stage-[0-9a-f]{32}(-\d+)?|[0-9a-f]{32})-[0-9a-f]{32}.*")
_SHOWN = 3

Identity = Mapping[str, str]


@dataclass(eq=False)
class FitFolder:
    """The checkpoints of one unfinished fit.

    Parameters
    ----------
    path : Path
    seed : int
        The fit's seed, drawn by the process that started it.
    resumed : bool
        Whether an earlier process started it.
    """

    path: Path
    seed: int
    resumed: bool
    _lock: int
    _known: set[str] = field(default_factory=set)

    @classmethod
    def claim(cls, directory: Path, identity: Identity, seed: int) -> FitFolder:
        """Take over the folder of an interrupted fit with the same identity, or start a new one.

        Parameters
        ----------
        directory : Path
            Shared by any number of fits, in any number of processes.
        identity : mapping of str to str
            A digest of everything that shapes the result, by the name shown in messages.
        seed : int
            For a new fit.

        Warns
        -----
        UserWarning
            If there is something, but nothing that can be taken over; says why.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(directory):
            _sweep(directory)
            reasons = []
            for entry in sorted(directory.iterdir()):
                found = _examine(entry, identity)
                if isinstance(found, FitFolder):
                    return found
                if found:
                    reasons.append(f"{entry.name}: {found}")
            _say(reasons, f"{directory} holds nothing that this fit can resume from")
            return cls._begin(directory, identity, seed)

    @classmethod
    def _begin(cls, directory: Path, identity: Identity, seed: int) -> FitFolder:
        path = directory / f"fit-{uuid.uuid4().hex}"
        path.mkdir()
        (path / LOCK).touch()
        handle = _hold(path)
        assert handle is not None  # it is new, and no other process looks for fits meanwhile
        write_directory(path / HEADER, {"identity": dict(identity), "seed": seed})
        return cls(path, seed, False, handle)

    def stage(self, fingerprint: str) -> Path:
        """Return the path of one stage's checkpoint, which may already exist."""
        path = self.path / f"stage-{fingerprint}"
        self._known.add(path.name)
        if self.resumed and not os.path.lexists(path):
            self._report_strangers()
        return path

    def put_aside(self, path: Path, reason: str) -> Path:
        """Warn that a stage's checkpoint cannot be used, and return another path for it."""
        _say([f"{path.name}: {reason}"], f"{self.path} holds a checkpoint that cannot be used")
        number = 1
        while os.path.lexists(other := path.with_name(f"{path.name}-{number}")):
            number += 1
        self._known.update((path.name, other.name))
        return other

    def _report_strangers(self) -> None:
        names = {entry.name for entry in self.path.iterdir()} - self._known - {HEADER, LOCK}
        strangers = sorted(name for name in names if not _FIT.fullmatch(name))
        self._known.update(strangers)
        reasons = [f"{name}: of no stage of this fit" for name in strangers]
        _say(reasons, f"{self.path} holds checkpoints that this stage cannot resume from")

    def remove(self) -> None:
        """Remove what a fit wrote, at its end; foreign files stay."""
        with _alone_in(self.path.parent):
            self.release()
            _remove_ours(self.path)
        if self.path.exists():
            left = ", ".join(repr(p.name) for p in sorted(self.path.iterdir())[:_SHOWN])
            warn(f"{self.path} is kept, since it also holds other files: {left}")

    def leave(self) -> None:
        """End a failed fit: the stages it finished are kept for the next one."""
        if any(self.path.rglob("stage-*")):
            self.release()
        else:
            self.remove()

    def release(self) -> None:
        """Let other processes take over the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _examine(entry: Path, identity: Identity) -> FitFolder | str:
    """Take over an entry with the wanted identity, or say why not; "" is not worth a warning."""
    if entry.name in (HEADER, LOCK) or _STAGE.fullmatch(entry.name):
        return ""  # inside another fit's folder
    if not (entry / LOCK).is_file():
        return "not a checkpoint of this version of tabimg"
    try:
        handle = _hold(entry)
    except OSError as error:  # another user's
        return f"cannot be opened ({error.strerror})"
    if handle is None:
        return ""  # another process works there
    found = _read_header(entry, identity)
    if isinstance(found, int):
        _sweep(entry)
        return FitFolder(entry, found, True, handle)
    os.close(handle)
    return found


def _read_header(entry: Path, identity: Identity) -> int | str:
    """Read the seed of a fit with the wanted identity, or say what is wrong."""
    try:
        header = read_directory(entry / HEADER)
        found, seed = dict(header["identity"]), int(header["seed"])
    except Exception as error:  # the content may be wrong in any way
        return f"cannot be read ({str(error)[:200] or type(error).__name__})"
    if found == dict(identity):
        return seed
    keys = sorted({*found, *identity}, key=str)
    differing = [str(key) for key in keys if found.get(key) != identity.get(key)]
    shown = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
    return f"another run, which differs in {shown}"


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keep other processes from starting, taking over or removing a fit here meanwhile."""
    handle = None
    with suppress(OSError):  # a system without locks on folders
        handle = open_locked(directory, wait=True)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _hold(folder: Path) -> int | None:
    """Lock a fit's folder until this process ends; None if another one has it."""
    handle = os.open(folder / LOCK, os.O_RDWR)
    try:
        if sys.platform != "win32":  # where `_alone_in` does not lock either
            lock(handle)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        pass
    return handle


def _sweep(directory: Path) -> None:
    """Remove what killed writes left; no live run writes here, since each has its own folder."""
    for entry in list(directory.iterdir()):
        if _SCRATCH.fullmatch(entry.name):
            _remove(entry)
        elif _FIT.fullmatch(entry.name) and _never_began(entry):
            _remove_ours(entry)


def _never_began(folder: Path) -> bool:
    """Return whether a fit was killed before its folder held anything."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {entry.name for entry in folder.iterdir() if not _SCRATCH.fullmatch(entry.name)}
    return names <= {LOCK}


def _remove_ours(folder: Path) -> None:
    """Remove what a fit wrote, and the folder unless it holds something else."""
    for entry in list(folder.iterdir()):
        if entry.name == HEADER or any(p.fullmatch(entry.name) for p in (_FIT, _STAGE, _SCRATCH)):
            _remove(entry)
    (folder / LOCK).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def _say(reasons: list[str], what: str) -> None:
    if reasons:
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        shown = f"{'; '.join(reasons[:_SHOWN])}{more}"
        message = f"{what}, so training starts from the beginning ({shown})"
        # Names of foreign files may hold characters that no terminal can write.
        warn(message.encode(errors="backslashreplace").decode())


# --- the fit in progress -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Active:
    folder: FitFolder | None
    held: list[FitFolder]


_ACTIVE: ContextVar[_Active | None] = ContextVar("active_fit", default=None)


def active_folder() -> FitFolder | None:
    """Return the folder of the innermost fit in progress, if it writes checkpoints."""
    active = _ACTIVE.get()
    return None if active is None else active.folder


@contextmanager
def checkpointed(directory: Any, identity: Callable[[], Identity], seed: int) -> Iterator[int]:
    """Keep the checkpoints of a fit until the outermost fit around it has returned.

    A fit inside another one, without its own directory, writes to the outer fit's folder.

    Parameters
    ----------
    directory : path or None
    identity : callable
        Returns the fit's identity; see `FitFolder.claim`.
    seed : int

    Yields
    ------
    int
        The seed to fit with: that of the interrupted fit if there is one to resume.
    """
    outer = _ACTIVE.get()
    held = [] if outer is None else outer.held
    around = active_folder()
    where = directory if directory is not None or around is None else around.path
    folder = None
    if where is not None:
        folder = FitFolder.claim(Path(where), identity(), seed)
        held.append(folder)
    token = _ACTIVE.set(_Active(folder, held))
    try:
        yield seed if folder is None else folder.seed
        if outer is None:
            while held:
                held.pop().remove()
    finally:
        _ACTIVE.reset(token)
        if outer is None:
            for each in reversed(held):
                each.leave()
