from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn import CellTokens, ColumnLayout, MaskedValueHead, TabularTransformer
from tabimg.objectives import MaskedCellLoss


def layout() -> ColumnLayout:
    return ColumnLayout(
        torch.randn(5, 7), [torch.randn(2, 7), torch.randn(0, 7), torch.randn(4, 7)]
    )


def test_predictions_equal_the_formula_cell_by_cell():
    head, columns, cells = MaskedValueHead(6, 7), layout(), torch.randn(3, 5, 6)
    numeric, logits = head(cells, columns)
    assert numeric.shape == (3, 2)
    assert [tuple(scores.shape) for scores in logits] == [(3, 2), (3, 0), (3, 4)]
    for i in range(3):
        hidden = F.gelu(head.hidden(cells[i]))
        torch.testing.assert_close(numeric[i], head.number(hidden[:2])[:, 0])
        query = head.query(hidden[4])
        expected = [query.dot(text) / 7**0.5 for text in columns.texts[2:]]
        torch.testing.assert_close(logits[2][i], torch.stack(expected))


def test_first_predictions_are_near_zero():
    numeric, logits = MaskedValueHead(64, 7)(torch.randn(32, 5, 64), layout())
    assert numeric.abs().max() < 0.5
    assert max(scores.abs().max() for scores in (logits[0], logits[2])) < 0.5


def test_same_head_serves_any_columns_and_reaches_every_parameter():
    head = MaskedValueHead(6, 7)
    for columns in (layout(), ColumnLayout(torch.randn(2, 7)), ColumnLayout(torch.randn(3, 7))):
        numeric, logits = head(torch.randn(8, len(columns.headers), 6), columns)
        torch.cat([numeric, *logits], dim=1).square().sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_masked_cells_are_learned_from_the_others_in_two_cohorts():
    """The second number and the category repeat the first number; cohorts share the headers."""
    headers, texts = torch.randn(3, 7), torch.randn(2, 7)
    first = ColumnLayout(headers, [texts])
    second = ColumnLayout(headers[[1, 0, 2]], [texts.flip(0)])
    cells, transformer = CellTokens(7, 16), TabularTransformer(16, 2, 1)
    head, objective = MaskedValueHead(16, 7), MaskedCellLoss()
    parameters = [p for module in (cells, transformer, head) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)

    def loss_of(columns: ColumnLayout, source: int, turned: bool) -> torch.Tensor:
        x = torch.randn(64, 1)
        codes = 2 + ((x > 0) ^ turned).long()
        hidden = torch.full_like(x, torch.nan)
        seen = torch.cat([x, hidden] if source == 0 else [hidden, x], dim=1)
        mask = seen.isnan()
        tokens, present = cells(seen, torch.ones_like(codes), columns)
        numeric, logits = head(transformer(tokens, present)[:, 1:], columns)
        true = x.expand(-1, 2)
        return objective(numeric, logits, true, codes, mask, torch.ones_like(codes).bool())

    for _ in range(80):
        loss = loss_of(first, 0, False) + loss_of(second, 1, True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Untrained: (0.8 + 0.69) / 2 for each cohort.
    assert loss.item() < 0.5


def test_wrong_number_of_cells_or_sizes_raise():
    with pytest.raises(ValueError, match=r"cells must have shape \(B, 5, D\)"):
        MaskedValueHead(6, 7)(torch.randn(3, 6, 6), layout())
    with pytest.raises(ValueError, match="at least 1"):
        MaskedValueHead(6, 0)
