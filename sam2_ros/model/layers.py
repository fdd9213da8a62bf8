"""The small layers that several modules share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Layer normalisation of maps with at most as many channels takes a way of its own.
FEW_CHANNELS = 4


def to_channels_last(model: nn.Module) -> None:
    """Bring a model to the memory layout that is faster for what alternates between maps and tokens."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares no such overload


def is_plain(x: Tensor) -> bool:
    """Whether x may take a shorter way that is for float32 on a CPU, without gradients."""
    return is_lean(x) and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def is_lean(x: Tensor) -> bool:
    """Whether x may take a shorter way that is for any precision on a CPU, without gradients."""
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        # A traced graph is for an engine that has ways of its own.
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    )


def gelu_of_convolution(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """F.gelu(convolution(maps)); on a CPU without gradients in one pass, where torch has that."""
    fused = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if is_plain(maps) else None
    if fused is None:
        return F.gelu(convolution(maps))
    given = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
    # The exact GELU has no arguments.
    out: Tensor = fused(maps, convolution.weight, convolution.bias, *given, "gelu", [], "none")
    return out


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of an (N, C, H, W) map, at each place on its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        if maps.shape[1] <= FEW_CHANNELS and is_lean(maps):
            return self._one_channel_after_the_other(maps.float().contiguous())
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _one_channel_after_the_other(self, maps: Tensor) -> Tensor:
        """The same; torch's kernel goes from place to place, with much to do besides a few channels."""
        centred = maps - maps.mean(dim=1, keepdim=True)
        scale = (centred.square().mean(dim=1, keepdim=True) + self.eps).rsqrt()
        return torch.addcmul(self.bias.view(-1, 1, 1), centred * self.weight.view(-1, 1, 1), scale)


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
