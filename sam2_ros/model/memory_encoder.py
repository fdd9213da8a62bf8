"""The memory encoder: image features and mask become one memory of the frame (paper, section 4)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.layers import LayerNorm2d
from sam2_ros.model.sizes import Size

#: Channels of the mask on its way from stride 1 to stride 16: four times as many at each halving.
MASK_CHANNELS = (1, 4, 16, 64, 256)


class MaskDownSampler(nn.Module):
    """Strided convolutions from a mask of the input's size to the stride-16 grid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        for channels, wider in pairwise(MASK_CHANNELS):
            self.encoder.extend(
                (nn.Conv2d(channels, wider, kernel_size=3, stride=2, padding=1), LayerNorm2d(wider), nn.GELU())
            )
        self.encoder.append(nn.Conv2d(MASK_CHANNELS[-1], width, kernel_size=1))

    def forward(self, masks: Tensor) -> Tensor:
        """(N, 1, S, S) to (N, width, S / 16, S / 16)."""
        maps: Tensor = self.encoder(masks)
        return maps


class FuserBlock(nn.Module):
    """A ConvNeXt block (https://arxiv.org/abs/2201.03545): depth-wise 7 x 7, then an MLP at each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = LayerNorm2d(width)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, width, h, w) to the same."""
        hidden = self.norm(self.dwconv(maps)).permute(0, 2, 3, 1)
        mixed: Tensor = self.gamma * self.pwconv2(F.gelu(self.pwconv1(hidden)))
        return maps + mixed.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FuserBlock(width) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, width, h, w) to the same."""
        for layer in self.layers:
            maps = layer(maps)
        return maps


class MemoryEncoder(nn.Module):
    """Add the mask to the image feature, mix, and compress."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownSampler(size.hidden_dim)
        self.pix_feat_proj = nn.Conv2d(size.hidden_dim, size.hidden_dim, kernel_size=1)
        self.fuser = Fuser(size.hidden_dim)
        self.out_proj = nn.Conv2d(size.hidden_dim, size.memory_dim, kernel_size=1)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """image (1 or N, C, h, w), not conditioned on memories; masks (N, 1, S, S) in -10..10; to (N, m, h, w)."""
        fused = self.fuser(self.pix_feat_proj(image) + self.mask_downsampler(masks))
        memory: Tensor = self.out_proj(fused)
        return memory
