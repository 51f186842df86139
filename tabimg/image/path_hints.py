"""Guess why the paths of photos lead nowhere. The work is bounded: no folder is walked."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

from tabimg.image.cells import is_address
from tabimg.image.misfits import LONGEST_NAME, LONGEST_PATH, explain_text
from tabimg.image.words import quoted

N_LOOKED_AT = 1000
N_PROBED = 5
N_LISTED = 20_000
N_SUBFOLDERS = 100
N_PARENTS = 3
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


def explain(
    given: Sequence[str], paths: Sequence[str], *, all_missing: bool, has_loader: bool = True
) -> str:
    """Say what is probably wrong with the paths of missing files, and what to do.

    Parameters
    ----------
    given : sequence of str
        What the cells hold; ``""`` if unknown.
    paths : sequence of str
        Where the files were expected.
    all_missing : bool
        Whether no photo was found: image_root may be the wrong folder.
    has_loader : bool, default=True
        Whether the caller has a parameter ``image_loader`` that a hint may name.

    Returns
    -------
    str
        A sentence or two; empty if there is nothing to say.
    """
    given, paths = given[:N_LOOKED_AT], paths[:N_LOOKED_AT]
    address = next(filter(is_address, paths), None)
    if address is not None:
        return _explain_address(address, has_loader)
    probed = list(zip(given, paths, strict=True))[:N_PROBED]
    hint = next(filter(None, (_explain_text(*each, has_loader) for each in probed)), "")
    if hint:
        return hint
    root = next(filter(None, map(_root_of, given, paths)), None)
    if root is None:
        return _explain_folder(paths[0])
    hint = _explain_root(root) + _find_elsewhere(root, given, all_missing)
    start = f"Relative paths start at image_root, {quoted(root)}."
    return hint.strip() or _explain_folder(paths[0]) or start


def near_name(path: str) -> str:
    """Show a file in the same folder with a similar name to a missing one, in parentheses."""
    folder, wanted = os.path.split(path)
    if len(wanted) > LONGEST_NAME:
        return ""
    try:
        names = _list_folder(folder)
    except (OSError, ValueError):
        return ""
    if wanted in names:
        return " (there is a link of this name, which leads nowhere)"
    normal = _normal(wanted)
    alike = [name for name in names if _normal(name) == normal]
    alike = alike or [name for name in names if _stem(_normal(name)) == _stem(normal)]
    if not alike and len(wanted) < N_SUBFOLDERS:
        # Numbered files differ in one digit only, and are not the same.
        rivals = [name for name in names if _numbers(name) == _numbers(wanted)]
        alike = difflib.get_close_matches(wanted, rivals[:N_LOOKED_AT], n=1)
    if not alike:
        return ""
    same_form = unicodedata.normalize("NFC", alike[0]) == unicodedata.normalize("NFC", wanted)
    return f" (there is {alike[0]!r}{', in another Unicode form' if same_form else ''})"


def _explain_address(address: str, has_loader: bool) -> str:
    scheme = address.partition(":")[0].casefold()
    if scheme == "data":
        return (
            "A data URI holds the photo itself: decode it, base64.b64decode(cell.split(',', 1)[1]);"
            " bytes are taken as photos."
        )
    if scheme == "file":
        return "Photos are given by path, not as file: URLs: leave 'file://' out."
    loader = ", or give image_loader=, a function that fetches what a cell names"
    return (
        "These are web or storage addresses (URLs), and photos have to be files: download them"
        f"{loader if has_loader else ''}."
    )


def _explain_text(given: str, path: str, has_loader: bool) -> str:
    """Recognise text that is not a path, or is one of another operating system."""
    hint = explain_text(given or path)
    if hint:
        return hint
    if "\\" in given and os.sep != "\\":
        return (
            "Paths are written with backslashes, which separate folders on Windows only: "
            r"replace them, frame[column].str.replace('\\', '/', regex=False)."
        )
    if os.path.isdir(path):
        loader = "; image_loader= may open a folder as one picture" if has_loader else ""
        return f"To take the photos of a folder, list them in the cell{loader}."
    if not os.path.splitext(given)[1] and near_name(path):
        return (
            "Names without a suffix are not paths: add it, or let "
            "tabimg.datasets.load_paired(..., key_column=...) find the photos of these names."
        )
    return ""


def _explain_root(root: str) -> str:
    if os.path.isdir(root):
        return ""
    if os.path.exists(root):
        return f" image_root has to be a folder, and {quoted(root)} is a file."
    gone = _first_gone(root)
    what = "it is image_root" if gone == root else f"image_root is {quoted(root)}"
    return f" The folder {quoted(gone)} does not exist{near_name(gone)}: {what}."


def _find_elsewhere(root: str, given: Sequence[str], all_missing: bool) -> str:
    """Find the folder that relative paths really start from, or a part they have in excess."""
    may_be_there = [each for each in given if 0 < len(each) <= LONGEST_PATH]
    relative = [each for each in may_be_there if not os.path.isabs(each)]
    found = {folder: _count(folder, relative) for folder in _other_roots(root)}
    best = max(found, key=found.__getitem__)
    if found[best]:
        remedy = f": image_root={best!r}" if all_missing else ""
        return f" {found[best]} of {len(relative)} are found under {quoted(best)}{remedy}."
    tails = [each.partition("/")[2] for each in relative]
    n_found = _count(root, tails)
    if not n_found:
        return ""
    first = relative[0].partition("/")[0]
    return (
        f" {n_found} of {len(relative)} are found in {quoted(root)} itself: drop the leading "
        f"{first + '/'!r} from the cells."
    )


def _explain_folder(path: str) -> str:
    """Name the first folder on the way to a file that does not exist."""
    folder = os.path.dirname(path)
    if os.path.exists(folder):
        return ""
    folder = _first_gone(folder)
    return f"The folder {quoted(folder)} does not exist{near_name(folder)}."


def _first_gone(folder: str) -> str:
    """Return the first folder that does not exist on the way to a missing one."""
    while not os.path.exists(os.path.dirname(folder)):
        folder = os.path.dirname(folder)
    return folder


def _root_of(given: str, path: str) -> str | None:
    """Return the folder that a relative path was joined to."""
    if not given or os.path.isabs(given) or is_address(path):
        return None
    tail = os.sep + os.path.normpath(given)
    return path.removesuffix(tail) or os.sep if path.endswith(tail) else None


def _other_roots(root: str) -> Iterable[str]:
    """List folders above and below that image_root may have meant."""
    parent = root
    for _ in range(N_PARENTS):
        parent = os.path.dirname(parent)
        yield parent
    if os.path.isdir(root):
        with os.scandir(root) as entries:
            yield from (entry.path for entry in islice(entries, N_SUBFOLDERS) if entry.is_dir())


def _count(folder: str, given: Sequence[str]) -> int:
    """Count the files that are found from a folder, where a few probed ones are."""
    paths = [os.path.join(folder, each) for each in given if each]
    if not any(map(os.path.isfile, paths[:N_PROBED])):
        return 0
    return sum(map(os.path.isfile, paths))


def _list_folder(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, N_LISTED)]


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _stem(name: str) -> str:
    return _SUFFIX.sub("", name)


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]+", _SUFFIX.sub("", name))]
