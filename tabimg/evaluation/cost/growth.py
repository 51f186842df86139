"""How a cost grows with the number of rows: a line through two measurements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """A cost that consists of a fixed part and of one for each row.

    Parameters
    ----------
    fixed, per_row : float
        Neither is negative.
    """

    fixed: float = 0.0
    per_row: float = 0.0

    @classmethod
    def through(cls, n_small: int, small: float, n_large: int, large: float) -> Growth:
        """Draw the line through the costs of two numbers of rows, ``n_small <= n_large``.

        A line that falls, or that starts below zero, is noise: the cost of the larger number
        counts, as a fixed part or as one that is proportional to the rows.
        """
        if n_small == n_large or large <= small:
            return cls(max(small, large), 0.0)
        per_row = (large - small) / (n_large - n_small)
        fixed = large - per_row * n_large
        return cls(fixed, per_row) if fixed >= 0 else cls(0.0, large / n_large)

    def at(self, n_rows: float) -> float:
        """Return the cost of a number of rows."""
        return self.fixed + self.per_row * n_rows

    def __add__(self, other: Growth) -> Growth:
        return Growth(self.fixed + other.fixed, self.per_row + other.per_row)

    def times(self, factor: float) -> Growth:
        """Return the cost of so many repetitions."""
        return Growth(self.fixed * factor, self.per_row * factor)
