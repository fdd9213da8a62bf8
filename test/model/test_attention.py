import pytest
import torch

from sam2_ros.model import attention
from sam2_ros.model.attention import Attention, RotaryAttention, TwoWayTransformer
from sam2_ros.model.position import rotary_table

official = pytest.importorskip("sam2.modeling.sam.transformer", reason="the official package is not installed")


def same_weights(ours, theirs):
    """Copy ours, scaled so that attention is far from uniform."""
    for name, parameter in ours.named_parameters():
        if "_proj.weight" in name:
            parameter.data *= 3
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours.eval(), theirs.eval()


def test_attention_is_the_official_one():
    ours, theirs = same_weights(Attention(64, 8, inner=32), official.Attention(64, 8, downsample_rate=2))
    queries, keys, values = torch.randn(2, 9, 64), torch.randn(2, 20, 64), torch.randn(2, 20, 64)
    assert (ours(queries, keys, values) - theirs(queries, keys, values)).abs().max() < 1e-5


def test_one_row_is_shared_by_all_on_either_side():
    part = Attention(64, 8)
    queries, keys = torch.randn(3, 9, 64), torch.randn(1, 20, 64)
    copies = keys.expand(3, -1, -1)
    assert torch.allclose(part(queries, keys, keys), part(queries, copies, copies), atol=1e-6)
    assert torch.allclose(part(keys, queries, queries), part(copies, queries, queries), atol=1e-6)


@pytest.mark.parametrize(("queries", "keys"), [(3, 20), (20, 3), (3, 3), (20, 20)])
@pytest.mark.parametrize("rows", [(2, 2), (1, 2), (2, 1)])
def test_attention_of_few_and_many_tokens_finds_without_gradients_what_it_finds_with_them(queries, keys, rows):
    part = Attention(64, 4, inner=32)
    for parameter in part.parameters():
        parameter.data = torch.randn_like(parameter) / 6
    queries = torch.randn(rows[0], queries, 64)
    keys, values = torch.randn(2, rows[1], keys, 64)
    expected = part(queries, keys, values)
    with torch.no_grad():
        assert (part(queries, keys, values) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("pointers", [0, 8])
def test_rotary_attention_to_several_memories_and_pointers_is_the_official_one(pointers):
    side, memories = 5, 3
    ours, theirs = same_weights(
        RotaryAttention(64, 1, key_width=16),
        official.RoPEAttention(64, 1, kv_in_dim=16, rope_k_repeat=True, feat_sizes=(side, side)),
    )
    queries = torch.randn(2, side**2, 64)
    keys, values = torch.randn(2, 2, memories * side**2 + pointers, 16)
    cosine, sine = rotary_table(64, side)
    key_table = (
        torch.cat((cosine.repeat(memories, 1), torch.ones(pointers, 32))),
        torch.cat((sine.repeat(memories, 1), torch.zeros(pointers, 32))),
    )
    seen = ours(queries, keys, values, (cosine, sine), key_table)
    assert (seen - theirs(queries, keys, values, num_k_exclude_rope=pointers)).abs().max() < 1e-5


@pytest.mark.parametrize("shared", [False, True])
def test_attention_to_narrow_memories_finds_without_gradients_what_it_finds_with_them(shared, monkeypatch):
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", 2 * 57 * 10)  # the last tile is a smaller one
    part = RotaryAttention(64, 1, key_width=16)
    queries, keys, values = torch.randn(1 if shared else 2, 36, 64), torch.randn(2, 57, 16), torch.randn(2, 57, 16)
    table = rotary_table(64, 6)
    first = tuple(rows[:30] for rows in table)  # the other 27 keys are not turned
    expected = part(queries, keys, values, table, first)
    padded = (torch.cat((first[0], torch.ones(27, 32))), torch.cat((first[1], torch.zeros(27, 32))))
    assert torch.allclose(part(queries, keys, values, table, padded), expected, atol=1e-6)
    with torch.no_grad():
        assert (part(queries, keys, values, table, first) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("rows", [1, 2])
def test_attention_to_narrow_memories_is_near_in_bfloat16_whatever_the_tiles(rows, monkeypatch):
    part = RotaryAttention(64, 1, key_width=16)
    for parameter in part.parameters():
        parameter.data *= 2  # attention far from uniform
    queries, keys, values = torch.randn(rows, 36, 64), torch.randn(2, 57, 16), torch.randn(2, 57, 16)
    table = rotary_table(64, 6)
    given = queries, keys, values, table, tuple(turns[:30] for turns in table)
    with torch.no_grad():
        expected = part(*given)
        with torch.autocast("cpu", torch.bfloat16):
            whole = part(*given)
            monkeypatch.setattr(attention, "SCORES_AT_ONCE", 2 * 57 * 10)  # the last tile is a smaller one
            tiled = part(*given)
    assert (whole - expected).norm() / expected.norm() < 1e-2
    assert (tiled - whole).norm() / expected.norm() < 1e-3


def test_the_two_way_transformer_is_the_official_one():
    ours, theirs = same_weights(TwoWayTransformer(64, 128), official.TwoWayTransformer(2, 64, 8, 128))
    image, position, tokens = torch.randn(2, 64, 6, 6), torch.randn(1, 64, 6, 6), torch.randn(2, 9, 64)
    seen_tokens, seen_image = ours(image.flatten(2).mT, position.flatten(2).mT, tokens)
    their_tokens, their_image = theirs(image, position.expand(2, -1, -1, -1), tokens)
    assert (seen_tokens - their_tokens).abs().max() < 1e-5
    assert (seen_image - their_image).abs().max() < 1e-5
