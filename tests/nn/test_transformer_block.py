from __future__ import annotations

import pytest
import torch
from torch import nn

from tabimg.nn import FeedForward, TransformerBlock, key_mask


def block() -> TransformerBlock:
    return TransformerBlock(8, 2, FeedForward(8, 12))


def torch_layer(ours: TransformerBlock) -> nn.TransformerEncoderLayer:
    """Torch's own layer with the same weights."""
    layer = nn.TransformerEncoderLayer(
        8, 2, 12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    for parameter in ours.parameters():  # norms and biases would start at 1 and 0: test nothing
        nn.init.normal_(parameter, std=0.4)
    attention = layer.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    attention.out_proj.load_state_dict(ours.out.state_dict())
    layer.norm1.load_state_dict(ours.attention_norm.state_dict())
    layer.norm2.load_state_dict(ours.feed_forward_norm.state_dict())
    layer.linear1.load_state_dict(ours.feed_forward.hidden.state_dict())
    layer.linear2.load_state_dict(ours.feed_forward.out.state_dict())
    return layer


def test_block_equals_torchs_pre_norm_encoder_layer():
    ours = block()
    theirs = torch_layer(ours)
    tokens = torch.randn(3, 5, 8)
    present = torch.rand(3, 5) < 0.6
    allowed = key_mask(present)
    # Torch's mask says what is refused, and has one entry a head.
    expected = theirs(tokens, src_mask=(~allowed).repeat_interleave(2, dim=0))
    torch.testing.assert_close(ours(tokens, allowed), expected, rtol=1e-4, atol=1e-5)


def test_few_queries_equal_the_first_tokens_of_all():
    ours = block()
    tokens, allowed = torch.randn(3, 5, 8), key_mask(torch.rand(3, 5) < 0.6)
    some = ours(tokens, allowed, n_queries=2)
    torch.testing.assert_close(some, ours(tokens, allowed)[:, :2])


def test_key_mask_allows_the_present_and_oneself():
    allowed = key_mask(torch.tensor([[True, False, True]]))
    expected = [[True, False, True], [True, True, True], [True, False, True]]
    assert allowed.tolist() == [expected]


@pytest.mark.parametrize("n_heads", [0, 3])
def test_heads_that_do_not_divide_the_width_raise(n_heads):
    with pytest.raises(ValueError, match="n_heads must divide dim"):
        TransformerBlock(8, n_heads, FeedForward(8))
