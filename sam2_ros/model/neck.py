"""The neck: trunk features of four strides become three of one width (feature pyramid, paper appendix C.1)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.hiera import Hiera
from sam2_ros.model.sizes import Size


class Neck(nn.Module):
    """1 x 1 convolutions; only stride 16 also receives what is coarser, so stride 4 and 8 stay sharp."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        # The checkpoints list the convolutions from the coarsest feature to the finest.
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, size.hidden_dim, kernel_size=1)))
            for channels in reversed(size.channels))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 4, 8, 16, 32 to (B, C, side, side) of strides 4, 8, 16."""
        stride32, stride16, stride8, stride4 = (
            conv(feature) for conv, feature in zip(self.convs, reversed(features)))
        # In float32 also under autocast, as the published weights were trained.
        coarse = F.interpolate(stride32.float(), scale_factor=2.0, mode="nearest")
        return stride4, stride8, stride16 + coarse


class ImageEncoder(nn.Module):
    """Trunk and neck: from pixels to features; the only part that sees the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.trunk = Hiera(size)
        self.neck = Neck(size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) to (B, C, side, side) of strides 4, 8, 16."""
        return self.neck(self.trunk(images))
