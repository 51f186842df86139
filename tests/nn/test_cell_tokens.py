from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from tabimg.nn import CellTokens, ColumnLayout, pad_tokens

NAN = math.nan
FORMS = ("scale", "product", "sum")
TEXT_DIM = 12


def texts(n: int, width: int = TEXT_DIM) -> torch.Tensor:
    vectors = torch.randn(n, width)
    return vectors / vectors.square().mean(dim=1, keepdim=True).sqrt()


def layout() -> ColumnLayout:
    """Three numeric columns; categorical ones of two, no and three categories."""
    return ColumnLayout(texts(6), [texts(2), texts(0), texts(3)])


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    numeric = torch.tensor([[0.5, NAN, -2.0], [NAN, 1.0, 0.0], [3.0, 0.1, NAN]])
    codes = torch.tensor([[2, 1, 4], [3, 0, 1], [0, 1, 2]])
    return numeric, codes


def number_value(tokens: CellTokens, x: float) -> torch.Tensor:
    if tokens.form != "scale":
        return tokens.number.weight[:, 0] * x + tokens.number.bias
    expand, _, mix = tokens.number
    return mix.weight @ F.gelu(expand.weight[:, 0] * x + expand.bias) + mix.bias


def token_reference(tokens, numeric, codes, columns) -> torch.Tensor:
    """The formula, cell by cell."""
    starts = columns.offsets.tolist()
    cells = []
    for row_numbers, row_codes in zip(numeric.tolist(), codes.tolist(), strict=True):
        values = [tokens.mask if math.isnan(x) else number_value(tokens, x) for x in row_numbers]
        for start, code in zip(starts, row_codes, strict=True):
            values.append(
                tokens.mask if code < 2 else tokens.text_adapter(columns.texts[start + code - 2])
            )
        for header_vector, value in zip(columns.headers, values, strict=True):
            header = tokens.header_adapter(header_vector)
            cells.append(
                {"scale": header * (1 + value), "product": header * value, "sum": header + value}[
                    tokens.form
                ]
            )
    return torch.stack(cells).reshape(len(numeric), len(columns.headers), -1)


@pytest.mark.parametrize("form", FORMS)
def test_tokens_equal_the_formula_cell_by_cell(form):
    tokens = CellTokens(TEXT_DIM, 8, form).double()
    numeric, codes = rows()
    columns = layout().double()
    output, present = tokens(numeric.double(), codes, columns)
    torch.testing.assert_close(output, token_reference(tokens, numeric, codes, columns))
    expected = [[1, 0, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1]]
    assert torch.equal(present, torch.tensor(expected, dtype=torch.bool))


def test_layout_stacks_the_texts_and_knows_where_each_column_starts():
    headers, first, last = texts(4), texts(2), texts(3)
    columns = ColumnLayout(headers, [first, texts(0), last])
    assert columns.n_numeric == 1
    assert columns.n_categories == (2, 0, 3)
    assert columns.offsets.tolist() == [0, 2, 2]
    assert torch.equal(columns.texts, torch.cat([first, last]))


def test_layout_adds_nothing_to_a_state_dict_and_follows_to_a_dtype():
    columns = layout()
    assert columns.state_dict() == {}
    assert list(columns.parameters()) == []
    assert columns.double().headers.dtype == torch.float64
    assert columns.offsets.dtype == torch.int64


def test_layout_keeps_a_copy_of_what_it_was_given():
    headers = texts(2)
    columns = ColumnLayout(headers)
    headers.zero_()
    assert columns.headers.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_finite_and_reach_every_parameter(form):
    tokens = CellTokens(TEXT_DIM, 8, form)
    numeric, codes = rows()
    numeric.requires_grad_()
    output, _ = tokens(numeric, codes, layout())
    output.square().sum().backward()
    assert torch.isfinite(output).all()
    assert torch.isfinite(numeric.grad).all()
    for name, parameter in tokens.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("form", FORMS)
def test_token_of_a_cell_does_not_depend_on_its_row_or_place(form):
    tokens = CellTokens(TEXT_DIM, 8, form)
    headers, categories = texts(3), texts(4)
    codes = torch.tensor([[3], [1]])
    numeric = torch.tensor([[0.7, -1.0], [NAN, 2.0]])
    output, present = tokens(numeric, codes, ColumnLayout(headers, [categories]))
    swapped = ColumnLayout(headers[[1, 0, 2]], [categories])
    other, other_present = tokens(numeric[:, [1, 0]], codes, swapped)
    torch.testing.assert_close(other[:, [1, 0, 2]], output)
    assert torch.equal(other_present[:, [1, 0, 2]], present)
    alone, _ = tokens(numeric[1:], codes[1:], ColumnLayout(headers, [categories]))
    torch.testing.assert_close(alone, output[1:])


