from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tabimg.objectives import InfoNCE, positives_from_ids


def projections(n_pairs: int, width: int = 6, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n_pairs, width, generator=generator, dtype=dtype)
    rows = torch.randn(n_pairs, width, generator=generator, dtype=dtype)
    return images, rows


def loop_reference(images, rows, positives, weight, temperature) -> float:
    """The formula, cell by cell, in float64."""
    images = np.asarray(images, dtype=np.float64)
    rows = np.asarray(rows, dtype=np.float64)
    n_pairs = len(images)

    def cosine(a, b):
        return float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))

    similarity = np.empty((n_pairs, n_pairs))
    for i in range(n_pairs):
        for j in range(n_pairs):
            similarity[i, j] = cosine(images[i], rows[j]) / temperature

    total = 0.0
    for scores, related in ((similarity, positives), (similarity.T, positives.T)):
        for i in range(n_pairs):
            denominator = sum(weight[k] * math.exp(scores[i, k]) for k in range(n_pairs))
            own = [j for j in range(n_pairs) if related[i, j]]
            share = sum(weight[j] for j in own)
            for j in own:
                log_probability = scores[i, j] - math.log(denominator)
                total -= 0.5 * weight[i] * (weight[j] / share) * log_probability
    return total / sum(weight)


def test_single_positive_equals_symmetric_cross_entropy():
    images, rows = projections(7)
    logits = F.normalize(images, dim=1) @ F.normalize(rows, dim=1).T / 0.1
    labels = torch.arange(7)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(InfoNCE(0.1)(images, rows), expected, rtol=1e-12, atol=0)


def test_single_positive_gradients_equal_those_of_cross_entropy():
    images, rows = projections(5)
    ours = [images.clone().requires_grad_(), rows.clone().requires_grad_()]
    theirs = [images.clone().requires_grad_(), rows.clone().requires_grad_()]
    InfoNCE(0.2)(*ours).backward()
    logits = F.normalize(theirs[0], dim=1) @ F.normalize(theirs[1], dim=1).T / 0.2
    labels = torch.arange(5)
    ((F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2).backward()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-10, atol=1e-14)


def test_several_positives_equal_the_loop_reference():
    images, rows = projections(8)
    ids = torch.tensor([0, 1, 0, 2, 3, 1, 0, 4])
    positives = positives_from_ids(ids)
    expected = loop_reference(images, rows, positives.numpy(), np.ones(8), 0.1)
    assert InfoNCE(0.1)(images, rows, positives).item() == pytest.approx(expected, rel=1e-12)


def test_positives_that_are_not_symmetric_equal_the_loop_reference():
    images, rows = projections(6, seed=3)
    positives = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.3
    positives |= torch.eye(6, dtype=torch.bool)
    expected = loop_reference(images, rows, positives.numpy(), np.ones(6), 0.5)
    assert InfoNCE(0.5)(images, rows, positives).item() == pytest.approx(expected, rel=1e-12)


def test_weights_with_several_positives_equal_the_loop_reference():
    images, rows = projections(7, seed=1)
    positives = positives_from_ids(torch.tensor([0, 0, 1, 2, 1, 1, 3]))
    weight = np.random.default_rng(0).uniform(0.2, 3.0, size=7)
    expected = loop_reference(images, rows, positives.numpy(), weight, 0.1)
    loss = InfoNCE(0.1)(images, rows, positives, torch.from_numpy(weight))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_float32_batch_is_close_to_the_float64_reference():
    images, rows = projections(64, width=128, dtype=torch.float32)
    positives = positives_from_ids(torch.arange(64) // 2)
    expected = loop_reference(images, rows, positives.numpy(), np.ones(64), 0.1)
    assert InfoNCE(0.1)(images, rows, positives).item() == pytest.approx(expected, rel=1e-5)


def test_integer_weights_equal_repeated_pairs():
    images, rows = projections(4)
    copies = torch.tensor([2, 1, 3, 1])
    ids = torch.arange(4).repeat_interleave(copies)
    repeated = InfoNCE(0.1)(images[ids], rows[ids], positives_from_ids(ids))
    weighted = InfoNCE(0.1)(images, rows, weight=copies)
    torch.testing.assert_close(weighted, repeated, rtol=1e-12, atol=0)


def test_zero_weight_equals_an_absent_pair():
    images, rows = projections(5)
    positives = positives_from_ids(torch.tensor([0, 0, 1, 1, 2]))
    keep = torch.tensor([0, 2, 3])
    weight = torch.zeros(5).index_fill(0, keep, 1.0)
    expected = InfoNCE(0.1)(images[keep], rows[keep], positives[keep][:, keep])
    torch.testing.assert_close(
        InfoNCE(0.1)(images, rows, positives, weight), expected, rtol=1e-12, atol=0
    )


def test_all_zero_weights_give_exact_zero_and_zero_gradients():
    images, rows = projections(4, dtype=torch.float32)
    images.requires_grad_()
    loss = InfoNCE(0.1)(images, rows, weight=torch.zeros(4))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(images.grad, torch.zeros_like(images))


def test_no_weight_equals_ones():
    images, rows = projections(6)
    positives = positives_from_ids(torch.tensor([0, 1, 0, 2, 2, 3]))
    loss = InfoNCE(0.1)
    plain = loss(images, rows, positives)
    assert torch.equal(loss(images, rows, positives, torch.ones(6)), plain)


def test_common_factor_of_all_weights_leaves_the_gradients():
    images, rows = projections(6)
    images.requires_grad_()
    weight = torch.arange(1.0, 7.0, dtype=torch.float64)
    (plain,) = torch.autograd.grad(InfoNCE(0.1)(images, rows, weight=weight), images)
    (scaled,) = torch.autograd.grad(InfoNCE(0.1)(images, rows, weight=100 * weight), images)
    torch.testing.assert_close(scaled, plain, rtol=1e-10, atol=1e-14)


def test_no_positives_equals_the_diagonal_which_is_always_positive():
    images, rows = projections(5)
    loss = InfoNCE(0.1)
    plain = loss(images, rows)
    assert torch.equal(loss(images, rows, torch.eye(5, dtype=torch.bool)), plain)
    assert torch.equal(loss(images, rows, torch.zeros(5, 5, dtype=torch.bool)), plain)


def test_scale_of_projections_does_not_matter():
    images, rows = projections(5)
    loss = InfoNCE(0.1)
    torch.testing.assert_close(loss(1e3 * images, 1e-3 * rows), loss(images, rows))


def test_exchanging_the_modalities_gives_the_same_loss():
    images, rows = projections(5)
    positives = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)) < 0.4
    loss = InfoNCE(0.1)
    torch.testing.assert_close(loss(images, rows, positives), loss(rows, images, positives.T))


