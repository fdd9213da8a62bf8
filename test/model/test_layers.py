import pytest
import torch

from sam2_ros.model.layers import MLP, DropPath, LayerNorm2d


def test_layer_norm_of_maps_works_on_the_channels_of_each_place():
    maps = torch.randn(2, 12, 5, 7) * 3 + 1
    normed = LayerNorm2d(12)(maps)
    assert normed.shape == maps.shape
    assert normed.mean(1).abs().max() < 1e-5
    assert (normed.var(1, correction=0) - 1).abs().max() < 1e-4


def test_layer_norm_of_maps_has_the_published_stabiliser():
    assert LayerNorm2d(4).eps == 1e-6


def test_an_mlp_has_no_activation_at_its_end():
    outputs = MLP((4, 8, 3))(torch.randn(100, 4))
    assert outputs.shape == (100, 3) and (outputs < 0).any()


def test_drop_path_drops_whole_rows_in_training_and_keeps_their_mean():
    rows = DropPath(0.25).train()(torch.ones(4000, 3))
    assert rows.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (rows.amin(1) == rows.amax(1)).all()
    assert rows.mean() == pytest.approx(1, abs=0.1)


def test_drop_path_does_nothing_in_use():
    x = torch.randn(5, 3)
    assert DropPath(0.9).eval()(x) is x
