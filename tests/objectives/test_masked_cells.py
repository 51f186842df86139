from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tabimg.objectives import MaskedCellLoss

CARDINALITIES = (5, 4)


def batch(n_rows: int = 9, seed: int = 0, dtype=torch.float64):
    """Predictions, targets and masks with missing and unknown cells, some of them masked."""
    generator = torch.Generator().manual_seed(seed)
    numeric = torch.randn(n_rows, 3, generator=generator, dtype=dtype)
    logits = [
        torch.randn(n_rows, size - 2, generator=generator, dtype=dtype) for size in CARDINALITIES
    ]
    target = torch.randn(n_rows, 3, generator=generator, dtype=dtype)
    target[torch.rand(n_rows, 3, generator=generator) < 0.2] = math.nan
    codes = torch.stack(
        [torch.randint(0, size, (n_rows,), generator=generator) for size in CARDINALITIES], dim=1
    )
    numeric_mask = torch.rand(n_rows, 3, generator=generator) < 0.6
    code_mask = torch.rand(n_rows, 2, generator=generator) < 0.6
    return numeric, logits, target, codes, numeric_mask, code_mask


def loop_reference(numeric, logits, target, codes, numeric_mask, code_mask, weight, form) -> float:
    """Sum over the masked cells that have a true value, one by one, in float64."""
    total, count = 0.0, 0.0
    for row in range(len(numeric)):
        for column in range(numeric.shape[1]):
            truth = float(target[row, column])
            if numeric_mask[row, column] and not math.isnan(truth):
                total += weight[row] * abs(float(numeric[row, column]) - truth)
                count += weight[row]
        for column, scores in enumerate(logits):
            code = int(codes[row, column])
            if code_mask[row, column] and code >= 2:
                odds = np.exp(scores[row].numpy())
                probabilities = odds / odds.sum()
                if form == "l1_ce":
                    cell = -math.log(probabilities[code - 2])
                else:
                    one_hot = np.zeros(len(odds))
                    one_hot[code - 2] = 1.0
                    cell = np.abs(probabilities - one_hot).sum() / 2
                total += weight[row] * cell
                count += weight[row]
    return total / count


@pytest.mark.parametrize("form", ["l1_ce", "l1"])
def test_loss_equals_the_loop_reference(form):
    cells = batch()
    assert cells[2].isnan()[cells[4]].any()
    assert (cells[3] < 2)[cells[5]].any()
    expected = loop_reference(*cells, np.ones(9), form)
    assert MaskedCellLoss(form)(*cells).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["l1_ce", "l1"])
def test_weighted_loss_equals_the_loop_reference(form):
    cells = batch(seed=4)
    weight = np.random.default_rng(0).uniform(0.0, 3.0, size=9)
    expected = loop_reference(*cells, weight, form)
    loss = MaskedCellLoss(form)(*cells, torch.from_numpy(weight))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_numeric_cells_alone_equal_l1_loss_on_the_masked():
    numeric, _, target, _, mask, _ = batch()
    counted = mask & ~target.isnan()
    none = torch.zeros(9, 0, dtype=torch.int64)
    loss = MaskedCellLoss()(numeric, [], target, none, mask, none.bool())
    torch.testing.assert_close(loss, F.l1_loss(numeric[counted], target[counted]))


def test_categorical_cells_alone_equal_cross_entropy_on_the_masked():
    _, logits, _, codes, _, mask = batch()
    none = torch.zeros(9, 0, dtype=torch.float64)
    counted = mask[:, 0] & (codes[:, 0] >= 2)
    loss = MaskedCellLoss()(none, logits[:1], none, codes[:, :1], none.bool(), mask[:, :1])
    expected = F.cross_entropy(logits[0][counted], codes[counted, 0] - 2)
    torch.testing.assert_close(loss, expected)


def test_no_weight_equals_ones():
    cells = batch()
    loss = MaskedCellLoss()
    assert torch.equal(loss(*cells, torch.ones(9)), loss(*cells))


def test_integer_weights_equal_repeated_rows():
    numeric, logits, *others = batch(n_rows=4, seed=2)
    copies = torch.tensor([3, 1, 0, 2])
    ids = torch.arange(4).repeat_interleave(copies)
    loss = MaskedCellLoss()
    repeated = loss(numeric[ids], [scores[ids] for scores in logits], *(t[ids] for t in others))
    weighted = loss(numeric, logits, *others, copies)
    torch.testing.assert_close(weighted, repeated, rtol=1e-12, atol=0)


