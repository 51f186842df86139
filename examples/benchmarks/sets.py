"""The data sets of the benchmarks, and every fact about them that the programs declare.

A set is a folder with a ``table.csv`` and the image files that its photo columns list, relative to
that folder. The folder of all sets is named by the environment variable ``TABIMG_DATA``; none of
them is part of tabimg.

Facts are: which columns are features, photos and target, which rows belong together, a log
target, and that a mirrored flag is another flag. No set has a setting of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabimg.evaluation import image_groups

ROLES = ("development", "confirmation")
GROUP = "belongs_together"
TABLE = "table.csv"


@dataclass(frozen=True)
class DataSet:
    """What is declared about a set.

    Parameters
    ----------
    name : str
        Of its folder.
    title, source : str
        For the pages.
    role : {"development", "confirmation"}
        Whether choices of defaults were made with a view of it.
    target : str
    task : {"classification", "regression"}
    metric : str
        By which it is summarised.
    columns : tuple of str
        The features.
    photos : tuple of str, default=("image",)
    categories : tuple of str, default=()
        Features that are names although they look like numbers.
    group : str or None, default=None
        Column whose equal values stay on one side of each split; "image" stands for equal photos.
    excluded : str or None, default=None
        A value of the target whose rows are left out.
    log_target : bool, default=False
        Predict log(1 + target).
    augmentation : "default" or dict
        As in `MultiModalPretrainer`.
    file : str, default="table.csv"
        Name of the table in the set's folder.
    """

    name: str
    title: str
    source: str
    role: str
    target: str
    task: str
    metric: str
    columns: tuple[str, ...]
    photos: tuple[str, ...] = ("image",)
    categories: tuple[str, ...] = ()
    group: str | None = None
    excluded: str | None = None
    log_target: bool = False
    augmentation: Any = field(default="default", hash=False)
    file: str = TABLE

    def describe(self) -> str:
        """Say what is predicted from what, in a sentence or two."""
        target = f"log(1 + {self.target})" if self.log_target else self.target
        parts = [f"{target} from {', '.join(_shortened(self.columns)) or 'all columns'}"]
        if self.group is not None:
            which = "the same photo" if self.group == "image" else f"one {self.group}"
            parts.append(f"rows of {which} stay together")
        if self.excluded is not None:
            parts.append(f"without {self.excluded}")
        if self.augmentation != "default":
            parts.append(f"augmentation {self.augmentation}")
        return f"{self.title}: {'; '.join(parts)}. {self.source}"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A set's rows: what a study is given, as keyword arguments in ``columns``."""

    table: pd.DataFrame
    target: np.ndarray
    columns: dict[str, Any]

    def sample(self, n_rows: int) -> Loaded:
        """Draw some of the rows; all where there are no more."""
        rng = np.random.default_rng(0)
        drawn = np.sort(rng.permutation(len(self.table))[:n_rows])
        table = self.table.iloc[drawn].reset_index(drop=True)
        return Loaded(table, self.target[drawn], self.columns)


def find_folder(name: str, file: str = TABLE) -> Path | None:
    """Give the folder of a set, or None where it is not at hand."""
    root = os.environ.get("TABIMG_DATA")
    folder = Path(root or ".") / name
    return folder if root and (folder / file).is_file() else None


def load(data: DataSet, folder: Path) -> Loaded:
    """Read a set.

    Parameters
    ----------
    data : DataSet
    folder : Path
        As given by `find_folder`.

    Raises
    ------
    ValueError
        If the table lacks a declared column; names it.
    """
    rows = pd.read_csv(folder / data.file, low_memory=False)
    extra = [] if data.group in (None, "image") else [data.group]
    absent = {data.target, *data.columns, *data.photos, *extra} - set(rows.columns)
    if absent:
        raise ValueError(f"{folder / data.file} lacks the columns {sorted(absent)}")
    rows = rows[rows[data.target] != data.excluded].reset_index(drop=True)
    target = rows[data.target].to_numpy()
    table = rows[[*data.columns, *data.photos]].astype(dict.fromkeys(data.categories, "category"))
    columns: dict[str, Any] = {"image_column": list(data.photos), "image_root": folder}
    if data.group is not None:
        groups = rows[data.group]
        if data.group == "image":
            groups = image_groups(table, list(data.photos), image_root=folder)
        table, columns = table.assign(**{GROUP: groups}), {**columns, "group_column": GROUP}
    return Loaded(table, np.log1p(target) if data.log_target else target, columns)


