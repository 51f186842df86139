"""What was found in a table and its photos, as a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

SHOWN = 5


@dataclass(frozen=True, eq=False)
class DataCheck:
    """What `check_data` found. It prints as a report.

    Parameters
    ----------
    n_rows : int
    columns : DataFrame
        One row per column of the table: column, kind ("numeric", "categorical", "boolean",
        "datetime" or "empty"), missing (cells) and distinct (values).
    task : {"classification", "regression"} or None
        None without a target.
    n_without_target : int
        Rows whose target is missing.
    n_classes : int or None
        None unless the task is classification.
    n_with_photo : int
        Rows with a photo that can be read.
    unreadable : DataFrame
        One row per photo that is there and cannot be read: row (the first one), photo and reason.
    n_missing : int
        Photos that are named and do not exist.
    n_doubled : int
        Rows that share a photo, byte for byte, with another row.
    leaks : DataFrame
        One row per column that alone says nearly everything about the target: column and score, the
        cross-validated R2, or accuracy above that of the most frequent class as a share of what
        could be gained.
    notes : list of str
        What is worth a look, in sentences.
    """

    n_rows: int
    columns: pd.DataFrame
    task: str | None
    n_without_target: int
    n_classes: int | None
    n_with_photo: int
    unreadable: pd.DataFrame
    n_missing: int
    n_doubled: int
    leaks: pd.DataFrame
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        found = dict(vars(self))
        for name in ("columns", "unreadable", "leaks"):
            found[name] = found[name].to_dict(orient="records")
        return found

    def __str__(self) -> str:
        lines = [f"{self.n_rows} rows, {len(self.columns)} columns{self._target()}"]
        for kind, rows in self.columns.groupby("kind", sort=False):
            named = [
                f"{name} ({missing} missing)" if missing else str(name)
                for name, missing in zip(rows["column"], rows["missing"], strict=True)
            ]
            lines.append(f"  {kind}: {', '.join(named)}")
        lines.append(f"photos: {self._photos()}")
        for row, photo, reason in self.unreadable.head(SHOWN).itertuples(index=False):
            lines.append(f"  row {row}: {photo}: {reason}")
        if len(self.unreadable) > SHOWN:
            lines.append(f"  and {len(self.unreadable) - SHOWN} more that cannot be read")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _target(self) -> str:
        if self.task is None:
            return ""
        kinds = "" if self.n_classes is None else f" of {self.n_classes} classes"
        without = ""
        if self.n_without_target:
            without = f", {self.n_without_target} rows without a target"
        return f"; task: {self.task}{kinds}{without}"

    def _photos(self) -> str:
        told = [f"{self.n_with_photo} of {self.n_rows} rows have one"]
        counts = {
            "named and not there": self.n_missing,
            "cannot be read": len(self.unreadable),
            "rows share theirs with another row": self.n_doubled,
        }
        return ", ".join(told + [f"{n} {what}" for what, n in counts.items() if n])
