"""Near-duplicate rows and photos, and the column that identifies which belong together.

They are looked for across groups, which a split could separate: scores are too good if a test row
has a near duplicate among the training rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tabimg.evaluation.foundation import related_rows
from tabimg.messages import shorten, warn
from tabimg.table import ColumnKind, RawColumn

# Cells of numeric columns count as equal within this share of the standard deviation.
TOLERANCE = 0.01
# Two random rows have the same cell with at most this probability: only columns with that many
# values show that rows are duplicates.
FINE = 0.1
# A warning takes this many times more duplicates than chance explains, and these shares of rows.
BEYOND_CHANCE = 10.0
SHARE_OF_ROWS = 0.02
SHARE_OF_PHOTOS = 0.05
# Squared distance of photos, as a share of the mean one.
NEAR_PHOTOS = 0.08
MOST_ROWS = 20_000
MOST_PHOTOS = 2_000
MOST_COLUMNS = 100
BLOCK = 500
# A column ties related rows together if it is equal in this share of their pairs.
TIED = 0.75
# All rows with a value have the same target for this share of the values, and not by chance.
PURE = 0.95
CERTAIN = 1e-6
CELLS = "have cells that equal or nearly equal, in all columns but at most one, those"
LOOKS = "have photos that look nearly like those"


def near_equal_rows(columns: Sequence[RawColumn], groups: np.ndarray) -> np.ndarray | None:
    """Find rows of different groups that are equal, or nearly so, in all columns but at most one.

    Parameters
    ----------
    columns : sequence of RawColumn
        Without the photo and group columns.
    groups : int array of shape (n_rows,)

    Returns
    -------
    int array of shape (n_rows,), or None
        One number for rows that are duplicates, directly or through others, -1 for other rows. None
        if there are no more of them than the columns' few values produce by chance.
    """
    if not columns or len(columns[0]) > MOST_ROWS:
        return None
    found = []
    for grid in (0.0, 0.5):
        codes = [_codes(column, grid) for column in columns]
        chance = np.array([_chance_of_equal(code) for code in codes])
        for kept, key in _keys(codes):
            fine = chance[kept][chance[kept] <= FINE]
            ids = _crossing(key, groups)
            if len(fine) and _is_beyond_chance(ids, float(np.prod(fine))):
                found.append(ids)
    return _numbered(found)


def near_equal_photos(numbers: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Find rows of different groups whose photos look nearly the same.

    Parameters
    ----------
    numbers : float32 array of shape (n_rows, n_numbers)
        As from `photo_numbers`; zeros if a row has no photo.
    groups : int array of shape (n_rows,)

    Returns
    -------
    int array of shape (n_rows,), or None
        As from `near_equal_rows`.
    """
    norms = (numbers.astype(np.float64) ** 2).sum(axis=1)
    rows = np.flatnonzero(norms > 0)[:MOST_PHOTOS]
    if len(rows) < 2:
        return None
    seen, squares, group = numbers[rows], norms[rows], groups[rows]
    nearest, near = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=bool)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        distance = squares[block, None] + squares - 2 * (seen[block] @ seen.T)
        distance[group[block, None] == group] = np.inf
        nearest[block] = distance.argmin(axis=1)
        near[block] = distance.min(axis=1) <= 2 * NEAR_PHOTOS * squares.mean()
    # Only nearest neighbours are linked: long chains would join dissimilar photos.
    links = np.where(near, nearest, np.arange(len(rows)))
    things = _joined(len(rows), np.arange(len(rows)), links)
    ids = np.full(len(numbers), -1)
    linked = near | np.isin(np.arange(len(rows)), nearest[near])
    ids[rows[linked]] = things[linked]
    return ids if linked.sum() > SHARE_OF_PHOTOS * len(rows) else None


def tying_column(ids: np.ndarray, columns: Sequence[RawColumn]) -> int | None:
    """Return the position of the column whose values tie together just the duplicate rows.

    Parameters
    ----------
    ids : int array of shape (n_rows,)
        As from `near_equal_rows`.
    columns : sequence of RawColumn

    Returns
    -------
    int or None
        Among columns of names or whole numbers, the one with the most values.
    """
    best, best_chance = None, FINE
    doubles = ids >= 0
    for position, column in enumerate(columns):
        if not _may_name_groups(column):
            continue
        codes = pd.factorize(column.values)[0]
        chance = _chance_of_equal(codes)
        tied = _n_pairs(pd.Series(ids[doubles]), codes[doubles]) / _n_pairs(ids[doubles])
        if tied >= TIED and 0 < chance < best_chance:
            best, best_chance = position, chance
    return best


def column_of_things(
    columns: Sequence[RawColumn], target: RawColumn, groups: np.ndarray
) -> int | None:
    """Return the position of a column that seems to name things shown by several rows.

    Parameters
    ----------
    columns : sequence of RawColumn
    target : RawColumn
    groups : int array of shape (n_rows,)

    Returns
    -------
    int or None
        Among columns with many values, each in few rows of different groups, whose rows all have
        the same target, and not by chance: the one with the most values.
    """
    best, best_chance = None, FINE
    goal = pd.factorize(target.values)[0]
    shuffled = np.random.default_rng(0).permutation(goal)
    for position, column in enumerate(columns):
        if not _may_name_groups(column):
            continue
        codes = pd.factorize(column.values)[0]
        ids = _crossing(codes, groups)
        n_things, chance = len(np.unique(ids[ids >= 0])), _chance_of_equal(codes)
        if (ids >= 0).sum() < len(ids) / 2 or chance >= best_chance:
            continue
        by_chance = _share_of_one_target(ids, shuffled)
        is_certain = by_chance == 0 or n_things * np.log(by_chance) < np.log(CERTAIN)
        if (
            is_certain
            and _share_of_one_target(ids, goal) >= PURE
            and not _is_followed(column, ids, goal)
        ):
            best, best_chance = position, chance
    return best