def test_same_header_and_text_in_two_cohorts_give_the_same_token():
    tokens = CellTokens(TEXT_DIM, 8)
    age, sex, male, female = texts(4)
    first = ColumnLayout(torch.stack([age, sex]), [torch.stack([female, male])])
    second = ColumnLayout(torch.stack([age, texts(1)[0], sex]), [texts(3), male.unsqueeze(0)])
    here, _ = tokens(torch.tensor([[0.3]]), torch.tensor([[3]]), first)
    there, _ = tokens(torch.tensor([[0.3]]), torch.tensor([[4, 2]]), second)
    torch.testing.assert_close(there[:, [0, 2]], here)


@pytest.mark.parametrize(("n_numeric", "n_categorical"), [(2, 0), (0, 2)])
def test_table_of_numbers_alone_or_categories_alone_is_tokenised(n_numeric, n_categorical):
    columns = ColumnLayout(texts(2), [texts(3)] * n_categorical)
    numeric = torch.zeros(4, n_numeric)
    codes = torch.full((4, n_categorical), 2)
    output, present = CellTokens(TEXT_DIM, 8)(numeric, codes, columns)
    assert output.shape == (4, 2, 8)
    assert present.all()


@pytest.mark.parametrize("form", FORMS)
def test_header_and_size_of_a_number_survive_layer_norm_at_the_start(form):
    tokens = CellTokens(512, 64, form)
    columns = ColumnLayout(texts(20, 512))
    grid = torch.linspace(-3.0, 3.0, 25)
    with torch.no_grad():
        output, _ = tokens(grid.unsqueeze(1).expand(-1, 20), torch.zeros(25, 0).long(), columns)
    normed = F.layer_norm(output, (64,)).double()
    # Header: at the centre of the columns, where x = 0, no two of them are alike.
    centre = normed[12]
    apart = torch.pdist(centre) / centre.norm(dim=1).mean()
    assert apart.min() > 0.5
    # Size: a linear layer reads x off the token, sign and magnitude, in every column.
    design = torch.cat([normed, torch.ones(25, 20, 1, dtype=torch.float64)], dim=2)
    for target in (grid, grid.abs()):
        read = (
            design.transpose(0, 1)
            @ torch.linalg.pinv(design.transpose(0, 1), rtol=1e-2)
            @ target.double()
        )
        residual = (read - target.double()).square().mean(dim=1) / target.double().var()
        assert residual.max() < 0.2  # a product without bias leaves 0.96 of the magnitude
    # And it is not drowned: x = 0 and x = 2 differ by a good part of the token.
    assert ((normed[12] - normed[20]).norm(dim=1) / centre.norm(dim=1)).min() > 0.3


def test_header_tokens_start_with_an_rms_of_one():
    tokens = CellTokens(512, 64)
    assert tokens.header_adapter(texts(50, 512)).square().mean().item() == pytest.approx(1, abs=0.1)


def test_padded_parts_keep_their_tokens_and_mark_the_padding():
    first = (torch.randn(2, 3, 4), torch.tensor([[True, False, True], [True, True, True]]))
    second = (torch.randn(1, 5, 4), torch.ones(1, 5, dtype=torch.bool))
    tokens, present = pad_tokens([first, second])
    assert tokens.shape == (3, 5, 4)
    assert torch.equal(tokens[:2, :3], first[0])
    assert torch.equal(tokens[:2, 3:], torch.zeros(2, 2, 4))
    assert torch.equal(tokens[2:], second[0])
    assert torch.equal(present[:2, :3], first[1])
    assert not present[:2, 3:].any()
    assert present[2].all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((torch.zeros(0, 3),), "at least one column"),
        ((torch.zeros(3),), "headers must have shape"),
        ((torch.zeros(1, 3), [torch.zeros(2, 3)] * 2), "each of the 2 categorical columns"),
        ((torch.zeros(2, 3), [torch.zeros(2, 3), torch.zeros(2, 4)]), "column 1 must have shape"),
    ],
)
def test_layout_of_inconsistent_shapes_raises(arguments, match):
    with pytest.raises(ValueError, match=match):
        ColumnLayout(*arguments)


def test_rows_of_other_columns_raise():
    tokens, columns = CellTokens(TEXT_DIM, 8), layout()
    numeric, codes = rows()
    with pytest.raises(ValueError, match=r"numeric must have shape \(B, 3\)"):
        tokens(numeric[:, :2], codes, columns)
    with pytest.raises(ValueError, match=r"codes must have shape \(3, 3\)"):
        tokens(numeric, codes[:, :2], columns)


def test_unknown_form_or_width_below_one_raises():
    with pytest.raises(ValueError, match="form must be one of"):
        CellTokens(4, 4, "mean")
    with pytest.raises(ValueError, match="at least 1"):
        CellTokens(0, 4)
