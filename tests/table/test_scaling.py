from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tabimg.table.scaling import RobustScaling


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def test_encoding_follows_the_written_formula():
    x = np.random.default_rng(0).standard_t(2, 501)
    z = (x - np.median(x)) / (scipy.stats.iqr(x) / 1.349)
    clipped = z / np.sqrt(1 + (z / 4) ** 2)
    expected = scipy.stats.zscore(clipped)

    matrix = x.reshape(-1, 1)
    got = RobustScaling.fit(matrix).transform(matrix)

    assert got.dtype == np.float32
    np.testing.assert_allclose(got[:, 0], expected, rtol=2e-6, atol=2e-6)


def test_training_rows_have_mean_zero_and_unit_variance_despite_heavy_tails():
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.standard_cauchy(4000), rng.lognormal(0, 4, 4000)])
    encoded = RobustScaling.fit(matrix).transform(matrix).astype(np.float64)
    np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(encoded.std(axis=0), 1, atol=1e-6)
    assert np.abs(encoded).max() < 10


def test_encoding_keeps_the_order_of_values():
    matrix = np.sort(np.random.default_rng(2).standard_t(3, 300)).reshape(-1, 1)
    assert (np.diff(RobustScaling.fit(matrix).transform(matrix)[:, 0]) > 0).all()


@pytest.mark.parametrize("outlier", [1e300, -1e300, np.finfo(float).max])
def test_one_enormous_value_leaves_the_others_apart(outlier):
    x = np.append(np.arange(100.0), outlier).reshape(-1, 1)
    encoded = RobustScaling.fit(x).transform(x)[:, 0]
    assert np.isfinite(encoded).all()
    assert np.ptp(encoded[:100]) > 2.5
    assert abs(encoded[100]) < 5


@pytest.mark.parametrize("size", [1e-300, 5e-324, 1e150, 1.7e308])
def test_both_ends_of_the_float_range_stay_finite(size):
    matrix = column(-size, -size, 0.0, size, size)
    scaling = RobustScaling.fit(matrix)
    encoded = scaling.transform(matrix)
    assert np.isfinite(encoded).all() and np.isfinite(scaling.scales).all()
    assert encoded[0, 0] < encoded[2, 0] < encoded[4, 0]
    assert np.isfinite(scaling.inverse(encoded)).all()


def test_scaling_is_free_of_units():
    matrix = np.random.default_rng(3).standard_t(3, (200, 1))
    reference = RobustScaling.fit(matrix).transform(matrix)
    for unit in (2.0**-900, 2.0**900):
        scaled = matrix * unit
        np.testing.assert_array_equal(RobustScaling.fit(scaled).transform(scaled), reference)


def test_mostly_zero_column_falls_back_to_the_standard_deviation():
    matrix = column(*[0.0] * 99, 5.0)
    scaling = RobustScaling.fit(matrix)
    assert scaling.scales[0] == pytest.approx(np.std(matrix))
    assert np.std(scaling.transform(matrix).astype(float)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("values", [(3.0,), (0.1,) * 7, (0.0, 0.0), (1e300, 1e300), (-2.0, np.nan)])
def test_constant_column_encodes_to_zero_and_decodes_to_its_value(values):
    matrix = column(*values)
    scaling = RobustScaling.fit(matrix)
    encoded = scaling.transform(matrix)
    np.testing.assert_array_equal(np.isnan(encoded), np.isnan(matrix))
    assert (encoded[~np.isnan(encoded)] == 0).all()
    assert scaling.transform(column(123.0))[0, 0] == 0
    np.testing.assert_array_equal(scaling.inverse(encoded), matrix)


def test_rounding_noise_around_one_value_counts_as_constant():
    noisy = column(0.3, 0.1 + 0.2, 0.3, 0.3)
    assert np.ptp(noisy) > 0
    assert np.abs(RobustScaling.fit(noisy).transform(noisy)).max() == 0


def test_missing_cells_do_not_move_the_scaling():
    x = np.random.default_rng(4).normal(size=50)
    with_gaps = np.append(x, [np.nan] * 30).reshape(-1, 1)
    full, gaps = RobustScaling.fit(x.reshape(-1, 1)), RobustScaling.fit(with_gaps)
    assert (full.medians, full.scales) == (gaps.medians, gaps.scales)
    np.testing.assert_array_equal(full.transform(with_gaps), gaps.transform(with_gaps))


def test_inverse_recovers_values_within_the_documented_precision():
    matrix = np.random.default_rng(5).normal(50.0, 3.0, (400, 3))
    scaling = RobustScaling.fit(matrix)
    np.testing.assert_allclose(scaling.inverse(scaling.transform(matrix)), matrix, atol=3 * 5e-6)

    tail = np.append(np.linspace(-1, 1, 101), 1000 * 1.0 / 1.349).reshape(-1, 1)
    far = RobustScaling.fit(tail)
    assert far.inverse(far.transform(tail))[-1, 0] == pytest.approx(tail[-1, 0], rel=0.01)


def test_blocks_of_rows_give_the_numbers_of_single_rows():
    matrix = np.random.default_rng(6).normal(size=(20_000, 2))
    scaling = RobustScaling.fit(matrix)
    encoded = scaling.transform(matrix)
    for row in (0, 8191, 8192, 19_999):
        np.testing.assert_array_equal(scaling.transform(matrix[row : row + 1])[0], encoded[row])


def test_transform_leaves_its_input_unchanged():
    matrix = np.random.default_rng(7).normal(size=(10, 2))
    before = matrix.copy()
    RobustScaling.fit(matrix).transform(matrix)
    np.testing.assert_array_equal(matrix, before)
