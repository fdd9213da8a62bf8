"""The neck: trunk features of four strides become one for memories and two for sharp edges (paper, appendix C.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.efficientnet import EfficientNetLite
from sam2_ros.model.hiera import Hiera
from sam2_ros.model.repvit import RepViT
from sam2_ros.model.sizes import EFFICIENTNET_STAGES, HIERA, REPVIT_STAGES, Size


class Trunk(Protocol):
    """The part that sees the image."""

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S), as pixels.normalise makes them, to four features.

        They have the size's ``channels``, at strides 4, 8, 16 and 32.
        """
        ...


#: Every trunk is made from a Size, and a module as Trunk declares it.  A new kind is one more entry.
TRUNKS: dict[str, Callable[[Size], Trunk]] = (
    {HIERA: Hiera} | dict.fromkeys(EFFICIENTNET_STAGES, EfficientNetLite) | dict.fromkeys(REPVIT_STAGES, RepViT)
)


class Neck(nn.Module):
    """1 x 1 convolutions; only stride 16 also receives what is coarser, so stride 4 and 8 stay sharp."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        # The checkpoints list the convolutions from the coarsest feature to the finest.
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, size.hidden_dim, kernel_size=1)))
            for channels in reversed(size.channels)
        )

    def forward(self, features: list[Tensor], narrow4: nn.Conv2d, narrow8: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 4, 8, 16, 32 to three of strides 4, 8, 16.

        narrow4, narrow8: the mask decoder's 1 x 1 convolutions, applied to the two sharp ones.
        """
        stride32, stride16, stride8, stride4 = (convolution_in(part) for part in self.convs)
        # In float32 also under autocast, as the published weights were trained.
        coarse = F.interpolate(stride32(features[3]).float(), scale_factor=2.0, mode="nearest")
        return (
            _convolve_twice(features[0], stride4, narrow4),
            _convolve_twice(features[1], stride8, narrow8),
            stride16(features[2]) + coarse,
        )


def convolution_in(part: nn.Module) -> nn.Conv2d:
    """The convolution of a part of ``Neck.convs``."""
    convolution = part.get_submodule("conv")
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _convolve_twice(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Two 1 x 1 convolutions as the one they amount to: the wide map between them is the largest of all."""
    assert first.bias is not None and second.bias is not None
    with torch.autocast(x.device.type, enabled=False):  # rounded once only
        weight = second.weight.flatten(1) @ first.weight.flatten(1)
        bias = second.weight.flatten(1) @ first.bias + second.bias
    return F.conv2d(x, weight[..., None, None], bias)


class ImageEncoder(nn.Module):
    """Trunk and neck: from pixels to features; the only part that sees the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.trunk = TRUNKS[size.trunk](size)
        self.neck = Neck(size)

    def forward(self, images: Tensor, narrow4: nn.Conv2d, narrow8: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) to (B, C/8, 4h, 4w), (B, C/4, 2h, 2w) and (B, C, h, w); see Neck."""
        features: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(images), narrow4, narrow8)
        return features
