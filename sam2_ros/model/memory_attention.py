"""Memory attention: the current image attends to the object's memories (paper, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.attention import RotaryAttention
from sam2_ros.model.position import rotary_table, sine_grid
from sam2_ros.model.sizes import Size

#: Values between the layers of an MLP that are held at once, so that they stay in the cache.
HIDDEN_AT_ONCE = 2 * 1024 * 1024


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to the memories, MLP; each normalised before and added after."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.hidden_dim
        self.self_attn = RotaryAttention(width, 1, dropout=size.dropout)
        self.cross_attn_image = RotaryAttention(width, 1, key_width=size.memory_dim, dropout=size.dropout)
        self.linear1 = nn.Linear(width, size.feedforward_dim)
        self.linear2 = nn.Linear(size.feedforward_dim, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(size.dropout)

    def forward(
        self,
        image: Tensor,
        keys: Tensor,
        values: Tensor,
        image_table: tuple[Tensor, Tensor],
        key_table: tuple[Tensor, Tensor],
    ) -> Tensor:
        """image (1 or N, hw, C); keys, values (N, tokens, m); rotary tables of both."""
        normed = self.norm1(image)
        image = image + self.dropout(self.self_attn(normed, normed, normed, image_table, image_table))
        image = image + self.dropout(self.cross_attn_image(self.norm2(image), keys, values, image_table, key_table))
        normed, tokens = self.norm3(image), HIDDEN_AT_ONCE // self.linear1.out_features
        mixed = torch.cat([self._mix(part) for part in normed.flatten(0, 1).split(tokens)])
        out: Tensor = image + self.dropout(mixed.view_as(image))
        return out

    def _mix(self, tokens: Tensor) -> Tensor:
        """The MLP: (tokens, C) to the same."""
        mixed: Tensor = self.linear2(self.dropout(F.relu_(self.linear1(tokens))))
        return mixed


class MemoryAttention(nn.Module):
    """A few such layers.  With one image for several objects, rows split only where the memories come in."""

    cosine: Tensor
    sine: Tensor
    position: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(size) for _ in range(size.memory_layers))
        self.norm = nn.LayerNorm(size.hidden_dim)
        cosine, sine = rotary_table(size.hidden_dim, size.grid)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("position", sine_grid(size.hidden_dim, size.grid), persistent=False)

    def forward(self, image: Tensor, keys: Tensor, values: Tensor, key_table: tuple[Tensor, Tensor]) -> Tensor:
        """image (1 or N, C, h, w) to (N, C, h, w).

        values: (N, tokens, m), of memories and of pointers; keys: the same with their positions in space
        and time added.  key_table: cosine and sine by which the first keys are turned, (those, C / 2); the
        others are not.
        """
        side = image.shape[-2:]
        tokens = (image + 0.1 * self.position).flatten(2).transpose(1, 2)  # (., hw, C)
        for layer in self.layers:
            tokens = layer(tokens, keys, values, (self.cosine, self.sine), key_table)
        normed: Tensor = self.norm(tokens)
        return torch.unflatten(normed.transpose(1, 2), 2, side)
