"""Hiera, the image trunk: a plain hierarchical transformer in windows (https://arxiv.org/abs/2306.00989)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.layers import MLP, DropPath
from sam2_ros.model.sizes import Size

#: Stabiliser of the trunk's layer norms, as in the published weights; PyTorch's default is another.
EPSILON = 1e-6


def split_windows(tokens: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut (B, H, W, C) into (B * windows, window, window, C), padding with zeros below and to the right.

    Also returns the padded height and width.
    """
    batch, height, width, channels = tokens.shape
    below, right = -height % window, -width % window
    if below or right:
        tokens = F.pad(tokens, (0, 0, 0, right, 0, below))
    padded = height + below, width + right
    tokens = tokens.view(batch, padded[0] // window, window, padded[1] // window, window, channels)
    return tokens.transpose(2, 3).reshape(-1, window, window, channels), padded


def join_windows(windows: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The inverse of split_windows: (B * windows, window, window, C) to (B, H, W, C)."""
    window, channels = windows.shape[1], windows.shape[3]
    rows, columns = padded[0] // window, padded[1] // window
    tokens = windows.view(-1, rows, columns, window, window, channels)
    tokens = tokens.transpose(2, 3).reshape(-1, *padded, channels)
    return tokens[:, : size[0], : size[1]]


def pool(tokens: Tensor) -> Tensor:
    """Maximum over 2 x 2 tokens: (B, H, W, C) to (B, H / 2, W / 2, C)."""
    return F.max_pool2d(tokens.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class WindowAttention(nn.Module):
    """Self-attention within each row of the batch; with ``pooled``, only 2 x 2 maxima of the queries ask."""

    def __init__(self, width: int, out_width: int, heads: int, pooled: bool) -> None:
        super().__init__()
        self.heads, self.pooled = heads, pooled
        self.qkv = nn.Linear(width, 3 * out_width)
        self.proj = nn.Linear(out_width, out_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H, W, width) to (B, H, W, out width), or half of H and W when pooled."""
        queries, keys, values = self.qkv(tokens).chunk(3, dim=-1)  # each (B, H, W, out width)
        if self.pooled:
            queries = pool(queries)
        height, width = queries.shape[1:3]
        queries, keys, values = (
            torch.unflatten(x.flatten(1, 2), -1, (self.heads, -1)).transpose(1, 2) for x in (queries, keys, values)
        )
        seen = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)  # (B, HW, out width)
        projected: Tensor = self.proj(torch.unflatten(seen, 1, (height, width)))
        return projected


class HieraBlock(nn.Module):
    """One transformer block; the first block of a later stage also halves the grid and doubles the channels."""

    def __init__(self, width: int, out_width: int, heads: int, window: int, drop_path: float = 0.0) -> None:
        """window: side in tokens before any pooling, 0 = the whole image."""
        super().__init__()
        self.window = window
        self.stride = 1 if width == out_width else 2
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = WindowAttention(width, out_width, heads, pooled=self.stride == 2)
        self.norm2 = nn.LayerNorm(out_width, eps=EPSILON)
        self.mlp = MLP((out_width, 4 * out_width, out_width), F.gelu)
        self.drop_path = DropPath(drop_path)
        if self.stride == 2:
            self.proj = nn.Linear(width, out_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H, W, width) to (B, H / stride, W / stride, out width)."""
        normed = self.norm1(tokens)
        # Sums stay in float32 also under autocast.
        shortcut = tokens if self.stride == 1 else pool(self.proj(normed)).float()
        tokens = shortcut + self.drop_path(self._attend(normed))
        mixed: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return mixed

    def _attend(self, tokens: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H / stride, W / stride, width), in windows or over the whole image."""
        if not self.window:
            whole: Tensor = self.attn(tokens)
            return whole
        height, width = tokens.shape[1:3]
        windows, padded = split_windows(tokens, self.window)
        windows = self.attn(windows)
        size = height // self.stride, width // self.stride
        return join_windows(windows, (padded[0] // self.stride, padded[1] // self.stride), size)


class PatchEmbed(nn.Module):
    """Overlapping 7 x 7 patches, four pixels apart, as tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=7, stride=4, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, S / 4, S / 4, width)."""
        # Tokens keep their channels together from here on; so does the convolution, then nothing is copied.
        maps: Tensor = self.proj(images.contiguous(memory_format=torch.channels_last))
        return maps.permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """Four stages of blocks; a feature comes out at the end of each."""

    enlargement: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(size.embed_dim)
        background, window = size.position_background_size, size.window_spec[0]
        self.pos_embed = nn.Parameter(torch.zeros(1, size.embed_dim, background, background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, size.embed_dim, window, window))
        self.register_buffer("enlargement", _bicubic(background, size.image_size // 4), persistent=False)
        self.stage_ends = [sum(size.stages[: i + 1]) - 1 for i in range(4)]
        self.blocks = nn.ModuleList(_blocks(size))
        self._initialise()

    def _initialise(self) -> None:
        # The usual start of vision transformers; the published trunk started from masked autoencoding instead.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_window, std=0.02)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) to four features (B, channels, side, side), strides 4, 8, 16 and 32."""
        tokens = self.patch_embed(images) + self._positions()
        features = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.stage_ends:
                features.append(tokens.permute(0, 3, 1, 2))
        return features

    def _positions(self) -> Tensor:
        """A coarse embedding of the whole image plus one repeated in each window (https://arxiv.org/abs/2311.05613)."""
        with torch.autocast(self.pos_embed.device.type, enabled=False):  # half precision would blur it
            whole = self.enlargement @ self.pos_embed @ self.enlargement.T  # (1, C, H, W)
        repeats = whole.shape[-1] // self.pos_embed_window.shape[-1]
        return (whole + self.pos_embed_window.tile(1, 1, repeats, repeats)).permute(0, 2, 3, 1)


def _bicubic(small: int, large: int) -> Tensor:
    """The (large, small) matrix that enlarges a column of values as bicubic interpolation does."""
    one_each = torch.eye(small, dtype=torch.float32, device="cpu")
    columns = one_each[None, :, :, None]  # a column for each of the small positions
    return F.interpolate(columns, size=(large, 1), mode="bicubic")[0, :, :, 0].T.contiguous()


def _blocks(size: Size) -> list[HieraBlock]:
    blocks: list[HieraBlock] = []
    depth = sum(size.stages)
    for stage, count in enumerate(size.stages):
        for position in range(count):
            index = len(blocks)
            first_of_later_stage = stage > 0 and position == 0
            # The block that changes stage still works on the finer grid, hence in the previous stage's windows.
            window = size.window_spec[stage - 1 if first_of_later_stage else stage]
            if index in size.global_attention_blocks:
                window = 0
            width = size.channels[stage - 1 if first_of_later_stage else stage]
            blocks.append(
                HieraBlock(
                    width,
                    size.channels[stage],
                    size.num_heads * 2**stage,
                    window,
                    drop_path=size.drop_path * index / max(depth - 1, 1),
                )
            )
    return blocks
