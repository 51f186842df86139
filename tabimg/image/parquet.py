"""Photos that lie as bytes in the column of Parquet files, read as they are decoded."""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tabimg.image.refusal import RefusedImage
from tabimg.messages import import_hint, listing, shorten

SCHEME = "parquet"


@dataclass(eq=False)
class ParquetPhotos:
    """Read photos from a column of bytes in Parquet files, a few row groups at a time.

    A frame holds what `cells` returns, one short address a row. The photos stay in the files until
    they are decoded, and are decoded in the order of the rows.

    Parameters
    ----------
    source : str, Path or sequence of these
        A file, a folder of ``*.parquet`` files, a pattern such as ``"shards/*.parquet"``, or files.
        Those of a folder or pattern are taken in the order of their names.
    column : str, default="photo"
        The column: of bytes, each the content of an image file, or of structs with a field
        ``bytes``, as Hugging Face's datasets write them. A null is a row without a photo.
    row_groups_held : int, default=2
        How many row groups of the column are in memory at once. Who writes files decides how large
        they are: ``row_group_size=1000`` of pyarrow's ``write_table`` makes them 100 MB for photos
        of 100 kB.

    Raises
    ------
    ImportError
        Without pyarrow.
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If ``column`` is no column of bytes, or ``row_groups_held`` is no number above 0.

    Examples
    --------
    >>> import io, pathlib, tempfile
    >>> import numpy as np, pandas as pd, PIL.Image
    >>> from tabimg import MultiModalPretrainer
    >>> from tabimg.image import ParquetPhotos
    >>> def photo(shade):
    ...     file = io.BytesIO()
    ...     PIL.Image.new("RGB", (40, 40), (shade, 90, 90)).save(file, "PNG")
    ...     return file.getvalue()
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> cars = pd.DataFrame({"age": np.arange(20.0), "photo": [photo(9 * n) for n in range(20)]})
    >>> cars.to_parquet(folder / "cars.parquet", row_group_size=5)

    >>> photos = ParquetPhotos(folder)
    >>> table = pd.concat([pd.read_parquet(file, columns=["age"]) for file in photos.files()])
    >>> table["photo"] = photos.cells()
    >>> pretrainer = MultiModalPretrainer(
    ...     image_column="photo", image_loader=photos, image_size=32, max_epochs=1, random_state=0
    ... )
    >>> pretrainer.fit(table).transform(table.drop(columns="photo")).shape
    (20, 256)
    """

    source: Any
    column: str = "photo"
    row_groups_held: int = 2

    def __post_init__(self) -> None:
        check_parquet_photos(self)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        source = self.source
        if not isinstance(source, (str, os.PathLike)):
            return {**self._parameters, "source": [os.fspath(each) for each in source]}
        return {**self._parameters, "source": os.fspath(source)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._held: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def _parameters(self) -> dict[str, Any]:
        return {"column": self.column, "row_groups_held": self.row_groups_held}

    def files(self) -> list[str]:
        """Return the absolute paths of the files, in their order."""
        if not isinstance(self.source, (str, os.PathLike)):
            found = [os.path.abspath(os.path.expanduser(each)) for each in self.source]
        else:
            source = os.path.abspath(os.path.expanduser(self.source))
            pattern = os.path.join(glob.escape(source), "*.parquet")
            found = sorted(glob.glob(pattern if os.path.isdir(source) else source))
        missing = [path for path in found if not os.path.isfile(path)]
        if missing or not found:
            raise FileNotFoundError(
                f"no Parquet file: {listing(missing) if missing else shorten(self.source)}"
            )
        return found

    def cells(self) -> list[str | None]:
        """Return an address for each row of the files, None where the column is null.

        Returns
        -------
        list of str or None
            File after file, for the image column of a frame with the same rows. An address says
            when its file was written: whoever replaces a file makes new cells.
        """
        return [cell for path in self.files() for cell in self._cells_of(path)]

    def __call__(self, address: str) -> bytes:
        """Return the bytes of the photo at an address; called by the estimators."""
        parts = urlsplit(address)
        if parts.scheme != SCHEME:
            raise RefusedImage("it is no address that ParquetPhotos.cells() made")
        path = unquote(parts.path)
        place = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not os.path.isfile(path):
            raise RefusedImage("the Parquet file does not exist any more")
        if _version_of(path) != place["version"]:
            raise RefusedImage("the Parquet file has changed since its cells were made")
        photos = self._row_group(path, int(place["row_group"]))
        return photos[int(place["row"])].as_py()

    def _cells_of(self, path: str) -> list[str | None]:
        file, version = self._open(path), _version_of(path)
        cells: list[str | None] = []
        for number in range(file.num_row_groups):
            start = f"{SCHEME}://{quote(path)}?version={version}&row_group={number}&row="
            n_rows = file.metadata.row_group(number).num_rows
            if _has_no_nulls(file.metadata.row_group(number), self._path_in(file)):
                cells += [f"{start}{row}" for row in range(n_rows)]
            else:
                known = self._row_group(path, number).is_valid().to_pylist()
                cells += [
                    f"{start}{row}" if is_known else None for row, is_known in enumerate(known)
                ]
        return cells

    def _row_group(self, path: str, number: int) -> Any:
        """Return the photos of a row group, which the next rows will ask for too."""
        key = path, number
        with self._lock:
            if key not in self._held:
                while len(self._held) >= self.row_groups_held:
                    self._held.popitem(last=False)
                file = self._open(path)
                # Arrow's threads would let go of their buffers later, at some time.
                read = file.read_row_group(number, columns=[self._path_in(file)], use_threads=False)
                photos = read.column(0).combine_chunks()
                nested = self._path_in(file) != self.column
                self._held[key] = photos.field("bytes") if nested else photos
            self._held.move_to_end(key)
            return self._held[key]

    def _open(self, path: str) -> Any:
        with import_hint("Reading Parquet needs pyarrow", "pyarrow"):
            from pyarrow import parquet
        return parquet.ParquetFile(path)

    def _path_in(self, file: Any) -> str:
        """Return the path of the column of bytes in the schema."""
        import pyarrow

        schema = file.schema_arrow
        if self.column not in schema.names:
            raise ValueError(f"no column {self.column!r} among {listing(schema.names)}")
        kind, path = schema.field(self.column).type, self.column
        if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind, path = kind.field("bytes").type, f"{self.column}.bytes"
        if not (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)):
            raise TypeError(
                f"the column {self.column!r} holds {kind}, not bytes: paths need no loader, give "
                "the frame that holds them"
            )
        return path


def check_parquet_photos(photos: ParquetPhotos) -> None:
    """Refuse parameters of another type or range."""
    held, source = photos.row_groups_held, photos.source
    if not isinstance(held, int) or isinstance(held, bool) or held < 1:
        raise ValueError(f"row_groups_held must be a number above 0, got {shorten(held)}")
    if not isinstance(photos.column, str):
        raise TypeError(f"column must be a str, got {type(photos.column).__name__}")
    files = [source] if isinstance(source, (str, os.PathLike)) else source
    if not isinstance(files, Sequence) or not all(isinstance(f, (str, Path)) for f in files):
        raise TypeError("source must be a path, a pattern, or a sequence of paths")


def _version_of(path: str) -> str:
    """Digest of a file's size and time of change."""
    status = os.stat(path)
    text = f"{status.st_size},{status.st_mtime_ns}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _has_no_nulls(row_group: Any, column: str) -> bool:
    """Return whether the file itself says that no photo of a row group is missing."""
    chunks = (row_group.column(number) for number in range(row_group.num_columns))
    for chunk in chunks:
        if chunk.path_in_schema == column:
            statistics = chunk.statistics
            return (
                statistics is not None and statistics.has_null_count and not statistics.null_count
            )
    return False
