"""The photos of a table, each decoded once: missing, unreadable and doubled ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation.foundation import describe_source, open_regular
from tabimg.image import MAX_PIXELS, Decoder, RowImages, source_key

SIZE = 16
# What the reader says of a file that is not there.
NOT_THERE = "the file does not exist"


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """What was found in photos; as in `DataCheck`.

    Parameters
    ----------
    n_with_photo, unreadable, n_missing, n_doubled
    """

    n_with_photo: int
    unreadable: pd.DataFrame
    n_missing: int
    n_doubled: int

    @classmethod
    def nothing(cls) -> PhotoCheck:
        """What is found in rows without photos."""
        nothing = pd.DataFrame(columns=["row", "photo", "reason"])
        return cls(0, nothing, 0, 0)


def look_at_photos(images: RowImages, n_rows: int, n_jobs: int | None) -> PhotoCheck:
    """Decode every photo, and compare the contents of their files.

    Embedding vectors in place of photos are counted, and compared as numbers.
    """
    if images.vectors is not None:
        return replace(PhotoCheck.nothing(), n_with_photo=int(images.has_image.sum()))
    decoder = Decoder(images, SIZE, None, MAX_PIXELS, "skip", n_jobs, None)
    used = np.unique(images.ids).tolist()
    seen = [index for index, _ in decoder.decode(used)]
    row_of = np.repeat(np.arange(n_rows), images.counts)
    readable = np.isin(images.ids, seen)
    failures = [
        {
            "row": int(images.rows_of(index)[0]),
            "photo": describe_source(images.sources[index]),
            "reason": error.cause,
        }
        for index, error in sorted(decoder.failures.items())
    ]
    failed = pd.DataFrame(failures, columns=["row", "photo", "reason"])
    absent = failed["reason"].str.contains(NOT_THERE, regex=False).fillna(False).astype(bool)
    keys = pd.Series([_content(images.sources[index]) for index in images.ids[readable]])
    shared = keys.duplicated(keep=False).to_numpy(dtype=bool)
    return PhotoCheck(
        n_with_photo=len(np.unique(row_of[readable])),
        unreadable=failed[~absent].reset_index(drop=True),
        n_missing=int(absent.sum()),
        n_doubled=len(np.unique(row_of[readable][shared])),
    )


def _content(source: Any) -> bytes:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    if not isinstance(source, (str, os.PathLike)):
        return source_key(source)
    with open_regular(str(source)) as file:
        return hashlib.sha256(file.read()).digest()
