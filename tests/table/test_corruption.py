from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tabimg.table import CORRUPTIONS, EncodedTable, MarginalCorruption


def encoded(numeric: np.ndarray, codes: np.ndarray) -> EncodedTable:
    return EncodedTable(numeric.astype(np.float32), codes.astype(np.int64))


def random_table(
    n: int, p: int = 4, q: int = 3, missing: float = 0.2, seed: int = 0
) -> EncodedTable:
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, p))
    numeric[rng.random((n, p)) < missing] = np.nan
    codes = rng.integers(2, 6, (n, q))
    hidden = rng.random((n, q)) < missing
    codes[hidden] = rng.integers(0, 2, hidden.sum())
    return encoded(numeric, codes)


def test_replacements_follow_each_columns_marginal():
    rng = np.random.default_rng(1)
    numeric = np.column_stack(
        [rng.choice([0.0, 1.0, 2.0, np.nan], 500, p=[0.6, 0.2, 0.1, 0.1]), rng.integers(0, 5, 500)]
    )
    codes = rng.choice([0, 1, 2, 3, 4], (500, 1), p=[0.1, 0.2, 0.4, 0.2, 0.1])
    training = encoded(numeric, codes)
    corruption = MarginalCorruption(training, 0.5)
    # One batch row, repeated: replacements must not depend on what they replace.
    batch = encoded(np.tile([7.0, 7.0], (20_000, 1)), np.full((20_000, 1), 9))
    corrupted = corruption.draw(batch, np.random.default_rng(2))

    columns = [
        (corrupted.table.numeric[:, j], corrupted.numeric_mask[:, j], training.numeric[:, j])
        for j in range(2)
    ]
    columns.append(
        (corrupted.table.codes[:, 0], corrupted.code_mask[:, 0], training.codes[codes[:, 0] > 1, 0])
    )
    for drawn, mask, source in columns:
        values, counts = np.unique(source[~np.isnan(source)], return_counts=True)
        seen = np.array([(drawn[mask] == value).sum() for value in values])
        assert seen.sum() == mask.sum()
        expected = counts / counts.sum() * mask.sum()
        assert scipy.stats.chisquare(seen, expected).pvalue > 1e-3


def test_columns_are_drawn_independently_of_each_other():
    values = np.repeat([0.0, 1.0], 50)
    training = encoded(np.column_stack([values, values]), np.zeros((100, 0)))
    batch = encoded(np.full((20_000, 2), 5.0), np.zeros((20_000, 0)))
    corrupted = MarginalCorruption(training, 0.9).draw(batch, np.random.default_rng(3))
    both = corrupted.table.numeric[corrupted.numeric_mask.all(axis=1)]
    joint = np.histogram2d(both[:, 0], both[:, 1], bins=2)[0]
    _, p_value, *_ = scipy.stats.chi2_contingency(joint)
    assert p_value > 1e-3


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_share_of_masked_cells_is_bernoulli_with_one_forced(rate):
    batch = random_table(40_000, missing=0.0)
    m = 7
    corrupted = MarginalCorruption(batch, rate).draw(batch, np.random.default_rng(4))
    mask = np.hstack([corrupted.numeric_mask, corrupted.code_mask])
    expected = rate + (1 - rate) ** m / m
    assert mask.mean() == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(mask.size))
    np.testing.assert_allclose(mask.mean(axis=0), expected, atol=4 * 0.5 / np.sqrt(len(mask)))

    per_row = np.bincount(mask.sum(axis=1), minlength=m + 1)
    binomial = scipy.stats.binom.pmf(np.arange(m + 1), m, rate)
    binomial[1] += binomial[0]
    enough = binomial[1:] * len(mask) > 5
    assert per_row[0] == 0
    seen, share = per_row[1:][enough], binomial[1:][enough]
    assert scipy.stats.chisquare(seen, share / share.sum() * seen.sum()).pvalue > 1e-3


def test_each_row_with_an_observed_cell_has_a_masked_cell():
    batch = random_table(5_000, missing=0.7)
    corrupted = MarginalCorruption(batch, 0.01).draw(batch, np.random.default_rng(5))
    numeric_observed, code_observed = batch.observed()
    observed = np.hstack([numeric_observed, code_observed]).any(axis=1)
    masked = np.hstack([corrupted.numeric_mask, corrupted.code_mask]).any(axis=1)
    assert 0 < observed.sum() < len(batch)
    np.testing.assert_array_equal(masked, observed)


def test_forced_cell_is_uniform_among_the_observed():
    batch = encoded(np.tile([1.0, np.nan, 1.0], (30_000, 1)), np.tile([0, 2], (30_000, 1)))
    training = encoded(np.ones((5, 3)), np.full((5, 2), 2))
    corrupted = MarginalCorruption(training, 1e-9).draw(batch, np.random.default_rng(6))
    counts = np.hstack([corrupted.numeric_mask, corrupted.code_mask]).sum(axis=0)
    assert counts[[1, 3]].tolist() == [0, 0]
    assert scipy.stats.chisquare(counts[[0, 2, 4]]).pvalue > 1e-3


