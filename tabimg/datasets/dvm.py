"""`load_dvm`: the DVM car set from its official files, prepared as the literature does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from tabimg.datasets.assembly import assemble
from tabimg.datasets.checks import (
    check_choice,
    check_count,
    check_folder,
    check_not_negative,
    spawn_streams,
)
from tabimg.datasets.dvm_splits import draw_tenth, split_rows
from tabimg.datasets.dvm_tables import ADVERT, COLUMNS, MODEL, SIZES, join_tables

# With fewer, a model might have no validation row.
MIN_ADVERTS = 10


def load_dvm(
    folder: str | os.PathLike[str],
    *,
    image_root: str | os.PathLike[str] | None = None,
    min_adverts: int = 100,
    size_jitter: float = 50.0,
    on_missing: str = "raise",
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = 2022,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the DVM car set: 17 columns of an advert, a photo, and the car's model.

    Nothing is downloaded. Of the DVM-CAR set (https://deepvisualmarketing.github.io, which states
    its terms) four tables are read, ``Ad_table.csv``, ``Ad_table (extra).csv``, ``Price_table.csv``
    and ``Image_table.csv``; the photos in ``resized_DVM`` are looked up, but not opened.

    Parameters
    ----------
    folder : str or path-like
        Where the set was unpacked. The tables lie there or in a folder ``tables*``, such as
        ``tables_V2.0``.
    image_root : str or path-like, default=None
        The folder of photos, which holds ``Maker/Model/Year/Color/*.jpg``. ``None``: the folder
        ``resized_DVM*`` in ``folder``.
    min_adverts : int, default=100
        Models with fewer complete adverts are left out; at least 10. With 100, the literature
        counts 286 models.
    size_jitter : float, default=50.0
        Uniform noise of up to this many mm, in either direction, on the four sizes. Without it (0)
        they almost spell out the model: see the notes.
    on_missing : {"raise", "drop"}, default="raise"
        What to do if the file of an advert's photo is missing: raise an error, or leave these
        adverts out and count them in ``dropped``.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    random_state : int, RandomState instance or None, default=2022
        For the split, the few-label sets and the noise. 2022 is the seed of the literature's split.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - ``frame``: DataFrame (n, 19), the columns, ``photo`` and ``Genmodel_ID``
        - ``data``: ``frame`` without the target
        - ``target``: Series (n,) of str, ``Genmodel_ID``, such as ``"29_13"``
        - ``target_names``: sorted names of the classes; ``model_names``: dict, for each the maker
          and model in words
        - ``train_indices``, ``validation_indices``, ``test_indices``: int64, positions of rows, 40,
          10 and 50 %, stratified by class
        - ``few_label_indices``: dict, ``{0.1: ..., 0.01: ...}``, a tenth of the training rows and a
          tenth of these, with at least one row per class
        - ``groups``: int64 (n,), equal for adverts that agree in all 17 columns before the noise
        - ``advert_ids``: Series (n,) of str, ``Adv_ID``
        - ``dropped``: dict of reason to the number of adverts left out, in order;
          ``missing_cells``: Series of the number of missing cells per column, before that
        - ``feature_names`` (17), ``image_column``, ``image_dir``, ``DESCR``
    (data, target) : tuple
        With ``return_X_y``.

    Raises
    ------
    FileNotFoundError
        If a table, the folder of photos or, with ``on_missing="raise"``, a photo is missing.
    NotADirectoryError
        If ``folder`` or ``image_root`` is not a folder.
    TypeError, ValueError
        If a parameter is wrong, a table lacks a column, or too few adverts are left.

    See Also
    --------
    make_cars : Generated cars with the same columns, and a known truth.

    Notes
    -----
    The preparation is that of Hager et al. (MMCL, https://arxiv.org/abs/2303.14080), which later
    work shares. An advert is joined with the entry price of its model and year of registration, and
    with the first photo that the image table lists for it. Adverts with a missing cell are dropped
    (text in a numeric column counts as missing), then models with few adverts. The rest is split.
    As published, the whole set has 70,565 training, 17,642 validation and 88,207 test rows, and
    7,056 and 705 rows with few labels.

    Rows and classes are in the published order when the test half is drawn, so that with the same
    seed it should be the published one. Training and validation rows are not: there the published
    code stratifies by labels that are not in the order of the rows.

    Unlike in the published preparation, nothing is scaled: tabimg scales inside ``fit``, based on
    the training rows.

    A size that is missing or 0 is filled in from another advert of the same model, and five known
    errors are corrected. Filling in by model uses the target, on test rows too, and the adverts of
    a model share a few sizes: that is why the literature adds noise of 50 mm. Keep it to compare
    with published scores.

    Examples
    --------
    >>> from tabimg.datasets import load_dvm
    >>> cars = load_dvm("dvm")  # doctest: +SKIP
    >>> train = cars.frame.iloc[cars.few_label_indices[0.01]]  # doctest: +SKIP
    """
    root = check_folder("folder", folder)
    photos = _find_photos(root) if image_root is None else check_folder("image_root", image_root)
    min_adverts = check_count("min_adverts", min_adverts, MIN_ADVERTS)
    size_jitter = check_not_negative("size_jitter", size_jitter)
    check_choice("on_missing", on_missing, ("raise", "drop"))

    adverts, dropped = join_tables(root)
    missing = adverts[[*COLUMNS, "Maker", "Genmodel", "Image_name"]].isna()
    adverts = _keep(adverts, ~missing.any(axis=1), dropped, "missing cell")
    paths = adverts["Image_name"].map(lambda name: _photo_path(photos, name))
    adverts = adverts.assign(path=paths, found=paths.map(os.path.isfile))
    if on_missing == "drop":
        adverts = _keep(adverts, adverts["found"], dropped, "photo missing")
    is_large = adverts.groupby(MODEL)[ADVERT].transform("size") >= min_adverts
    adverts = _keep(adverts, is_large, dropped, f"model of fewer than {min_adverts} adverts")
    _check_kept(adverts, photos, dropped)

    target = adverts[MODEL]
    classes, _ = pd.factorize(target)
    train, validation, test = split_rows(classes, random_state)
    tenth = draw_tenth(train, classes, random_state)
    table = adverts[COLUMNS]
    return assemble(
        _jitter_sizes(table, size_jitter, random_state),
        adverts["path"].tolist(),
        target,
        return_X_y=return_X_y,
        target_names=sorted(target.unique()),
        model_names=dict(zip(target, adverts["Maker"] + " " + adverts["Genmodel"], strict=True)),
        train_indices=train,
        validation_indices=validation,
        test_indices=test,
        few_label_indices={0.1: tenth, 0.01: draw_tenth(tenth, classes, random_state)},
        groups=table.groupby(COLUMNS, sort=False).ngroup().to_numpy(),
        advert_ids=adverts[ADVERT],
        dropped=dropped,
        missing_cells=missing.sum(),
        image_dir=str(photos),
        DESCR=load_dvm.__doc__,
    )


