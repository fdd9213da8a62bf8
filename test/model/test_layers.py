import pytest
import torch

from sam2_ros.model.layers import MLP, DropPath, LayerNorm2d, gelu_of_convolution


def test_layer_norm_of_maps_works_on_the_channels_of_each_place():
    maps = torch.randn(2, 12, 5, 7) * 3 + 1
    normed = LayerNorm2d(12)(maps)
    assert normed.shape == maps.shape
    assert normed.mean(1).abs().max() < 1e-5
    assert (normed.var(1, correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layer_norm_of_maps_with_few_channels_finds_without_gradients_what_it_finds_with_them(layout):
    maps = (torch.randn(2, 4, 5, 7) * 3 + 1).contiguous(memory_format=layout)
    norm = LayerNorm2d(4)
    norm.weight.data, norm.bias.data = torch.randn(2, 4)
    expected = norm(maps)
    with torch.no_grad():
        assert (norm(maps) - expected).abs().max() < 1e-5


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


@pytest.mark.parametrize(
    "convolution", [torch.nn.Conv2d(24, 48, 1), torch.nn.Conv2d(24, 48, 3, stride=2, padding=1)], ids=["1x1", "3x3"]
)
def test_a_convolution_and_its_activation_in_one_pass_are_those_in_two(convolution):
    maps = torch.randn(2, 24, 9, 7).contiguous(memory_format=torch.channels_last)
    expected = gelu_of_convolution(maps, convolution)
    expected.sum().backward()
    assert convolution.weight.grad.any()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            found = gelu_of_convolution(maps, convolution)
        assert (found - expected).abs().max() < 2e-6
        assert found.is_contiguous(memory_format=torch.channels_last)
