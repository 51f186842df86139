"""Read the files of the DVM car set and join them to one row per advert."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tabimg.datasets.table_file import read_csv

SIZES = ["Wheelbase", "Height", "Width", "Length"]
NUMERIC = [
    *SIZES, "Adv_year", "Adv_month", "Reg_year", "Runned_Miles", "Price", "Seat_num", "Door_num",
    "Entry_price", "Engine_size",
]  # fmt: skip
CATEGORIES = ["Color", "Bodytype", "Gearbox", "Fuel_type"]
COLUMNS = [*NUMERIC, *CATEGORIES]
MODEL = "Genmodel_ID"
ADVERT = "Adv_ID"

_ADVERT_FILE = "Ad_table.csv"
_SIZE_FILE = "Ad_table (extra).csv"
_PRICE_FILE = "Price_table.csv"
_IMAGE_FILE = "Image_table.csv"

_ADVERT_COLUMNS = [
    ADVERT, MODEL, "Maker", "Genmodel", "Adv_year", "Adv_month", "Reg_year", "Runned_Miles",
    "Price", "Seat_num", "Door_num", "Engin_size", *CATEGORIES,
]  # fmt: skip

# Errors in the sizes, known from the public preparation (see `load_dvm`): the model, the column,
# the value to be replaced (None: any), and the right one in mm.
_SIZE_CORRECTIONS = [
    ("69_36", "Wheelbase", None, 2612),  # Peugeot RCZ
    ("29_20", "Wheelbase", None, 2788),  # Ford Grand C-Max
    ("29_30", "Height", 805, 1805),  # Ford Ranger
    ("59_29", "Wheelbase", 5246, 3106),  # a Mercedes-Benz
    ("43_9", "Wheelbase", 4065, 2580),  # Kia Rio
]


def join_tables(folder: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Join the tables to one row per advert that has an entry price and a photo.

    Parameters
    ----------
    folder : Path
        Holds the CSV files itself, or in a folder ``tables*``.

    Returns
    -------
    adverts : DataFrame
        In the order of ``Ad_table.csv``: the columns of `COLUMNS` (float64 and str, cells may be
        missing), ``Maker``, ``Genmodel``, ``Genmodel_ID``, ``Adv_ID`` and ``Image_name``.
    dropped : dict of str to int
        How many adverts each join left out.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    ValueError
        If a table lacks a column or lies in several places, if an image has no advert, or if an
        advert matches several rows.
    """
    adverts = _read_adverts(folder)
    priced = _join(adverts, _read_prices(folder), [MODEL, "Reg_year"], _PRICE_FILE)
    shown = _join(priced, _read_first_photos(folder), [ADVERT], _IMAGE_FILE)
    dropped = {
        "no entry price of its model and year": len(adverts) - len(priced),
        "no photo in the image table": len(priced) - len(shown),
    }
    return _add_sizes(shown, _read_sizes(folder)), dropped


def _read_adverts(folder: Path) -> pd.DataFrame:
    adverts = _read_table(folder, _ADVERT_FILE, _ADVERT_COLUMNS)
    litres = adverts.pop("Engin_size").str.strip().str.removesuffix("L")
    adverts["Engine_size"] = litres
    return _as_numbers(adverts, [name for name in NUMERIC if name in adverts])


def _read_prices(folder: Path) -> pd.DataFrame:
    prices = _read_table(folder, _PRICE_FILE, [MODEL, "Year", "Entry_price"])
    prices = prices.rename(columns={"Year": "Reg_year"})
    return _as_numbers(prices, ["Reg_year", "Entry_price"])


def _read_first_photos(folder: Path) -> pd.DataFrame:
    """Read the first photo of each advert: ``Adv_ID`` and ``Image_name``."""
    images = _read_table(folder, _IMAGE_FILE, ["Image_ID", "Image_name"])
    images[ADVERT] = images["Image_ID"].str.extract(r"^([^$]+\$\$[^$]+)\$\$", expand=False)
    if images[ADVERT].isna().any():
        row = images[ADVERT].isna().argmax()
        raise ValueError(
            f"{_IMAGE_FILE}: row {row} has the Image_ID {images['Image_ID'][row]!r}, which does "
            "not begin with the Adv_ID of its advert, as '10_1$$1$$0' does."
        )
    return images.drop_duplicates(ADVERT)[[ADVERT, "Image_name"]]


