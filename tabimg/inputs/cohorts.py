"""User input, one frame or several, split by cohort."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tabimg.image import RowImages
from tabimg.inputs.checks import check_frame
from tabimg.inputs.cohort_names import is_nameless, plain_cohort
from tabimg.inputs.containers import holds_several
from tabimg.inputs.frames import as_column_list, is_frame, require_columns
from tabimg.inputs.rows import Rows, take_apart
from tabimg.inputs.stacking import stack_known_columns
from tabimg.messages import listing, shorten


def split(
    X: Any,
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None = None,
    frame: str = "X",
) -> list[Rows]:
    """Split user input by cohort.

    Cohorts come in the order in which they first appear.

    Parameters
    ----------
    X : DataFrame, array, or mapping of cohort name to DataFrame
    cohort_column : column label or None
        Column with the cohorts' names; if a frame lacks it, all rows are one cohort. A mapping
        names them itself.
    image_column, group_column, image_paths, frame
        As in `take_apart`.

    Raises
    ------
    ValueError, TypeError
        As `take_apart`; also if a row has no cohort, or a mapping is empty or holds no frames.
    """
    check_container(X)
    if holds_several(X):
        return _split_mapping(X, cohort_column, image_column, group_column, image_paths, frame)
    return by_cohort(take_apart(X, image_column, group_column, image_paths, frame, cohort_column))


def by_cohort(rows: Rows) -> list[Rows]:
    """Split the rows of one frame by the cohorts that it names, in the order of their first row."""
    if rows.cohorts is None:
        return [rows]
    places, found = pd.factorize(rows.cohorts.names(), sort=False)
    return [
        replace(rows.take(np.flatnonzero(places == place)), cohort=plain_cohort(name), cohorts=None)
        for place, name in enumerate(found.tolist())
    ]


def check_container(X: Any) -> None:
    """Refuse what cannot hold cohorts.

    Raises
    ------
    ValueError, TypeError
        If a mapping is empty, or frames come as a list.
    """
    if holds_several(X) and not X:
        raise ValueError("X is a mapping of cohorts without any cohort")
    if isinstance(X, (list, tuple)) and any(is_frame(part) for part in X):
        raise TypeError("X is a list of frames: give a mapping of cohort name to frame")


def _split_mapping(
    frames: Mapping[Any, Any],
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None,
    whole: str,
) -> list[Rows]:
    if image_paths is not None:
        raise ValueError("image_paths goes with one frame; a mapping's frames have image columns")
    cohorts: list[Rows] = []
    start = 0
    for key, frame in frames.items():
        name = plain_cohort(key)
        if name in [rows.cohort for rows in cohorts]:
            raise ValueError(f"two cohorts are named {shorten(name)}: rename one")
        if is_nameless(key):
            raise ValueError(f"a cohort is named {shorten(key)}: give it a name")
        if not is_frame(frame):
            raise TypeError(
                f"cohort {shorten(name)} must be a DataFrame, got {type(frame).__name__}: the "
                "names of its columns say what they mean"
            )
        words = f"cohort {shorten(name)}" + ("" if whole == "X" else f" of {whole}")
        # Frames that were cut out of a common one still have the column.
        rows = take_apart(frame, image_column, group_column, None, words, cohort_column)
        _check_named_alike(name, rows.cohort_names())
        places = np.arange(start, start + len(rows))
        start += len(rows)
        cohorts.append(replace(rows, places=places, cohort=name, cohorts=None))
    return cohorts


def _check_named_alike(name: str | int, names: Sequence[str | int]) -> None:
    """Check that a frame's own column names the cohort as the mapping does."""
    other = [each for each in names if each != name]
    if other:
        raise ValueError(
            f"the frame of cohort {shorten(name)} calls its rows {shorten(other[0])}: rename one"
        )


def index_of(X: Any) -> pd.Index | None:
    """Return the index of the rows of a mapping's pandas frames; None for anything else."""
    if not holds_several(X) or not all(isinstance(frame, pd.DataFrame) for frame in X.values()):
        return None
    first, *others = (frame.index for frame in X.values())
    return first.append(others)


def images_of(
    X: Any,
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None,
    root: Any,
) -> RowImages:
    """Collect the photos of user input, in the order of its rows."""
    cohorts = split(X, cohort_column, image_column, group_column, image_paths)
    images = RowImages.concat([rows.images(root) for rows in cohorts])
    return images.take(np.argsort(np.concatenate([rows.places for rows in cohorts])))


def require_image_columns(X: Any, image_column: Any) -> None:
    """Check that the image columns are there; with several frames, each may lack them."""
    wanted = as_column_list(image_column)
    if not holds_several(X):
        require_columns(X, wanted, "image_column")
        return
    for name in wanted:
        require_in_some(X, name, "image_column")


def require_in_some(frames: Mapping[Any, Any], name: Hashable, parameter: str) -> None:
    """Check that at least one of several frames, if there are any, has a declared column."""
    columns = [c for frame in frames.values() if is_frame(frame) for c in frame.columns]
    if columns and name not in columns:
        raise ValueError(
            f"{parameter}={shorten(name)} is not a column of any cohort: "
            f"[{listing(dict.fromkeys(columns))}]"
        )


def require_declared(
    X: Any,
    cohort_column: Hashable | None,
    image_column: Any,
    group_column: Hashable | None,
    image_paths: Sequence[Any] | None,
) -> None:
    """Check that declared columns are there; of several frames each may lack photos or groups."""
    if image_paths is None:
        require_image_columns(X, image_column)
    if holds_several(X):
        if group_column is not None:
            require_in_some(X, group_column, "group_column")
        return
    for name, parameter in ((group_column, "group_column"), (cohort_column, "cohort_column")):
        if name is not None:
            require_columns(X, [name], parameter)


def check_cohort_frames(estimator: Any, cohorts: Sequence[Rows]) -> None:
    """Check the shape and the names of each cohort's frame."""
    for rows in cohorts:
        try:
            if is_frame(rows.table):
                check_frame(estimator, rows.table)
        except ValueError as error:
            raise ValueError(f"cohort {shorten(rows.cohort)}: {error}") from error


def stack_cohort(parts: Sequence[Rows]) -> Any:
    """Stack the tables of one cohort, labelled rows and unlabeled ones; each may lack columns.

    Raises
    ------
    ValueError
        If they share no column, or do not go together.
    """
    first, *others = (part.table for part in parts)
    if not others:
        return first
    name = shorten(parts[0].cohort)
    for other in others:
        frames = is_frame(first) and is_frame(other)
        if frames and not set(first.columns) & set(other.columns):
            raise ValueError(
                f"the unlabeled rows of cohort {name} have none of its columns "
                f"[{listing(first.columns)}]. Rows of another cohort go into a mapping, by its "
                "name: Unlabeled({'name': frame})"
            )
    try:
        return stack_known_columns(first, *others)
    except ValueError as error:
        raise ValueError(f"cohort {name}: {error}") from error
