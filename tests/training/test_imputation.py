"""Photo features are imputed from columns, and never from the row's own photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tabimg.serialization import read_directory, write_directory
from tabimg.table import EncodedTable
from tabimg.training.blocks import COLUMNS, IMPUTED, PHOTOS, Blocks
from tabimg.training.imputation import fit_imputer
from tabimg.training.splits import grouped_folds


def pairs(n_rows: int = 200, n_noise: int = 2) -> Blocks:
    """Two components that the columns say, and some that they do not."""
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((n_rows, 4)).astype(np.float32)
    said = np.column_stack([columns[:, 0] + columns[:, 1], np.abs(columns[:, 2])])
    photos = np.hstack([said, rng.standard_normal((n_rows, n_noise))]).astype(np.float32)
    table = EncodedTable(columns, np.zeros((n_rows, 0), dtype=np.int64))
    return Blocks(table, {COLUMNS: columns, PHOTOS: photos})


def folds_of(blocks: Blocks) -> list[tuple[np.ndarray, np.ndarray]]:
    return grouped_folds(np.arange(len(blocks)), 4, 0)


def test_components_that_the_columns_say_are_imputed_and_no_others() -> None:
    blocks = pairs()
    fitted = fit_imputer(blocks, folds_of(blocks), 0)
    assert fitted is not None
    imputer, imputed = fitted
    assert imputer.n_features == 2 and imputed.shape == (200, 2)
    for column in range(2):
        assert np.corrcoef(imputed[:, column], blocks[PHOTOS][:, column])[0, 1] > 0.7


def test_own_photo_plays_no_part_in_what_is_imputed() -> None:
    blocks = pairs()
    folds = folds_of(blocks)
    own = folds[0][1]
    photos = blocks[PHOTOS].copy()
    photos[own] += 0.3 * np.random.default_rng(1).standard_normal(photos[own].shape)
    _, before = fit_imputer(blocks, folds, 0) or (None, np.empty(0))
    _, after = fit_imputer(blocks.having(photos=photos), folds, 0) or (None, np.empty(0))
    assert np.array_equal(before[own], after[own])
    assert not np.array_equal(before, after)


def test_columns_that_say_nothing_impute_nothing() -> None:
    blocks = pairs()
    noise = np.random.default_rng(2).standard_normal((200, 3)).astype(np.float32)
    assert fit_imputer(blocks.having(photos=noise), folds_of(blocks), 0) is None


def test_rows_without_a_photo_teach_nothing_and_are_imputed() -> None:
    blocks = pairs()
    photos = blocks[PHOTOS].copy()
    photos[:60] = np.nan
    fitted = fit_imputer(blocks.having(photos=photos), folds_of(blocks), 0)
    assert fitted is not None
    assert np.isfinite(fitted[1]).all()
    assert np.corrcoef(fitted[1][:60, 0], blocks[PHOTOS][:60, 0])[0, 1] > 0.7
    blind = blocks.having(photos=np.full_like(photos, np.nan))
    assert fit_imputer(blind, folds_of(blocks), 0) is None


def test_imputer_survives_a_directory(tmp_path: Path) -> None:
    blocks = pairs()
    fitted = fit_imputer(blocks, folds_of(blocks), 0)
    assert fitted is not None
    write_directory(tmp_path / "imputer", fitted[0])
    back = read_directory(tmp_path / "imputer")
    assert np.array_equal(back.impute(blocks)[IMPUTED], fitted[0].impute(blocks)[IMPUTED])
