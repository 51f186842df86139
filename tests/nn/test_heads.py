from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn import MaskPredictionHead, ProjectionHead, TaskHead


def unreached(module: torch.nn.Module) -> list[str]:
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def test_projection_head_is_linear_relu_linear():
    head = ProjectionHead(6, 5)
    embedding = torch.randn(4, 6)
    hidden = F.relu(embedding @ head.hidden.weight.T + head.hidden.bias)
    expected = hidden @ head.out.weight.T + head.out.bias
    torch.testing.assert_close(head(embedding), expected)
    assert expected.shape == (4, head.out_features) == (4, 128)


def test_projection_head_takes_a_single_row_in_training():
    head = ProjectionHead(6, 5, 3).train()
    assert head(torch.randn(1, 6)).shape == (1, 3)


def test_projection_head_gradients_reach_every_parameter():
    head = ProjectionHead(6, 5, 3)
    head(torch.randn(32, 6)).square().sum().backward()
    assert unreached(head) == []


def test_mask_head_predicts_numbers_and_the_real_categories():
    head = MaskPredictionHead(6, 3, [5, 2, 12])
    numeric, logits = head(torch.randn(4, 6))
    assert numeric.shape == (4, 3)
    assert [tuple(scores.shape) for scores in logits] == [(4, 3), (4, 0), (4, 10)]


def test_mask_head_starts_near_zero():
    numeric, logits = MaskPredictionHead(64, 3, [5])(torch.randn(32, 64))
    assert numeric.abs().max() < 1
    assert logits[0].abs().max() < 1


@pytest.mark.parametrize(("n_numeric", "cardinalities"), [(3, []), (0, [4, 5])])
def test_mask_head_with_one_kind_of_column_reaches_every_parameter(n_numeric, cardinalities):
    head = MaskPredictionHead(6, n_numeric, cardinalities)
    numeric, logits = head(torch.randn(32, 6))
    assert numeric.shape == (32, n_numeric)
    assert len(logits) == len(cardinalities)
    torch.cat([numeric, *logits], dim=1).square().sum().backward()
    assert unreached(head) == []


def test_mask_head_of_no_column_or_too_few_codes_raises():
    with pytest.raises(ValueError, match="at least one column"):
        MaskPredictionHead(6, 0, [])
    with pytest.raises(ValueError, match="at least 2"):
        MaskPredictionHead(6, 1, [1])


def test_task_head_is_linear_by_default():
    head = TaskHead(6, 2)
    features = torch.randn(4, 6)
    torch.testing.assert_close(head(features), features @ head.out.weight.T + head.out.bias)


def test_task_head_with_hidden_layers_reaches_every_parameter():
    head = TaskHead(6, 2, hidden_features=(8, 7))
    output = head(torch.randn(64, 6))
    output.square().sum().backward()
    assert output.shape == (64, 2)
    assert unreached(head) == []


def test_task_head_starts_near_zero():
    assert TaskHead(64, 3)(torch.randn(32, 64)).abs().max() < 1


def test_task_head_dropout_acts_in_training_only():
    head = TaskHead(64, 3, dropout=0.5)
    features = torch.randn(8, 64)
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


def test_invalid_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ProjectionHead(0, 3)
    with pytest.raises(ValueError, match="at least 1"):
        TaskHead(3, 2, hidden_features=(0,))
    with pytest.raises(ValueError, match="dropout"):
        TaskHead(3, 2, dropout=1.0)
