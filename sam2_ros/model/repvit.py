"""RepViT (Wang et al. 2023, https://arxiv.org/abs/2307.09283): the trunk of EdgeTAM, made of convolutions.

Published weights have a batch norm after every convolution, and two parallel convolutions in every block.  ``folded``
merges each such group into one equivalent convolution; the trunk has only those.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.layers import gelu_of_convolution
from sam2_ros.model.sizes import REPVIT_STAGES, Size

#: Added to the variances of the published batch norms.
NORM_EPSILON = 1e-5
#: Channels of the squeezed image are at least this many, and a multiple of it.
SQUEEZED_STEP = 8
#: The module whose two published convolutions, 3 x 3 and 1 x 1, are added to each other and to what came in.
TOKEN_MIXER = "token_mixer"
#: The tensors of a published convolution with its batch norm.
NORMED = ("c.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked")


class ChannelMixer(nn.Module):
    """An MLP at each place, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, kernel_size=1)
        self.conv2 = nn.Conv2d(2 * channels, channels, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        mixed: Tensor = maps + self.conv2(gelu_of_convolution(maps, self.conv1))
        return mixed


class SqueezeExcite(nn.Module):
    """Scale each channel by a number in 0..1 that depends on the means of all (https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        steps = int(channels / 4 / SQUEEZED_STEP + 0.5)
        squeezed = max(steps, 1) * SQUEEZED_STEP
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        means = maps.mean(dim=(2, 3), keepdim=True)
        scaled: Tensor = maps * self.fc2(F.relu(self.fc1(means))).sigmoid()
        return scaled


class RepViTBlock(nn.Module):
    """Look around in each channel on its own, then mix the channels."""

    def __init__(self, channels: int, squeeze: bool) -> None:
        super().__init__()
        self.token_mixer = _depthwise(channels)
        self.se = SqueezeExcite(channels) if squeeze else nn.Identity()
        self.channel_mixer = ChannelMixer(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        mixed: Tensor = self.channel_mixer(self.se(self.token_mixer(maps)))
        return mixed


class Downsample(nn.Module):
    """The first part of a later stage: half the side, more channels."""

    def __init__(self, channels: int, more: int) -> None:
        super().__init__()
        self.pre_block = RepViTBlock(channels, squeeze=False)
        self.spatial_downsample = _depthwise(channels, stride=2)
        self.channel_downsample = nn.Conv2d(channels, more, kernel_size=1)
        self.ffn = ChannelMixer(more)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, more, H / 2, W / 2)."""
        smaller: Tensor = self.ffn(self.channel_downsample(self.spatial_downsample(self.pre_block(maps))))
        return smaller


class Stem(nn.Module):
    """Two convolutions, each of which halves the side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels // 2, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, channels, kernel_size=3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, channels, S / 4, S / 4)."""
        maps: Tensor = self.conv2(gelu_of_convolution(images, self.conv1))
        return maps


class StridedBlocks(nn.Module):
    """Blocks at one stride; every second one, the first among them, scales its channels."""

    def __init__(self, before: int, channels: int, blocks: int) -> None:
        """before: channels of the stage before; equal for the first stage, which changes nothing at its start."""
        super().__init__()
        self.downsample = nn.Identity() if before == channels else Downsample(before, channels)
        self.blocks = nn.Sequential(*(RepViTBlock(channels, squeeze=index % 2 == 0) for index in range(blocks)))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, before, H, W) to (B, channels, H / 2, W / 2), or in the first stage to the same size."""
        mixed: Tensor = self.blocks(self.downsample(maps))
        return mixed


class RepViT(nn.Module):
    """A stem and four stages; a feature comes out at the end of each stage."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        stages = REPVIT_STAGES[size.trunk]
        before = stages[0].channels
        parts: OrderedDict[str, nn.Module] = OrderedDict(stem=Stem(before))
        for index, stage in enumerate(stages):
            parts[f"stages_{index}"] = StridedBlocks(before, stage.channels, stage.blocks)
            before = stage.channels
        self.body = nn.Sequential(parts)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S), as pixels.normalise makes them, to four features (B, channels, side, side), strides 4 to 32."""
        stem, *stages = self.body
        maps = stem(images.contiguous(memory_format=torch.channels_last))
        features = []
        for stage in stages:
            maps = stage(maps)
            features.append(maps)
        return features


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, groups=channels)


# Published weights ---------------------------------------------------------------------------------


def is_published(names: Mapping[str, Tensor]) -> bool:
    """Whether batch norms are still apart: weights as published, not as ``folded`` makes them."""
    return any(name.endswith(".bn.running_mean") for name in names)


def published_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published tensors from which ``folded`` makes ``state``, which may be a whole model's.

    A convolution of the trunk has a bias because of its batch norm; only those of SqueezeExcite were published
    with one.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in state.items():
        module, _, kind = name.rpartition(".")
        if not _was_normed(module):
            shapes[name] = tuple(tensor.shape)
        elif kind == "weight":
            for part, shape in _branches(module, tuple(tensor.shape)):
                norm = (shape[0],)
                of_norm = dict.fromkeys(NORMED[1:-1], norm)
                for suffix, its_shape in {"c.weight": shape, **of_norm, "bn.num_batches_tracked": ()}.items():
                    shapes[f"{part}.{suffix}"] = its_shape
    return shapes


def folded(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a trunk, or of a whole model, from a published state dict that is complete.

    A branch that adds what came in unchanged is a 3 x 3 convolution with 1 in its middle, and convolutions that
    are added are one with the sum of their weights.
    """
    parts = tuple(f".{suffix}" for suffix in NORMED)
    state = {name: tensor for name, tensor in published.items() if not name.endswith(parts)}
    convolutions = [name.removesuffix(".c.weight") for name in published if name.endswith(".c.weight")]
    for name in convolutions:
        module, _, branch = name.rpartition(".")
        if not module.endswith(TOKEN_MIXER):
            weight, bias = _without_norm(published, name)
        elif branch == "conv":
            weight, bias = _without_norm(published, name)
            narrow_weight, narrow_bias = _without_norm(published, f"{module}.conv1")
            weight[:, :, 1:2, 1:2] += narrow_weight + 1
            name, bias = module, bias + narrow_bias
        else:  # done together with its wider branch
            continue
        state[f"{name}.weight"], state[f"{name}.bias"] = weight.float(), bias.float()
    return state


def _was_normed(module: str) -> bool:
    return ".trunk.body." in f".{module}" and not module.endswith((".fc1", ".fc2"))


def _branches(module: str, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of the published convolutions that one of the trunk is made of."""
    if not module.endswith(TOKEN_MIXER):
        return [(module, shape)]
    return [(f"{module}.conv", shape), (f"{module}.conv1", (*shape[:2], 1, 1))]


def _without_norm(published: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what one and its batch norm do; in double precision."""
    weight, scale, bias, mean, variance = (published[f"{name}.{suffix}"].double() for suffix in NORMED[:-1])
    scale = scale / (variance + NORM_EPSILON).sqrt()
    return weight * scale.view(-1, 1, 1, 1), bias - mean * scale