@pytest.mark.parametrize("form", ["l1_ce", "l1"])
def test_gradients_reach_masked_observed_cells_only(form):
    numeric, logits, target, codes, numeric_mask, code_mask = batch(dtype=torch.float32)
    leaves = [numeric, *logits]
    for leaf in leaves:
        leaf.requires_grad_()
    MaskedCellLoss(form)(numeric, logits, target, codes, numeric_mask, code_mask).backward()
    assert torch.equal(numeric.grad != 0, numeric_mask & ~target.isnan())
    for column, scores in enumerate(logits):
        reached = (scores.grad != 0).any(dim=1)
        assert torch.equal(reached, code_mask[:, column] & (codes[:, column] >= 2))


@pytest.mark.parametrize("form", ["l1_ce", "l1"])
def test_gradients_agree_with_finite_differences(form):
    numeric, logits, *others = batch(n_rows=4)
    leaves = [leaf.requires_grad_() for leaf in (numeric, *logits)]
    assert torch.autograd.gradcheck(
        lambda values, *scores: MaskedCellLoss(form)(values, scores, *others), leaves
    )


@pytest.mark.parametrize("form", ["l1_ce", "l1"])
def test_no_masked_cell_gives_exact_zero_with_zero_gradients(form):
    numeric, logits, target, codes, numeric_mask, code_mask = batch(dtype=torch.float32)
    numeric.requires_grad_()
    loss = MaskedCellLoss(form)(
        numeric, logits, target, codes, numeric_mask & False, code_mask & False
    )
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(numeric.grad, torch.zeros_like(numeric))


def test_only_missing_cells_masked_gives_exact_zero():
    numeric, logits, target, codes, numeric_mask, code_mask = batch()
    loss = MaskedCellLoss()(
        numeric, logits, target * math.nan, codes.clamp_max(1), numeric_mask, code_mask
    )
    assert loss.item() == 0.0


def test_pure_l1_form_is_between_zero_and_one():
    right = torch.tensor([[200.0, 0.0, 0.0]])
    none = torch.zeros(1, 0)
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss = MaskedCellLoss("l1")
    assert loss(none, [right], none, torch.tensor([[2]]), none.bool(), mask).item() == 0.0
    assert loss(none, [right], none, torch.tensor([[3]]), none.bool(), mask).item() == 1.0


def test_confidently_wrong_category_keeps_a_gradient_under_cross_entropy_only():
    none = torch.zeros(1, 0)
    mask = torch.ones(1, 1, dtype=torch.bool)
    slopes = {}
    for form in ("l1_ce", "l1"):
        scores = torch.tensor([[40.0, 0.0]], requires_grad=True)
        codes = torch.tensor([[3]])
        MaskedCellLoss(form)(none, [scores], none, codes, none.bool(), mask).backward()
        slopes[form] = scores.grad.abs().max().item()
    assert slopes["l1_ce"] == pytest.approx(1.0)
    assert slopes["l1"] < 1e-15


def test_column_without_a_predictable_category_is_passed_over():
    numeric, logits, target, codes, numeric_mask, code_mask = batch()
    with_empty = MaskedCellLoss()(
        numeric,
        [*logits, torch.zeros(9, 0, dtype=torch.float64)],
        target,
        torch.cat([codes, torch.ones(9, 1, dtype=torch.int64)], dim=1),
        numeric_mask,
        torch.cat([code_mask, torch.ones(9, 1, dtype=torch.bool)], dim=1),
    )
    expected = MaskedCellLoss()(numeric, logits, target, codes, numeric_mask, code_mask)
    assert torch.equal(with_empty, expected)


def test_half_precision_predictions_give_a_float32_loss_inside_autocast():
    numeric, logits, *others = batch(dtype=torch.float32)
    half = (numeric.bfloat16(), [scores.bfloat16() for scores in logits])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = MaskedCellLoss()(*half, *others)
    assert loss.dtype == torch.float32
    widened = MaskedCellLoss()(half[0].float(), [scores.float() for scores in half[1]], *others)
    assert torch.equal(loss, widened)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of"):
        MaskedCellLoss("l2")


def test_wrong_shapes_are_refused():
    numeric, logits, target, codes, numeric_mask, code_mask = batch()
    loss = MaskedCellLoss()
    with pytest.raises(ValueError, match=r"one shape \(B, p\)"):
        loss(numeric[:, :2], logits, target, codes, numeric_mask, code_mask)
    with pytest.raises(ValueError, match="codes and code_mask"):
        loss(numeric, logits[:1], target, codes, numeric_mask, code_mask)
    with pytest.raises(ValueError, match="categorical column 1"):
        loss(numeric, [logits[0], logits[1][:3]], target, codes, numeric_mask, code_mask)
    with pytest.raises(ValueError, match="weight"):
        loss(numeric, logits, target, codes, numeric_mask, code_mask, torch.ones(3))