def _read_sizes(folder: Path) -> pd.DataFrame:
    """Read the adverts' sizes in mm; NaN where they are missing, 0 or not a number."""
    sizes = _as_numbers(_read_table(folder, _SIZE_FILE, [ADVERT, MODEL, *SIZES]), SIZES)
    for model, column, wrong, right in _SIZE_CORRECTIONS:
        is_wrong = sizes[MODEL] == model
        if wrong is not None:
            is_wrong &= sizes[column] == wrong
        sizes.loc[is_wrong, column] = right
    sizes[SIZES] = sizes[SIZES].where(sizes[SIZES] > 0)
    return sizes


def _add_sizes(adverts: pd.DataFrame, sizes: pd.DataFrame) -> pd.DataFrame:
    """Join the sizes; missing ones are taken from the model's first advert that has them."""
    joined = _join(adverts, sizes.drop(columns=MODEL), [ADVERT], _SIZE_FILE, how="left")
    first = sizes.groupby(MODEL)[SIZES].first()
    for name in SIZES:
        joined[name] = joined[name].fillna(joined[MODEL].map(first[name]))
    return joined


def _join(
    adverts: pd.DataFrame,
    other: pd.DataFrame,
    keys: list[str],
    file: str,
    how: Literal["inner", "left"] = "inner",
) -> pd.DataFrame:
    """Join another table, which must not multiply adverts; the adverts keep their order."""
    numbered = adverts.assign(_number=np.arange(len(adverts)))
    # pandas before 2.2 returns the rows of an inner join in the order of the keys.
    joined = numbered.merge(other, on=keys, how=how).sort_values("_number", ignore_index=True)
    joined = joined.drop(columns="_number")
    repeated = joined[ADVERT].duplicated()
    if repeated.any():
        row = joined[repeated].iloc[0]
        where = ", ".join(f"{key} {row[key]!r}" for key in keys)
        raise ValueError(
            f"Advert {row[ADVERT]!r} of {_ADVERT_FILE} is there twice, or {file} has several rows "
            f"for {where}. Remove the repeated rows."
        )
    return joined


def _as_numbers(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Turn text to float64; anything else becomes NaN, as in the public preparation."""
    numbers = {
        name: pd.to_numeric(table[name], errors="coerce").astype("float64") for name in names
    }
    return table.assign(**numbers)


def _read_table(folder: Path, file: str, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a table as text."""
    # Some tables have blanks around the names: " Genmodel_ID".
    path, remedy = _find_table(folder, file), "Unpack the tables of the DVM-CAR set again."
    table = read_csv(path, str, remedy, wanted=lambda name: name.strip() in columns)
    table = table.rename(columns=str.strip)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(
            f"{file} lacks the column(s) {', '.join(missing)}. load_dvm reads version 2 of the "
            "tables; check that the file is complete and was not edited."
        )
    return table


def _find_table(folder: Path, file: str) -> Path:
    """Find a table in the folder itself or in one of its folders ``tables*``."""
    places = [folder, *sorted(folder.glob("tables*")), *sorted(folder.glob("tables*/tables*"))]
    found = [place / file for place in places if (place / file).is_file()]
    if not found:
        raise FileNotFoundError(
            f"{file} is missing: it is neither in {str(folder)!r} nor in a folder 'tables*' there. "
            "Unpack the tables of the DVM-CAR set, and put 'Ad_table (extra).csv', a download of "
            "its own, beside them."
        )
    if len(found) > 1:
        raise ValueError(
            f"{file} is there several times: {', '.join(map(str, found))}. Keep one of them."
        )
    return found[0]
