"""The small layers that several modules share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def to_channels_last(model: nn.Module) -> None:
    """Bring a model to the memory layout that is faster for what alternates between maps and tokens."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares no such overload


def gelu_of_convolution(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """F.gelu(convolution(maps)), 1 x 1; on a CPU without gradients in one pass, where torch has that."""
    fused = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if _is_fused(maps) else None
    if fused is None:
        return F.gelu(convolution(maps))
    # No padding, strides and dilations of 1, one group; the exact GELU has no arguments.
    out: Tensor = fused(maps, convolution.weight, convolution.bias, [0, 0], [1, 1], [1, 1], 1, "gelu", [], "none")
    return out


def _is_fused(maps: Tensor) -> bool:
    """Whether oneDNN may take these maps."""
    return (
        maps.device.type == "cpu"
        and maps.dtype == torch.float32
        and not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        # A traced graph is for an engine that does not know oneDNN's.
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    )


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of an (N, C, H, W) map, at each place on its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Tokens(nn.Module):
    """Learned tokens: weight (count, width), drawn from a normal distribution cut at twice its deviation of 1."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(count, width)))


class MLP(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(self, widths: tuple[int, ...], activation: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(..., first width) to (..., last width)."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        last: Tensor = self.layers[-1](x)
        return last


class DropPath(nn.Module):
    """In training, zero a whole row of the batch with some probability, and scale the others up."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) to (B, ...)."""
        if not self.training or not self.probability:
            return x
        kept = torch.empty(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.probability)
        return x * kept / (1 - self.probability)
