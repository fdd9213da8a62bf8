import dataclasses

import pytest
import torch
from torch import nn

from sam2_ros.model.hiera import Hiera, join_windows, split_windows
from sam2_ros.model.sizes import BASE_PLUS, EMBEDDED, HIERA, LARGE, SIZES, TINY

official = pytest.importorskip("sam2.modeling.backbones.hieradet", reason="the official package is not installed")


def both(size):
    """Our trunk and the official one of a size, with equal weights."""
    theirs = official.Hiera(
        embed_dim=size.embed_dim,
        num_heads=size.num_heads,
        stages=size.stages,
        window_spec=size.window_spec,
        global_att_blocks=size.global_attention_blocks,
        window_pos_embed_bkg_spatial_size=(size.position_background_size,) * 2,
    )
    ours = Hiera(size)
    for parameter in ours.parameters():
        if parameter.dim() > 1:  # the start is too small for errors to show
            parameter.data *= 4
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(
    ("published", "narrow"),
    [(TINY, 16), (BASE_PLUS, 16), (LARGE, 16), (EMBEDDED, 32)],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("side", [128, 224])
def test_every_layout_of_stages_and_windows_is_the_official_one(published, narrow, side):
    """With fewer channels; at these sides most windows need padding."""
    size = dataclasses.replace(published.at(side), embed_dim=narrow)
    ours, theirs = both(size)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        for mine, expected in zip(ours(images), theirs(images), strict=True):
            assert mine.shape == expected.shape
            assert (mine - expected).abs().max() < 1e-4 * max(1, expected.abs().max())


@pytest.mark.parametrize("size", [size for size in SIZES.values() if size.trunk == HIERA], ids=lambda size: size.name)
def test_blocks_look_at_windows_or_at_everything_as_published(size):
    ours, theirs = both(dataclasses.replace(size, embed_dim=16))
    facts = [(block.window, block.attn.heads, block.stride == 2) for block in ours.blocks]
    assert facts == [(block.window_size, block.attn.num_heads, bool(block.q_stride)) for block in theirs.blocks]


def test_layer_norms_have_the_published_stabiliser():
    norms = [module for module in Hiera(EMBEDDED).modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 * sum(EMBEDDED.stages)
    assert {norm.eps for norm in norms} == {1e-6}


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (3, 5)])
def test_windows_come_back_as_they_were(height, width):
    tokens = torch.randn(2, height, width, 3)
    windows, padded = split_windows(tokens, 4)
    assert windows.shape[1:] == (4, 4, 3)
    assert torch.equal(join_windows(windows, padded, (height, width)), tokens)


def test_dropping_paths_is_off_unless_asked_for():
    images = torch.randn(2, 3, 64, 64)
    plain = Hiera(EMBEDDED.at(64)).train()
    assert torch.equal(plain(images)[3], plain(images)[3])
    dropping = Hiera(dataclasses.replace(EMBEDDED.at(64), drop_path=0.5)).train()
    assert not torch.equal(dropping(images)[3], dropping(images)[3])
    assert torch.equal(dropping.eval()(images)[3], dropping(images)[3])
