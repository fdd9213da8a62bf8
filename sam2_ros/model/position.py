"""Position encodings: sine, random Fourier and rotary, all in real arithmetic.

Fixed tables are made on the CPU even if a model is built on the meta device: no checkpoint has them, so loading one
would not fill them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Ratio between the longest and the shortest wavelength, as in "Attention is all you need".
TEMPERATURE = 10000.0


def _sine_wavelengths(count: int, device: torch.device | str) -> Tensor:
    """Wavelengths in pairs: channels 2i and 2i + 1 share one, for a sine and a cosine."""
    pair = torch.arange(count, dtype=torch.float32, device=device) // 2
    return TEMPERATURE ** (2 * pair / count)


def sine_grid(channels: int, side: int) -> Tensor:
    """Sine encoding of a square grid of tokens, rows in the first half of the channels.

    Coordinates run over (0, 2 pi], the last row and column at (almost) 2 pi.  Returns
    (channels, side, side) float32.
    """
    steps = torch.arange(1, side + 1, dtype=torch.float32, device="cpu")
    angles = steps / (side + 1e-6) * (2 * math.pi)
    angles = angles[:, None] / _sine_wavelengths(channels // 2, "cpu")  # (side, channels / 2)
    waves = torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1)
    rows = waves[:, None, :].expand(side, side, -1)
    columns = waves[None, :, :].expand(side, side, -1)
    return torch.cat((rows, columns), dim=2).permute(2, 0, 1).contiguous()


def sine_line(positions: Tensor, channels: int) -> Tensor:
    """Sine encoding of positions on a line: (...,) to (..., channels), all sines before all cosines."""
    angles = positions[..., None] / _sine_wavelengths(channels // 2, positions.device)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def rotary_table(channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine by which rotary attention turns channel pairs of a square grid of tokens.

    The first half of the pairs turns with the column, the second half with the row.
    Returns two (side * side, channels / 2) float32 tensors, tokens in raster order.
    """
    frequencies = TEMPERATURE ** -(torch.arange(0, channels, 4, dtype=torch.float32, device="cpu") / channels)
    steps = torch.arange(side, dtype=torch.float32, device="cpu")
    angles = torch.outer(steps, frequencies)  # (side, channels / 4)
    columns = angles[None, :, :].expand(side, side, -1)
    rows = angles[:, None, :].expand(side, side, -1)
    angles = torch.cat((columns, rows), dim=2).flatten(0, 1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each channel of the first half together with its fellow of the second half.

    x: (..., T, C); cosine, sine: (T, C / 2).  Computed in float32, returned in x's type.
    """
    first, second = x.float().chunk(2, dim=-1)  # (..., T, C / 2)
    turned = (torch.addcmul(first * cosine, second, sine, value=-1), torch.addcmul(second * cosine, first, sine))
    return torch.cat(turned, dim=-1).type_as(x)


class FourierPositions(nn.Module):
    """Positions as sines and cosines of random frequencies (SAM; Tancik et al., 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        matrix = torch.randn(2, channels // 2, dtype=torch.float32, device="cpu")
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def forward(self, positions: Tensor) -> Tensor:
        """Encode (x, y) given as fractions of the image: (..., 2) to (..., channels)."""
        matrix = self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * ((2 * positions - 1).to(matrix.dtype) @ matrix)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def grid(self, side: int) -> Tensor:
        """The encoding of the cells of a square grid: (1, channels, side, side)."""
        matrix = self.positional_encoding_gaussian_matrix
        centres = (torch.arange(side, dtype=torch.float32, device=matrix.device) + 0.5) / side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self.forward(torch.stack((x, y), dim=-1)).permute(2, 0, 1)[None]
