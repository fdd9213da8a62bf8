"""EdgeTAM's spatial perceiver (Zhou et al. 2025, https://arxiv.org/abs/2501.07256): a memory as few tokens.

Learned latents attend to the memory of a frame: some to all of it, the others each to its own window, which keeps a
coarse grid.  Memory attention then sees 512 tokens where the grid had up to 4096.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.hiera import split_windows
from sam2_ros.model.position import rotary_table, sine_grid
from sam2_ros.model.sizes import PERCEIVER_SIDE, Size

#: Latents that look at the whole memory.
GLOBAL_LATENTS = 256
#: Layers, which both kinds of latents go through.
DEPTH = 2
#: The MLPs are this many times as wide inside.
WIDENING = 4


class LatentAttention(nn.Module):
    """The latents look at the tokens of a memory: the global ones at all, each of the grid at its window."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_x = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, latents: Tensor, tokens: Tensor, place: Tensor) -> Tensor:
        """latents (N, L, m) and tokens (N, hw, m) to (N, L, m); place (hw, m), for global latents only."""
        queries = self.to_q(self.norm_latents(latents))
        keys, values = self.to_kv(self.norm_x(tokens)).chunk(2, dim=-1)
        whole = _attention(queries[:, :GLOBAL_LATENTS], keys + place, values + place)
        # A window takes the place of a head.
        grid = F.scaled_dot_product_attention(queries[:, GLOBAL_LATENTS:, None], _windows(keys), _windows(values))
        seen: Tensor = self.to_out(torch.cat((whole, grid[:, :, 0]), dim=1))
        return seen


class SelfAttention(nn.Module):
    """The global latents look at each other; one of the grid sees itself alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, L, m) to the same."""
        normed = self.norm(latents)
        keys, values = self.to_kv(normed).chunk(2, dim=-1)
        whole = slice(GLOBAL_LATENTS)
        seen = _attention(self.to_q(normed[:, whole]), keys[:, whole], values[:, whole])
        mixed: Tensor = self.to_out(torch.cat((seen, values[:, GLOBAL_LATENTS:]), dim=1))
        return mixed


class PerceiverLayer(nn.Module):
    """Attention to the memory, MLP, attention to each other, MLP; each normalised before and added after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = LatentAttention(width)
        self.ff = _mlp(width)
        self.self_attn = SelfAttention(width)
        self.self_ff = _mlp(width)

    def forward(self, latents: Tensor, tokens: Tensor, place: Tensor) -> Tensor:
        """As in LatentAttention."""
        latents = latents + self.attn(latents, tokens, place)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        mixed: Tensor = latents + self.self_ff(latents)
        return mixed


class SpatialPerceiver(nn.Module):
    """GLOBAL_LATENTS tokens of the whole memory, then PERCEIVER_SIDE x PERCEIVER_SIDE of its windows in raster order.

    Where they are keys, a global token has no position; the grid is counted in its own steps, though one of them
    is several of the image's.
    """

    unturned = GLOBAL_LATENTS
    place: Tensor
    positions: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.memory_dim
        self.latents = nn.Parameter(torch.randn(GLOBAL_LATENTS, width))
        self.latents_2d = nn.Parameter(torch.randn(PERCEIVER_SIDE * PERCEIVER_SIDE, width))
        self.layers = nn.ModuleList(PerceiverLayer(width) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width)
        cosine, sine = rotary_table(size.hidden_dim, PERCEIVER_SIDE)
        unturned = GLOBAL_LATENTS, size.hidden_dim // 2
        tables = {
            "place": _raster(sine_grid(width, size.grid)),
            "positions": torch.cat((sine.new_zeros(GLOBAL_LATENTS, width), _raster(sine_grid(width, PERCEIVER_SIDE)))),
            "cosine": torch.cat((cosine.new_ones(unturned), cosine)),
            "sine": torch.cat((sine.new_zeros(unturned), sine)),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, m, h, w), from the memory encoder, to (N, L, m)."""
        tokens = maps.flatten(2).transpose(1, 2)  # (N, hw, m)
        latents = torch.cat((self.latents, self.latents_2d)).expand(maps.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, tokens, self.place)
        found: Tensor = self.norm(latents)
        return found


def _raster(grid: Tensor) -> Tensor:
    """(m, rows, columns) to (rows columns, m)."""
    return grid.flatten(1).T.contiguous()


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, WIDENING * width, bias=False),
        nn.GELU(),
        nn.Linear(WIDENING * width, width, bias=False),
    )


def _windows(tokens: Tensor) -> Tensor:
    """(N, hw, m) of a square map, in raster order, to the windows of the grid (N, windows, tokens, m)."""
    count, places, width = tokens.shape
    side = math.isqrt(places)
    windows, _ = split_windows(tokens.view(count, side, side, width), side // PERCEIVER_SIDE)
    return windows.view(count, PERCEIVER_SIDE**2, -1, width)


def _attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head; the kernels that need little memory ask for a dimension of heads."""
    seen = F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])
    return seen[:, 0]