def _find_photos(folder: Path) -> Path:
    """Find the folder of photos; archives are often unpacked into a folder of the same name."""
    for pattern in ("resized_DVM*/resized_DVM*", "resized_DVM*"):
        found = [path for path in sorted(folder.glob(pattern)) if path.is_dir()]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"There are several folders of photos: {', '.join(map(str, found))}. Say which one "
                "with image_root=."
            )
    raise FileNotFoundError(
        f"The folder of photos, 'resized_DVM', is missing in {str(folder)!r}. Unpack the photos of "
        "the DVM-CAR set there, or say where they are with image_root=."
    )


def _photo_path(photos: Path, name: str) -> str:
    """``Ford$$Focus$$2010$$Blue$$29_14$$7$$image_0.jpg`` lies in ``Ford/Focus/2010/Blue``."""
    parts = name.split("$$")
    if len(parts) < 5:
        raise ValueError(
            f"Image_table.csv: the Image_name {name!r} does not begin with "
            "Maker$$Model$$Year$$Color$$, which names the folder of the photo."
        )
    return os.path.join(photos, *parts[:4], name)


def _keep(
    adverts: pd.DataFrame, kept: pd.Series, dropped: dict[str, int], reason: str
) -> pd.DataFrame:
    """Keep some adverts and record how many are dropped."""
    dropped[reason] = int((~kept).sum())
    return adverts[kept].reset_index(drop=True)


def _check_kept(adverts: pd.DataFrame, photos: Path, dropped: dict[str, int]) -> None:
    if adverts.empty:
        counts = "; ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise ValueError(f"No advert is left. Left out were, in order, {counts}.")
    lost = adverts[~adverts["found"]]
    if len(lost):
        first = lost.iloc[0]
        raise FileNotFoundError(
            f"{len(lost)} of {len(adverts)} adverts have no photo in {str(photos)!r}. The first is "
            f"{first[ADVERT]!r}: {first['path']}. Unpack all photos, or leave these adverts out "
            "with on_missing='drop'."
        )


def _jitter_sizes(
    table: pd.DataFrame, size_jitter: float, random_state: int | np.random.RandomState | None
) -> pd.DataFrame:
    """Add uniform noise to the sizes, from its own stream."""
    rng = np.random.default_rng(spawn_streams(random_state, 1)[0])
    noise = rng.uniform(-size_jitter, size_jitter, size=(len(table), len(SIZES)))
    return table.assign(**(table[SIZES] + noise))