def test_uninformative_projections_give_the_logarithm_of_the_batch_size():
    same = torch.ones(32, 8)
    assert InfoNCE(0.1)(same, same).item() == pytest.approx(math.log(32), rel=1e-6)


def test_all_rows_identical_cost_the_entropy_and_pull_nothing_apart():
    images, _ = projections(4)
    everything = torch.ones(4, 4, dtype=torch.bool)
    aligned = images[:1].expand(4, -1).clone().requires_grad_()
    loss = InfoNCE(0.1)(aligned, aligned, everything)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    torch.testing.assert_close(aligned.grad, torch.zeros_like(aligned), rtol=0, atol=1e-12)


def test_batch_of_one_pair_costs_nothing():
    images, rows = projections(1)
    assert InfoNCE(0.1)(images, rows).item() == 0.0


def test_gradients_agree_with_finite_differences():
    images, rows = projections(4)
    positives = positives_from_ids(torch.tensor([0, 0, 1, 2]))
    weight = torch.tensor([1.0, 2.0, 0.0, 0.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, b: InfoNCE(0.5)(a, b, positives, weight),
        (images.requires_grad_(), rows.requires_grad_()),
    )


def test_zero_projection_gives_finite_gradients():
    images, rows = projections(3, dtype=torch.float32)
    images[1] = 0.0
    images.requires_grad_()
    InfoNCE(0.1)(images, rows).backward()
    assert torch.isfinite(images.grad).all()


def test_small_temperature_stays_finite():
    images, rows = projections(8, dtype=torch.float32)
    loss = InfoNCE(1e-3)(images, rows)
    expected = loop_free_limit(images, rows, 1e-3)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def loop_free_limit(images, rows, temperature: float) -> float:
    images, rows = images.double().numpy(), rows.double().numpy()
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = images @ rows.T / temperature
    own = np.diag(scores)
    terms = np.logaddexp.reduce(scores, axis=1) + np.logaddexp.reduce(scores, axis=0) - 2 * own
    return float(terms.mean() / 2)


def test_autocast_computes_in_float32():
    images, rows = projections(16, width=64, dtype=torch.float32)
    expected = InfoNCE(0.1)(images, rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(InfoNCE(0.1)(images, rows), expected)
        half = InfoNCE(0.1)(images.bfloat16(), rows.bfloat16())
    assert half.dtype == torch.float32
    assert torch.equal(half, InfoNCE(0.1)(images.bfloat16().float(), rows.bfloat16().float()))


def excluded_reference(images, rows, positives, excluded, weight, temperature) -> float:
    """Each anchor against its candidates alone, one sub-batch at a time, in float64."""
    images = F.normalize(images, dim=1).double().numpy()
    rows = F.normalize(rows, dim=1).double().numpy()
    scores = images @ rows.T / temperature
    n_pairs, total = len(images), 0.0
    for side, related, refused in (
        (scores, positives, excluded),
        (scores.T, positives.T, excluded.T),
    ):
        for i in range(n_pairs):
            own = [j for j in range(n_pairs) if related[i, j]]
            candidates = [j for j in range(n_pairs) if related[i, j] or not refused[i, j]]
            log_sum = math.log(sum(weight[k] * math.exp(side[i, k]) for k in candidates))
            share = sum(weight[j] for j in own)
            total += 0.5 * weight[i] * sum(weight[j] * (log_sum - side[i, j]) for j in own) / share
    return total / sum(weight)


def test_excluded_pairs_equal_the_reference_without_them():
    images, rows = projections(7)
    positives = positives_from_ids(torch.tensor([0, 0, 1, 2, 3, 3, 4]))
    excluded = torch.rand(7, 7, generator=torch.Generator().manual_seed(2)) < 0.5
    weight = np.random.default_rng(1).uniform(0.2, 3.0, size=7)
    expected = excluded_reference(
        images, rows, positives.numpy(), excluded.numpy(), weight, temperature=0.2
    )
    loss = InfoNCE(0.2)(images, rows, positives, torch.from_numpy(weight), excluded)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_excluding_other_cohorts_equals_the_mean_over_cohorts():
    images, rows = projections(9)
    cohort = torch.tensor([0, 1, 0, 2, 1, 0, 0, 2, 1])
    excluded = cohort.unsqueeze(0) != cohort.unsqueeze(1)
    loss = InfoNCE(0.1)
    parts = [loss(images[cohort == c], rows[cohort == c]) * (cohort == c).sum() for c in range(3)]
    torch.testing.assert_close(loss(images, rows, excluded=excluded), sum(parts) / 9)


def test_excluded_pair_gets_no_gradient():
    images, rows = projections(4)
    rows.requires_grad_()
    excluded = ~torch.eye(4, dtype=torch.bool)
    excluded[0, 1] = excluded[1, 0] = False
    InfoNCE(0.1)(images, rows, excluded=excluded).backward()
    assert torch.equal(rows.grad[2:], torch.zeros(2, 6, dtype=torch.float64))
    assert rows.grad[:2].any()


def test_excluding_everything_but_positives_costs_what_they_cost_alone():
    images, rows = projections(4)
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert InfoNCE(0.1)(images, rows, excluded=everything).item() == 0.0
    positives = positives_from_ids(torch.tensor([0, 0, 1, 1]))
    pair = [InfoNCE(0.1)(images[i], rows[i], everything[:2, :2]) for i in ([0, 1], [2, 3])]
    loss = InfoNCE(0.1)(images, rows, positives, excluded=everything)
    torch.testing.assert_close(loss, sum(pair) / 2)


def test_excluding_nothing_equals_no_exclusion():
    images, rows = projections(5)
    loss = InfoNCE(0.1)
    nothing = torch.zeros(5, 5, dtype=torch.bool)
    assert torch.equal(loss(images, rows, excluded=nothing), loss(images, rows))


def test_exclusion_with_all_zero_weights_stays_exact_zero():
    images, rows = projections(3, dtype=torch.float32)
    images.requires_grad_()
    everything = torch.ones(3, 3, dtype=torch.bool)
    loss = InfoNCE(0.1)(images, rows, weight=torch.zeros(3), excluded=everything)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(images.grad, torch.zeros_like(images))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_out_of_range_raises(temperature):
    with pytest.raises(ValueError, match="temperature"):
        InfoNCE(temperature)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((torch.ones(3, 2), torch.ones(4, 2)), "one shape"),
        ((torch.ones(3), torch.ones(3)), "one shape"),
        ((torch.ones(0, 2), torch.ones(0, 2)), "empty batch"),
        ((torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 2, dtype=torch.bool)), "positives"),
        ((torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 3)), "positives must be bool"),
        ((torch.ones(3, 2), torch.ones(3, 2), None, torch.ones(3, 1)), "weight"),
        (
            (torch.ones(3, 2), torch.ones(3, 2), None, None, torch.ones(3, 3)),
            "excluded must be bool",
        ),
    ],
)
def test_wrong_shape_or_dtype_raises(arguments, match):
    with pytest.raises(ValueError, match=match):
        InfoNCE()(*arguments)


def test_positives_join_any_agreeing_id_without_transitive_closure():
    row_key = torch.tensor([5, 5, 6, 7])
    image = torch.tensor([0, 1, 1, 2])
    positives = positives_from_ids(row_key, image)
    expected = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    assert torch.equal(positives, expected.bool())


def test_positives_ignore_absent_ids_but_keep_the_diagonal():
    group = torch.tensor([-1, -1, 3, 3])
    expected = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert torch.equal(positives_from_ids(group), expected.bool())


def test_positives_of_unequal_lengths_or_no_ids_raise():
    with pytest.raises(ValueError, match="one length"):
        positives_from_ids(torch.arange(3), torch.arange(4))
    with pytest.raises(ValueError, match="at least one"):
        positives_from_ids()
