"""Modules come out the same whatever the process has set, and the process notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from tabimg.nn.isolation import isolated

SEED = 3


class Drawn(nn.Module):
    """Draws in the ways that modules of any age use."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)
        self.norm = nn.BatchNorm1d(4)
        self.attention = nn.TransformerEncoderLayer(8, 2)
        self.recurrent = nn.LSTM(3, 4)
        self.orthogonal = nn.init.orthogonal_(torch.empty(4, 4))
        self.legacy = nn.Parameter(nn.init.trunc_normal_(torch.Tensor(3, 4)))
        self.normal = nn.Parameter(torch.randn(2))
        self.alike = torch.rand_like(self.legacy)
        self.numbers = torch.normal(0.0, 1.0, (3,))
        self.order = torch.randperm(7)
        self.codes = torch.randint(5, (3,))
        self.tenth = torch.tensor([0.1])
        self.filled = torch.full((3,), 0.1)
        self.counted = torch.arange(4)
        self.kept = torch.zeros(9).bernoulli_(0.3)

    def tensors(self) -> dict[str, Tensor]:
        own = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return {**self.state_dict(), **own}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Drawn().tensors()


@pytest.fixture(params=[torch.float32, torch.float64])
def default_dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


def assert_equal(drawn: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert drawn.keys() == expected.keys()
    for name, value in expected.items():
        assert drawn[name].dtype == value.dtype, name
        assert drawn[name].device == value.device, name
        assert torch.equal(drawn[name], value), name


@pytest.mark.usefixtures("default_dtype")
def test_isolated_draws_what_the_seed_gives_in_float32(expected: dict[str, Tensor]) -> None:
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    with isolated(SEED):
        assert_equal(Drawn().tensors(), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == dtype


def test_isolated_under_another_default_device_stays_on_the_cpu(
    expected: dict[str, Tensor],
) -> None:
    torch.set_default_device("meta")
    try:
        with isolated(SEED):
            drawn = Drawn().tensors()
    finally:
        torch.set_default_device(None)
    assert_equal(drawn, expected)


def test_isolated_keeps_a_dtype_that_is_asked_for() -> None:
    with isolated(SEED):
        assert torch.zeros(2, dtype=torch.float64).dtype == torch.float64
        assert torch.rand(2, dtype=torch.float16).dtype == torch.float16
        assert torch.full((2,), 1).dtype == torch.int64


def test_isolated_ends_with_an_error() -> None:
    with pytest.raises(KeyError), isolated(SEED):
        raise KeyError
    before = torch.get_rng_state()
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(before)


def test_isolated_leaves_the_draws_of_other_threads_alone() -> None:
    own = torch.Generator().manual_seed(8)
    with isolated(SEED), ThreadPoolExecutor(1) as pool, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(8)
        assert torch.equal(pool.submit(torch.rand, 5).result(), torch.rand(5, generator=own))