def warn_of_doubles(ids: np.ndarray | None, alike: str, columns: Sequence[RawColumn]) -> None:
    """Warn of rows or photos that a split could separate, and name the column that ties them."""
    if ids is None:
        return
    place = tying_column(ids, columns)
    if place is None:
        remedy = "give a group_column that keeps rows of one thing together"
    else:
        name = columns[place].name
        remedy = f"column {shorten(name)} ties them: did you mean group_column={shorten(name)}?"
    warn(
        f"{(ids >= 0).sum()} of {len(ids)} rows {alike} of other rows, and may be on both sides of "
        f"a split, which makes scores too good; {remedy}"
    )


def warn_of_related_rows(
    columns: Sequence[RawColumn], target: RawColumn, groups: np.ndarray
) -> None:
    """Warn of near-equal rows, or else of a column that seems to name groups of rows."""
    doubles = near_equal_rows(columns, groups)
    if doubles is not None:
        warn_of_doubles(doubles, CELLS, columns)
        return
    place = column_of_things(columns, target, groups)
    if place is not None:
        name, values = columns[place].name, columns[place].values
        warn(
            f"column {shorten(name)} has {pd.Series(values).nunique()} values in {len(values)} "
            "rows, and all rows with a value have the same target: if they show the same thing, "
            f"they must not be on both sides of a split, group_column={shorten(name)}"
        )


def _codes(column: RawColumn, grid: float) -> np.ndarray:
    """Number the cells so that equal, or near-equal, ones mostly get one number; missing is -1.

    Two values on both sides of a border in one grid are in one field of the other grid.
    """
    if column.kind.is_discrete:
        return pd.factorize(column.values)[0]
    missing = np.isnan(column.values)
    width = np.nanstd(column.values) * TOLERANCE if not missing.all() else 0.0
    fields = np.floor(column.values / (width or 1.0) + grid)
    return pd.factorize(np.where(missing, np.nan, fields))[0]


def _keys(codes: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a key of each row's cells: in all columns, then in all but one."""
    salts = np.random.default_rng(0).integers(1, 2**63, size=len(codes), dtype=np.uint64)
    hashes = [
        _mixed(code.astype(np.uint64) + salt) for code, salt in zip(codes, salts, strict=True)
    ]
    total = np.asarray(np.sum(hashes, axis=0, dtype=np.uint64))
    places = np.arange(len(codes))
    yield places, total
    if 3 <= len(codes) <= MOST_COLUMNS:
        for left_out, hashed in enumerate(hashes):
            yield np.flatnonzero(places != left_out), np.asarray(total - hashed)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Scatter 64-bit numbers; the finaliser of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _crossing(key: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Number the rows whose key occurs in several groups; -1 for the others and for key -1."""
    ids = pd.factorize(key)[0]
    pairs = pd.DataFrame({"id": ids, "group": groups}).drop_duplicates()
    n_groups = np.bincount(pairs["id"], minlength=int(ids.max(initial=0)) + 1)
    is_known = np.ones(len(key), dtype=bool) if key.dtype == np.uint64 else key >= 0
    return np.where((n_groups[ids] > 1) & is_known, ids, -1)


def _is_beyond_chance(ids: np.ndarray, chance: float) -> bool:
    n_rows, doubles = len(ids), ids[ids >= 0]
    expected = chance * n_rows * (n_rows - 1) / 2
    return len(doubles) > SHARE_OF_ROWS * n_rows and _n_pairs(doubles) > BEYOND_CHANCE * expected


def _n_pairs(*ids: np.ndarray | pd.Series) -> int:
    """Count the pairs of rows that have equal ids in all arrays."""
    counts = pd.DataFrame(dict(enumerate(ids))).value_counts().to_numpy()
    return int((counts * (counts - 1) // 2).sum())


def _chance_of_equal(codes: np.ndarray) -> float:
    """Probability that two random rows have the same cell."""
    return _n_pairs(codes) / max(len(codes) * (len(codes) - 1) / 2, 1)


def _numbered(found: Sequence[np.ndarray]) -> np.ndarray | None:
    if not found:
        return None
    ids = related_rows(*found)
    return np.where(np.max(found, axis=0) >= 0, ids, -1)


def _joined(n_rows: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number rows by the components that pairs join."""
    row = np.concatenate([np.arange(n_rows), first])
    pair = np.concatenate([np.arange(n_rows), second])
    return related_rows(row, pair)[:n_rows]


def _may_name_groups(column: RawColumn) -> bool:
    """Whether values are names or whole numbers."""
    if column.kind.is_discrete:
        return True
    values = column.values[~np.isnan(column.values)]
    return column.kind is ColumnKind.NUMERIC and bool((values == np.round(values)).all())


def _share_of_one_target(ids: np.ndarray, goal: np.ndarray) -> float:
    """Share of the ids, except -1, whose rows all have the same target."""
    known = ids >= 0
    if not known.any():
        return 0.0
    return float((pd.Series(goal[known]).groupby(ids[known]).nunique() == 1).mean())


def _is_followed(column: RawColumn, ids: np.ndarray, goal: np.ndarray) -> bool:
    """Whether the target follows a quantity, so that adjacent values share a target, too."""
    if column.kind.is_discrete:
        return False
    known = ids >= 0
    places = np.unique(column.values[known], return_inverse=True)[1]
    dealt = np.random.default_rng(0).permutation(places.max() + 1)[places]
    by_value, by_chance = (
        _share_of_one_target(order // 2, goal[known]) for order in (places, dealt)
    )
    return by_value > (1 + by_chance) / 2
