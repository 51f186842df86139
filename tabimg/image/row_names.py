"""Name rows in messages as the user knows them: by frame, position and index label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MAX_ROWS_NAMED = 10


@dataclass(frozen=True, eq=False)
class RowNames:
    """What rows are called, however they were selected and combined since.

    Parameters
    ----------
    frames : tuple of str
        Names of the frames that the user passed, such as ``"X"``; ``""`` for one without a name.
    frame_of : int64 array of shape (n_rows,)
        Which frame a row comes from.
    positions : int64 array of shape (n_rows,)
        The row's position there, from 0.
    labels : pandas.Index of length n_rows, or None
        The rows' own labels; None if they are the positions.
    """

    frames: tuple[str, ...]
    frame_of: np.ndarray
    positions: np.ndarray
    labels: pd.Index[Any] | None

    @classmethod
    def of(cls, n_rows: int, frame: str = "", labels: pd.Index[Any] | None = None) -> RowNames:
        """Name all rows of one frame."""
        if isinstance(labels, pd.RangeIndex) and labels.start == 0 and labels.step == 1:
            labels = None
        return cls((frame,), np.zeros(n_rows, dtype=np.int64), np.arange(n_rows), labels)

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: np.ndarray) -> RowNames:
        """Keep some rows, in the order given."""
        labels = None if self.labels is None else self.labels[rows]
        return RowNames(self.frames, self.frame_of[rows], self.positions[rows], labels)

    @staticmethod
    def concat(parts: Sequence[RowNames]) -> RowNames:
        """Concatenate the names of several sets of rows."""
        frames = tuple(dict.fromkeys(name for part in parts for name in part.frames))
        frame_of = [
            np.array([frames.index(name) for name in part.frames], dtype=np.int64)[part.frame_of]
            for part in parts
        ]
        labels = None
        if any(part.labels is not None for part in parts):
            labels = pd.Index([each for part in parts for each in part._labels()], dtype=object)
        positions = np.concatenate([part.positions for part in parts])
        return RowNames(frames, np.concatenate(frame_of), positions, labels)

    def describe(self, rows: Sequence[int]) -> str:
        """Name rows in a message: ``row 3 of X``, ``rows 0, 2 of X and row 1 of unlabeled``."""
        named, n_more = rows[:MAX_ROWS_NAMED], len(rows) - MAX_ROWS_NAMED
        by_frame: dict[str, list[str]] = {}
        for row in named:
            by_frame.setdefault(self.frames[self.frame_of[row]], []).append(self._word(row))
        parts = [
            f"{'row' if len(words) == 1 else 'rows'} {', '.join(words)}"
            + (f" of {frame}" if frame else "")
            for frame, words in by_frame.items()
        ]
        return " and ".join(parts) + (f" and {n_more} more" if n_more > 0 else "")

    def _word(self, row: int) -> str:
        position = int(self.positions[row])
        label = position if self.labels is None else self.labels[row]
        # A label that is not the position is what the row was called before rows were selected.
        return str(position) if _equal(label, position) else f"{position} (index {label!s:.40})"

    def _labels(self) -> Sequence[Any]:
        return self.positions.tolist() if self.labels is None else self.labels.tolist()


def _equal(label: Any, position: int) -> bool:
    return isinstance(label, (int, np.integer)) and int(label) == position
