"""Clicks, boxes and masks as tokens and maps for the mask decoder (SAM, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2_ros.model.layers import LayerNorm2d, Tokens
from sam2_ros.model.position import FourierPositions
from sam2_ros.model.sizes import Size

#: Channels of the mask prompt half-way down.
MASK_CHANNELS = 16


class PromptEncoder(nn.Module):
    """Sparse prompts (points, box corners) become tokens, a mask becomes a map added to the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.hidden_dim
        self.side, self.grid = size.image_size, size.grid
        self.pe_layer = FourierPositions(width)
        # Labels 0 negative, 1 positive, 2 top-left, 3 bottom-right; -1 is no point at all.
        self.point_embeddings = nn.ModuleList(Tokens(1, width) for _ in range(4))
        self.not_a_point_embed = Tokens(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, MASK_CHANNELS // 4, kernel_size=2, stride=2),
            LayerNorm2d(MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS // 4, MASK_CHANNELS, kernel_size=2, stride=2),
            LayerNorm2d(MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS, width, kernel_size=1),
        )
        self.no_mask_embed = Tokens(1, width)

    def image_positions(self) -> Tensor:
        """The encoding of every cell of the stride-16 grid, (1, C, h, w)."""
        return self.pe_layer.grid(self.grid)

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Points (N, K, 2) in model pixels with labels (N, K) become (N, K + 1, C) tokens.

        The last token is the padding point that the published weights expect after every
        list of points.
        """
        points = torch.cat((points + 0.5, points.new_zeros(points.shape[0], 1, 2)), dim=1)  # pixel centres
        labels = torch.cat((labels, labels.new_full((labels.shape[0], 1), -1)), dim=1)
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])  # (5, C)
        placed: Tensor = self.pe_layer(points / self.side) * (labels != -1)[..., None]
        return placed + kinds[labels.long() + 1]

    def embed_masks(self, mask_logits: Tensor | None) -> Tensor:
        """Mask logits (N, 1, 4h, 4w) become (N, C, h, w); none at all becomes (1, C, 1, 1)."""
        if mask_logits is None:
            return self.no_mask_embed.weight[..., None, None]
        maps: Tensor = self.mask_downscaling(mask_logits)
        return maps
