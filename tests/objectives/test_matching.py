from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.nn import functional as F

from tabimg.objectives import MatchingLoss, draw_hard_negatives


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nothing(n_pairs: int) -> torch.Tensor:
    return torch.zeros(n_pairs, n_pairs, dtype=torch.bool)


def test_draws_follow_the_softmax_over_what_is_not_excluded():
    similarity = 2 * torch.randn(5, 5, generator=generator())
    excluded = nothing(5)
    excluded[0, 3] = excluded[2, 1] = True
    stream = generator(1)
    n_draws = 4000
    counts = np.zeros((2, 5, 5))
    for _ in range(n_draws):
        drawn = draw_hard_negatives(similarity, excluded, stream)
        for side in range(2):
            counts[side, np.arange(5), drawn[side].numpy()] += 1
    refused = excluded | torch.eye(5, dtype=torch.bool)
    for side in range(2):
        scores = similarity.double().numpy().copy()
        scores[refused.numpy()] = -np.inf
        of_side = scores if side == 0 else scores.T
        for anchor in range(5):
            probability = special.softmax(of_side[anchor])
            possible = probability > 0
            assert counts[side, anchor, ~possible].sum() == 0
            result = stats.chisquare(
                counts[side, anchor, possible], n_draws * probability[possible]
            )
            assert result.pvalue > 1e-3


def test_draws_never_give_the_pair_itself_or_an_excluded_one():
    excluded = torch.rand(40, 40, generator=generator()) < 0.5
    similarity = 100 * torch.eye(40) + 50 * excluded
    rows, images = draw_hard_negatives(similarity, excluded, generator(1))
    own = torch.arange(40)
    for drawn, refused in ((rows, excluded), (images, excluded.T)):
        assert drawn.dtype == torch.int64
        assert (drawn >= 0).all()
        assert (drawn != own).all()
        assert not refused[own, drawn].any()


def test_nobody_to_draw_gives_minus_one_on_the_side_where_it_is_so():
    excluded = nothing(3)
    excluded[0, 1:] = True  # photo 0 has no other row, yet row 0 has other photos
    rows, images = draw_hard_negatives(torch.zeros(3, 3), excluded, generator())
    assert rows[0].item() == -1
    assert (rows[1:] >= 0).all()
    assert (images >= 0).all()
    rows, images = draw_hard_negatives(torch.zeros(1, 1), nothing(1), generator())
    assert rows.tolist() == images.tolist() == [-1]


def test_cohorts_in_the_mask_give_negatives_of_the_same_cohort():
    cohort = torch.tensor([0, 0, 0, 1, 1, 2])
    excluded = cohort.unsqueeze(0) != cohort.unsqueeze(1)
    rows, images = draw_hard_negatives(torch.randn(6, 6), excluded, generator())
    for drawn in (rows, images):
        assert drawn[-1].item() == -1  # alone in its cohort
        assert torch.equal(cohort[drawn[:5]], cohort[:5])


def test_extreme_similarities_draw_the_most_alike():
    similarity = torch.zeros(4, 4)
    similarity[:, 2] = 1e4
    rows, _ = draw_hard_negatives(similarity, nothing(4), generator())
    assert rows[[0, 1, 3]].tolist() == [2, 2, 2]
    assert rows[2].item() != 2


def test_draws_repeat_with_the_seed_and_leave_the_global_stream():
    similarity = torch.randn(30, 30, generator=generator())
    state = torch.get_rng_state()
    first = draw_hard_negatives(similarity, nothing(30), generator(5))
    again = draw_hard_negatives(similarity, nothing(30), generator(5))
    other = draw_hard_negatives(similarity, nothing(30), generator(6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_draws_take_half_precision_and_follow_no_gradient():
    similarity = torch.randn(4, 4, dtype=torch.bfloat16, requires_grad=True)
    rows, images = draw_hard_negatives(similarity, nothing(4), generator())
    assert not rows.requires_grad
    assert not images.requires_grad


@pytest.mark.parametrize(
    ("similarity", "excluded", "match"),
    [
        (torch.zeros(3, 2), nothing(3), "similarity must have shape"),
        (torch.zeros(0, 0), nothing(0), "B at least 1"),
        (torch.zeros(3, 3), nothing(2), "excluded must be bool"),
        (torch.zeros(3, 3), torch.zeros(3, 3), "excluded must be bool"),
    ],
)
def test_draws_from_wrong_shapes_or_dtypes_raise(similarity, excluded, match):
    with pytest.raises(ValueError, match=match):
        draw_hard_negatives(similarity, excluded, generator())


def pairs(n_pairs: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.randn(n_pairs, 2, generator=generator(), dtype=torch.float64)
    return logits, torch.rand(n_pairs, generator=generator(1)) < 0.4


def test_loss_equals_the_formula_with_weights():
    logits, matched = pairs()
    weight = np.random.default_rng(0).uniform(0.1, 3.0, size=9)
    terms = [
        math.log(math.exp(a) + math.exp(b)) - (b if belongs else a)
        for (a, b), belongs in zip(logits.tolist(), matched.tolist(), strict=True)
    ]
    loss = MatchingLoss()(logits, matched, torch.from_numpy(weight))
    assert loss.item() == pytest.approx(np.average(terms, weights=weight), rel=1e-12)


def test_loss_without_weights_equals_torchs_cross_entropy():
    logits, matched = pairs()
    expected = F.cross_entropy(logits, matched.long())
    torch.testing.assert_close(MatchingLoss()(logits, matched), expected, rtol=1e-12, atol=0)


def test_integer_weights_equal_repeated_pairs():
    logits, matched = pairs(4)
    copies = torch.tensor([2, 0, 3, 1])
    repeated = MatchingLoss()(
        logits.repeat_interleave(copies, dim=0), matched.repeat_interleave(copies)
    )
    torch.testing.assert_close(MatchingLoss()(logits, matched, copies), repeated)


def test_nothing_to_compute_on_gives_exact_zero_with_gradients():
    logits, matched = pairs()
    logits.requires_grad_()
    loss = MatchingLoss()(logits, matched, torch.zeros(9))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    empty = torch.zeros(0, 2, requires_grad=True)
    loss = MatchingLoss()(empty, torch.zeros(0, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    wrong = MatchingLoss()(logits, torch.tensor([True, False]))
    right = MatchingLoss()(logits, torch.tensor([False, True]))
    assert (wrong.item(), right.item()) == (2e4, 0.0)


def test_autocast_computes_in_float32():
    logits = torch.randn(6, 2, generator=generator()).bfloat16()
    matched = torch.arange(6) < 2
    expected = MatchingLoss()(logits.float(), matched)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(MatchingLoss()(logits, matched), expected)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((torch.zeros(3, 3), torch.ones(3, dtype=torch.bool)), "logits must have shape"),
        ((torch.zeros(3, 2), torch.ones(2, dtype=torch.bool)), "matched must be bool"),
        ((torch.zeros(3, 2), torch.ones(3)), "matched must be bool"),
        ((torch.zeros(3, 2), torch.ones(3, dtype=torch.bool), torch.ones(3, 1)), "weight"),
    ],
)
def test_wrong_shape_or_dtype_raises(arguments, match):
    with pytest.raises(ValueError, match=match):
        MatchingLoss()(*arguments)
