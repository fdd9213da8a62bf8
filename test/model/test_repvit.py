import functools

import pytest
import torch
from edgetam_weights import edgetam_shapes, edgetam_weights
from oracle import seeded_image
from torch.nn import functional as F

from sam2_ros.model import repvit
from sam2_ros.model.repvit import RepViT, folded, published_shapes
from sam2_ros.model.sizes import EDGETAM

SIZE = EDGETAM.at(256)
TRUNK = "image_encoder.trunk."


@functools.cache
def published():
    return {name.removeprefix(TRUNK): value for name, value in edgetam_weights().items() if name.startswith(TRUNK)}


@functools.cache
def trunk():
    model = RepViT(SIZE)
    model.load_state_dict(folded(published()), strict=True)
    return model.to(memory_format=torch.channels_last).eval()


class Unfolded:
    """A trunk as it was trained: a batch norm behind every convolution, three branches in every token mixer."""

    def __init__(self, weights):
        self.weights = weights

    def normed(self, name, x, **options):
        weight, scale, bias, mean, variance, _ = (self.weights[f"body.{name}.{kind}"] for kind in repvit.NORMED)
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, None, groups=groups, padding=weight.shape[-1] // 2, **options)
        return F.batch_norm(x, mean, variance, scale, bias, eps=1e-5)

    def mixed(self, name, x):
        return x + self.normed(f"{name}.conv2", F.gelu(self.normed(f"{name}.conv1", x)))

    def squeezed(self, name, x):
        means = x.mean((2, 3), keepdim=True)
        for layer, activation in (("fc1", F.relu), ("fc2", torch.sigmoid)):
            weight, bias = (self.weights[f"body.{name}.{layer}.{kind}"] for kind in ("weight", "bias"))
            means = activation(F.conv2d(means, weight, bias))
        return x * means

    def block(self, name, x):
        x = self.normed(f"{name}.token_mixer.conv", x) + self.normed(f"{name}.token_mixer.conv1", x) + x
        if f"body.{name}.se.fc1.weight" in self.weights:
            x = self.squeezed(f"{name}.se", x)
        return self.mixed(f"{name}.channel_mixer", x)

    def __call__(self, images):
        x = F.gelu(self.normed("stem.conv1", images, stride=2))
        x = self.normed("stem.conv2", x, stride=2)
        features = []
        for stage, blocks in enumerate((2, 2, 14, 2)):
            if stage:
                start = f"stages_{stage}.downsample"
                x = self.normed(f"{start}.spatial_downsample", self.block(f"{start}.pre_block", x), stride=2)
                x = self.mixed(f"{start}.ffn", self.normed(f"{start}.channel_downsample", x))
            for index in range(blocks):
                x = self.block(f"stages_{stage}.blocks.{index}", x)
            features.append(x)
        return features


def assert_equal_features(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0.1, "features that show nothing"
        assert (ours - theirs).abs().max() < 3e-5 * theirs.abs().max()


@torch.no_grad()
def test_a_folded_trunk_answers_as_the_one_with_batch_norms_and_branches():
    images = seeded_image(SIZE, batch=2)
    assert_equal_features(trunk()(images), Unfolded(published())(images))


@torch.no_grad()
def test_features_are_those_of_the_official_trunk():
    from edgetam_oracle import official_edgetam

    theirs = official_edgetam(256).image_encoder.trunk
    theirs.load_state_dict(published(), strict=True)
    images = seeded_image(SIZE, batch=2)
    assert_equal_features(trunk()(images), theirs(images))


def test_features_have_the_channels_and_strides_that_the_size_promises():
    with torch.no_grad():
        features = trunk()(torch.zeros(1, 3, 64, 64))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (channels, 64 // stride, 64 // stride) for channels, stride in zip(SIZE.channels, (4, 8, 16, 32))
    ]


def test_names_and_shapes_of_the_published_trunk_are_known():
    expected = {name: shape for name, shape in edgetam_shapes().items() if name.startswith(TRUNK)}
    ours = {TRUNK + name: value for name, value in trunk().state_dict().items()}
    assert published_shapes(ours) == expected


def test_weights_with_and_without_batch_norms_are_told_apart():
    assert repvit.is_published(published()) and not repvit.is_published(trunk().state_dict())


def test_folding_twice_changes_nothing():
    once = folded(published())
    assert all(torch.equal(value, once[name]) for name, value in folded(once).items())


@pytest.mark.parametrize("channels, squeezed", [(48, 16), (96, 24), (192, 48), (384, 96)])
def test_the_squeezed_channels_are_a_quarter_in_steps_of_eight(channels, squeezed):
    assert repvit.SqueezeExcite(channels).fc1.out_channels == squeezed