def test_missing_and_unknown_cells_are_never_masked_nor_drawn():
    batch = random_table(3_000, missing=0.4)
    corrupted = MarginalCorruption(batch, 0.6).draw(batch, np.random.default_rng(7))
    numeric_observed, code_observed = batch.observed()
    assert not (corrupted.numeric_mask & ~numeric_observed).any()
    assert not (corrupted.code_mask & ~code_observed).any()
    assert not np.isnan(corrupted.table.numeric[corrupted.numeric_mask]).any()
    assert (corrupted.table.codes[corrupted.code_mask] >= 2).all()


def test_cells_that_are_not_masked_keep_their_value():
    batch = random_table(500)
    before = EncodedTable(batch.numeric.copy(), batch.codes.copy())
    corrupted = MarginalCorruption(batch, 0.3).draw(batch, np.random.default_rng(8))
    keep, keep_codes = ~corrupted.numeric_mask, ~corrupted.code_mask
    np.testing.assert_array_equal(corrupted.table.numeric[keep], batch.numeric[keep])
    np.testing.assert_array_equal(corrupted.table.codes[keep_codes], batch.codes[keep_codes])
    np.testing.assert_array_equal(batch.numeric, before.numeric)
    np.testing.assert_array_equal(batch.codes, before.codes)
    assert corrupted.table.numeric.dtype == np.float32 and corrupted.table.codes.dtype == np.int64


def test_column_without_training_values_is_never_masked():
    training = encoded(np.array([[1.0, np.nan], [2.0, np.nan]]), np.array([[0], [1]]))
    batch = encoded(np.ones((200, 2)), np.full((200, 1), 2))
    corrupted = MarginalCorruption(training, 0.5).draw(batch, np.random.default_rng(9))
    assert corrupted.numeric_mask[:, 0].all()
    assert not corrupted.numeric_mask[:, 1].any() and not corrupted.code_mask.any()


@pytest.mark.parametrize(("p", "q"), [(3, 0), (0, 3)])
def test_tables_of_one_family_of_columns_work(p, q):
    batch = random_table(50, p, q)
    corrupted = MarginalCorruption(batch, 0.3).draw(batch, np.random.default_rng(10))
    assert corrupted.numeric_mask.shape == (50, p) and corrupted.code_mask.shape == (50, q)


def test_same_generator_seed_gives_the_same_corruption():
    batch = random_table(100)
    corruption = MarginalCorruption(batch, 0.3)
    first, again, other = (corruption.draw(batch, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.table.numeric, again.table.numeric)
    np.testing.assert_array_equal(first.code_mask, again.code_mask)
    assert (first.numeric_mask != other.numeric_mask).any()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_mask_rate_outside_the_open_interval_raises(rate):
    with pytest.raises(ValueError, match=r"mask_rate must lie in \(0, 1\), got"):
        MarginalCorruption(random_table(5), rate)


def test_no_training_rows_raise():
    with pytest.raises(ValueError, match="at least one training row"):
        MarginalCorruption(random_table(0), 0.3)


def test_batch_of_other_columns_raises():
    with pytest.raises(ValueError, match=r"2 numeric and 3 categorical.* have 4 and 3"):
        MarginalCorruption(random_table(5), 0.3).draw(
            random_table(5, p=2), np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    ("name", "numeric", "codes"),
    [
        ("mean", [2.0, 7.0], [3]),  # 2 is the mean of 1, 1 and 4; code 3 the most frequent
        ("zero", [0.0, 0.0], [0]),
        ("token", [np.nan, np.nan], [1]),
    ],
)
def test_constants_replace_masked_cells_and_no_others(name, numeric, codes):
    training = encoded(
        np.array([[1.0, 7.0], [1.0, np.nan], [4.0, 7.0], [np.nan, 7.0]]),
        np.array([[3], [0], [2], [3]]),
    )
    batch = encoded(np.full((500, 2), 5.0), np.full((500, 1), 4))
    corrupted = CORRUPTIONS[name](training, 0.4).draw(batch, np.random.default_rng(4))
    for changed, mask, constants, before in [
        (corrupted.table.numeric, corrupted.numeric_mask, numeric, 5.0),
        (corrupted.table.codes, corrupted.code_mask, codes, 4),
    ]:
        assert changed.dtype == (np.float32 if before == 5.0 else np.int64)
        np.testing.assert_array_equal(changed, np.where(mask, constants, before))
        assert 0.35 < mask.mean() < 0.55


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_mask_the_same_cells(name):
    table = random_table(200, seed=5)
    drawn = CORRUPTIONS[name](table, 0.3).draw(table, np.random.default_rng(6))
    expected = MarginalCorruption(table, 0.3).draw(table, np.random.default_rng(6))
    np.testing.assert_array_equal(drawn.numeric_mask, expected.numeric_mask)
    np.testing.assert_array_equal(drawn.code_mask, expected.code_mask)


@pytest.mark.parametrize("name", ["mean", "zero", "token"])
@pytest.mark.parametrize(("p", "q"), [(3, 0), (0, 2)])
def test_constants_work_on_tables_of_one_family_of_columns(name, p, q):
    table = random_table(20, p=p, q=q, missing=0.0)
    corrupted = CORRUPTIONS[name](table, 0.5).draw(table, np.random.default_rng(7))
    assert corrupted.table.numeric.shape == (20, p)
    assert corrupted.table.codes.shape == (20, q)
