"""A memory as tokens, each with its position in the image.

SAM 2 remembers the whole map.  Another family may compress it, with a class of its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from sam2_ros.model.perceiver import SpatialPerceiver
from sam2_ros.model.position import rotary_table, sine_grid
from sam2_ros.model.sizes import PERCEIVER, WHOLE_MAP, Size


class MemoryTokens(Protocol):
    """From the map of one memory to its T tokens.

    positions: (T, m), added to the tokens where they are keys; zeros for a token that stands nowhere.
    cosine, sine: (T, C / 2) each, by which the memory attention turns the keys, as from position.rotary_table;
    ones and zeros leave a key as it is.
    unturned: how many tokens at the start are left as they are.
    """

    unturned: int

    positions: Tensor
    cosine: Tensor
    sine: Tensor

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, m, h, w), from the memory encoder, to (N, T, m)."""
        ...


class WholeMap(nn.Module):
    """SAM 2: each of the h w places is one token, in raster order."""

    unturned = 0
    positions: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        positions = sine_grid(size.memory_dim, size.grid).flatten(1).T.contiguous()
        cosine, sine = rotary_table(size.hidden_dim, size.grid)
        self.register_buffer("positions", positions, persistent=False)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, m, h, w) to (N, h w, m)."""
        return maps.flatten(2).transpose(1, 2)


#: Every kind is made from a Size, and a module as MemoryTokens declares it.  A new kind is one more entry.
MEMORY_TOKENS: dict[str, Callable[[Size], MemoryTokens]] = {WHOLE_MAP: WholeMap, PERCEIVER: SpatialPerceiver}
