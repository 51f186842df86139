"""The cohorts of the CITab benchmarks: generated clinics, and real collections of dermatology."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
from runs import QUICK_ROWS, Bench
from sets import GROUP, SETS, DataSet, Loaded, find_folder, load

from tabimg.datasets import make_cohorts
from tabimg.nn import ResNet

DERMATOLOGY = ("derm_ham10000", "derm_isic2017", "derm_ph2")
# Many encoders are compared: small photos, and a residual network of a block a stage for them.
PHOTOS = {"image_size": 32, "image_encoder": partial(ResNet, layers=(1, 1, 1, 1), width=16)}
CLINICS = {"harbour": 800, "meadow": 600, "northgate": 450, "lakeside": 300, "summit": 150}
# All five folds where that takes minutes, two elsewhere.
N_FOLDS = {"northgate": 5, "summit": 5, "derm_ph2": 5}
TARGETS = {"northgate": "clinics", "summit": "clinics", **dict.fromkeys(DERMATOLOGY, "dermatology")}


@dataclass(frozen=True, eq=False)
class Cohort:
    """One cohort of a domain, as target of a study and as company of the others.

    Parameters
    ----------
    data : DataSet
        Its columns, target and metric.
    rows : Loaded
        Photos are absolute paths.
    """

    data: DataSet
    rows: Loaded

    def pairs(self) -> pd.DataFrame:
        """Give columns, photos and groups, for a pre-training."""
        return self.rows.table

    def sample(self, n_rows: int) -> Cohort:
        """Draw some of the rows; all where there are no more."""
        return replace(self, rows=self.rows.sample(n_rows))


def at_hand(bench: Bench) -> Iterator[tuple[str, dict[str, Cohort]]]:
    """Give the targets that are to be run, each with the cohorts of its domain, itself included."""
    domains: dict[str, dict[str, Cohort]] = {}
    for data in [] if bench.only_page else bench.sets:
        domain = TARGETS[data.name]
        if domain not in domains:
            found = load_domain(domain)
            if bench.quick:
                found = {name: cohort.sample(QUICK_ROWS) for name, cohort in found.items()}
            domains[domain] = found
        if data.name in domains[domain]:
            yield data.name, domains[domain]


def load_domain(domain: str) -> dict[str, Cohort]:
    """Give the cohorts of "clinics" or "dermatology" by name; none where they are not at hand."""
    return {"clinics": _clinics, "dermatology": _dermatology}[domain]()


def _clinic(name: str) -> DataSet:
    return DataSet(
        name=name,
        title=f"Clinic {name!r}",
        source="tabimg.datasets.make_cohorts",
        role="development",
        target="letters_lost",
        task="regression",
        metric="r2",
        columns=(),
        photos=("photo",),
        augmentation={"crop": None},  # a crop would change the apparent width of the vessels
    )


# The sets that targets are predicted in, by name.
KNOWN = {
    name: _clinic(name) if domain == "clinics" else SETS[name] for name, domain in TARGETS.items()
}


def _clinics() -> dict[str, Cohort]:
    drawn = make_cohorts(CLINICS, image_size=PHOTOS["image_size"], random_state=0)
    found = {}
    for name, frame in drawn.frames.items():
        groups = drawn.groups[frame.index]
        table = frame.assign(**{GROUP: groups}).reset_index(drop=True)
        target = drawn.targets[name].to_numpy()
        columns = {"image_column": "photo", "group_column": GROUP}
        found[name] = Cohort(_clinic(name), Loaded(table, target, columns))
    return found


def _dermatology() -> dict[str, Cohort]:
    found = {}
    for name in DERMATOLOGY:
        folder = find_folder(name)
        if folder is None:
            print(f"{name}: not found, TABIMG_DATA names no folder that holds it")
            continue
        data = SETS[name]
        rows = load(data, folder)
        table = rows.table.copy()
        table["image"] = [str(folder / path) for path in table["image"]]
        columns = {k: v for k, v in rows.columns.items() if k != "image_root"}
        found[name] = Cohort(data, replace(rows, table=table, columns=columns))
    return found