def _shortened(names: tuple[str, ...]) -> list[str]:
    """Name a long row of columns by its ends."""
    return list(names) if len(names) <= 12 else [names[0], "...", names[-1]]


_SETS = (
    DataSet(
        name="houses_ahmed",
        title="House prices",
        source="Ahmed and Moustafa, IJCCI 2016; four photos of each house.",
        role="development",
        target="price",
        task="regression",
        metric="relative_mse",
        columns=("bedrooms", "bathrooms", "area", "zipcode"),
        photos=("image", "image_bedroom", "image_bathroom", "image_kitchen"),
        categories=("zipcode",),
        log_target=True,
    ),
    DataSet(
        name="leaf_species",
        title="Leaf species",
        source="Mallah, Cope and Orwell, SPPRA 2013; silhouettes of leaves.",
        role="development",
        target="species",
        task="classification",
        metric="accuracy",
        columns=tuple(f"texture{number}" for number in range(1, 65)),
    ),
    DataSet(
        name="bus_busbra",
        title="Breast ultrasound",
        source="Gómez-Flores et al., Medical Physics 2023 (BUS-BRA).",
        role="development",
        target="pathology",
        task="classification",
        metric="accuracy",
        columns=(
            *("device", "width", "height", "side"),
            *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "lesion_area_frac"),
        ),
        group="case",
    ),
    DataSet(
        name="flags_countries",
        title="Regions of countries",
        source="mledoze/countries with flags of hampusborgos/country-flags.",
        role="development",
        target="region",
        task="classification",
        metric="accuracy",
        columns=(
            *("independent", "un_member", "landlocked", "area"),
            *("n_borders", "n_languages", "first_language", "n_currencies"),
        ),
        group="image",
        excluded="Antarctic",
        augmentation={"flip": False},
    ),
    DataSet(
        name="food_ecustfd",
        title="Weight of food",
        source="Liang and Li, arXiv 1705.07632 (ECUSTFD).",
        role="confirmation",
        target="weight",
        task="regression",
        metric="relative_mse",
        columns=(
            *("food_type", "view", "img_width", "img_height"),
            *("food_w", "food_h", "coin_w", "coin_h"),
        ),
        group="portion",
    ),
    DataSet(
        name="derm_ham10000",
        title="Skin lesions, seven diagnoses",
        source="Tschandl, Rosendahl and Kittler, Scientific Data 2018 (a part of HAM10000).",
        role="confirmation",
        target="dx",
        task="classification",
        metric="accuracy",
        columns=("age", "sex", "localization"),
    ),
    DataSet(
        name="derm_isic2017",
        title="Melanoma or not",
        source="Codella et al., arXiv 1710.05006 (ISIC 2017).",
        role="confirmation",
        target="melanoma",
        task="classification",
        metric="auc",  # 81 % of the rows are of one class
        columns=("age", "sex", "anatom_site"),
    ),
    DataSet(
        name="derm_ph2",
        title="Nevi and melanomas by dermoscopic criteria",
        source="Mendonça et al., EMBC 2013 (PH2).",
        role="confirmation",
        target="diagnosis",
        task="classification",
        metric="accuracy",
        columns=(
            *("asymmetry", "pigment_network", "dots_globules", "streaks"),
            *("regression_areas", "blue_whitish_veil", "color_white", "color_red"),
            *("color_light_brown", "color_dark_brown", "color_blue_gray", "color_black"),
        ),
    ),
)
SETS = {data.name: data for data in _SETS}
