"""Dropout from a generator of its own."""

from __future__ import annotations

import copy
import pickle

import torch

from tabimg.nn.dropout import Dropout

ONES = torch.ones(50, 40)


def with_generator(p: float, seed: int) -> Dropout:
    layer = Dropout(p)
    layer.generator = torch.Generator().manual_seed(seed)
    return layer


def test_dropout_drops_by_its_generator_and_scales_the_rest() -> None:
    drawn = torch.empty(50, 40).bernoulli_(0.75, generator=torch.Generator().manual_seed(1))
    assert torch.equal(with_generator(0.25, 1)(ONES), drawn / 0.75)


def test_dropout_with_a_generator_leaves_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    with_generator(0.5, 1)(ONES)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_without_a_generator_is_that_of_torch() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        expected = torch.nn.Dropout(0.3)(ONES)
        torch.manual_seed(2)
        assert torch.equal(Dropout(0.3)(ONES), expected)


def test_dropout_in_evaluation_mode_changes_nothing() -> None:
    assert torch.equal(with_generator(0.5, 1).eval()(ONES), ONES)


def test_dropout_rate_of_one_drops_everything() -> None:
    assert torch.equal(with_generator(1.0, 1)(ONES), torch.zeros_like(ONES))


def test_dropout_copies_and_pickles_without_its_generator() -> None:
    layer = with_generator(0.5, 1)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.generator is None
        assert twin.p == 0.5
