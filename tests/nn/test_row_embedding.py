from __future__ import annotations

import math

import pytest
import torch

from tabimg.nn import RowEmbedding

NAN = math.nan


def example() -> tuple[RowEmbedding, torch.Tensor, torch.Tensor]:
    embedding = RowEmbedding(3, [False, True, False], [4, 40])
    numeric = torch.tensor([[1.0, NAN, 3.0], [NAN, 5.0, NAN]])
    codes = torch.tensor([[2, 39], [0, 1]])
    return embedding, numeric, codes


def test_features_are_numbers_then_indicators_then_categories():
    embedding, numeric, codes = example()
    features = embedding(numeric, codes)
    assert features.shape == (2, embedding.out_features) == (2, 3 + 1 + 4 + 32)
    expected = torch.tensor([[1.0, 0.0, 3.0, 1.0], [0.0, 5.0, 0.0, 0.0]])
    assert torch.equal(features[:, :4], expected)
    assert torch.equal(features[0, 4:8], torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert torch.equal(features[0, 8:], embedding.embeddings[1].weight[39])


def test_small_column_starts_as_one_hot_and_unknown_and_missing_as_zero():
    embedding = RowEmbedding(0, [], [5])
    features = embedding(torch.zeros(5, 0), torch.arange(5).unsqueeze(1))
    expected = torch.eye(5)
    expected[:2] = 0.0
    assert torch.equal(features, expected)


def test_missing_code_learns_where_training_has_missing_cells():
    embedding = RowEmbedding(0, [], [5])
    weight = embedding.embeddings[0].weight
    embedding(torch.zeros(2, 0), torch.tensor([[0], [1]])).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad[0], torch.zeros(5))  # unknown never learns
    assert torch.equal(weight.grad[1], torch.ones(5))


def test_large_column_starts_with_vectors_of_about_unit_norm():
    embedding = RowEmbedding(0, [], [1026])
    weight = embedding.embeddings[0].weight.detach()
    assert weight.shape == (1026, 32)
    assert torch.equal(weight[:2], torch.zeros(2, 32))
    assert weight[2:].square().sum(dim=1).mean().item() == pytest.approx(1.0, abs=0.1)


def test_missing_number_takes_the_learned_value_of_its_column():
    embedding = RowEmbedding(3, [True, False, True], [])
    with torch.no_grad():
        embedding.fill_value.copy_(torch.tensor([7.0, 9.0]))
    features = embedding(torch.full((1, 3), NAN), torch.zeros(1, 0, dtype=torch.int64))
    assert torch.equal(features, torch.tensor([[7.0, 0.0, 9.0, 1.0, 1.0]]))


def test_gradients_are_finite_and_reach_fill_values_and_seen_codes_only():
    embedding, numeric, codes = example()
    numeric.requires_grad_()
    embedding(numeric, codes).square().sum().backward()
    assert torch.equal(numeric.grad, torch.tensor([[2.0, 0.0, 6.0], [0.0, 10.0, 0.0]]))
    assert torch.isfinite(embedding.fill_value.grad).all()
    embedding.zero_grad()
    embedding(numeric, codes).sum().backward()  # the missing code starts at 0, where squares rest
    seen = embedding.embeddings[1].weight.grad.abs().sum(dim=1).nonzero().flatten()
    assert seen.tolist() == [1, 39]


def test_fill_value_gradient_counts_the_missing_cells():
    embedding = RowEmbedding(2, [True, True], [])
    numeric = torch.tensor([[NAN, 1.0], [NAN, 2.0], [NAN, NAN]])
    embedding(numeric, torch.zeros(3, 0, dtype=torch.int64)).sum().backward()
    assert embedding.fill_value.grad.tolist() == [3.0, 1.0]


def test_unknown_code_stays_the_zero_vector_in_training():
    embedding = RowEmbedding(0, [], [4])
    embedding(torch.zeros(2, 0), torch.tensor([[0], [3]])).sum().backward()
    gradient = embedding.embeddings[0].weight.grad
    assert torch.equal(gradient[0], torch.zeros(4))
    assert torch.equal(gradient[3], torch.ones(4))


def test_table_of_numbers_alone_or_categories_alone_is_embedded():
    numbers = RowEmbedding(2, [False, False], [])
    features = numbers(torch.tensor([[1.0, NAN]]), torch.zeros(1, 0, dtype=torch.int64))
    assert torch.equal(features, torch.tensor([[1.0, 0.0]]))
    assert list(numbers.parameters()) == []
    categories = RowEmbedding(0, [], [3, 3])
    assert categories(torch.zeros(1, 0), torch.tensor([[1, 2]])).shape == (1, 6)


def test_state_dict_round_trip_gives_equal_features():
    embedding, numeric, codes = example()
    with torch.no_grad():
        embedding.fill_value.fill_(2.0)
    other = example()[0]
    other.load_state_dict(embedding.state_dict())
    assert torch.equal(other(numeric, codes), embedding(numeric, codes))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0, [], []), "at least one"),
        ((2, [True], []), "numeric_has_missing"),
        ((0, [], [3, 1]), "column 1 is 1"),
    ],
)
def test_inconsistent_columns_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        RowEmbedding(*arguments)


def test_batch_with_other_columns_raises():
    embedding, numeric, codes = example()
    with pytest.raises(ValueError, match="numeric must have shape"):
        embedding(numeric[:, :2], codes)
    with pytest.raises(ValueError, match="codes must have shape"):
        embedding(numeric, codes[:, :1])
