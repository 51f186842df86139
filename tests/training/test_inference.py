"""A row's result does not depend on the rows beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tabimg.nn import MLPEncoder
from tabimg.table import EncodedTable
from tabimg.training.inference import BLOCK_ROWS, apply_in_blocks, apply_to_table

CPU = torch.device("cpu")


@pytest.fixture
def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLPEncoder(5, embedding_dim=7, width=32).eval()


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 200])
def test_rows_are_bit_equal_alone_in_any_order_and_in_any_company(
    network: torch.nn.Module, n_rows: int
) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_rows, 5)).astype(np.float32)
    together = apply_in_blocks(network, (features,), CPU)
    assert together.shape == (n_rows, 7)
    assert together.dtype == np.float32
    order = rng.permutation(n_rows)
    assert np.array_equal(apply_in_blocks(network, (features[order],), CPU), together[order])
    for row in (0, n_rows // 2, n_rows - 1):
        alone = apply_in_blocks(network, (features[row : row + 1],), CPU)
        assert np.array_equal(alone[0], together[row])


def test_result_is_that_of_the_plain_call(network: torch.nn.Module) -> None:
    features = np.random.default_rng(0).standard_normal((100, 5)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(features)).numpy()
    assert np.allclose(apply_in_blocks(network, (features,), CPU), expected, atol=1e-6)


def test_function_sees_blocks_of_one_height_without_gradient() -> None:
    heights = []

    def look(block: torch.Tensor) -> torch.Tensor:
        heights.append(len(block))
        assert not torch.is_grad_enabled()
        return block

    values = np.arange(150, dtype=np.float32)[:, None]
    assert np.array_equal(apply_in_blocks(look, (values,), CPU), values)
    assert heights == [BLOCK_ROWS] * 3


def test_apply_to_table_hands_all_parts_over_on_one_thread() -> None:
    table = EncodedTable(np.full((70, 2), 0.5, dtype=np.float32), np.full((70, 1), 3))
    further = np.full((70, 1), 2.0, dtype=np.float32)
    threads = []

    def add(numeric: torch.Tensor, codes: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return numeric + codes + extra

    before = torch.get_num_threads()
    assert np.array_equal(apply_to_table(add, table, further, device=CPU), np.full((70, 2), 5.5))
    assert set(threads) == {1}
    assert torch.get_num_threads() == before
