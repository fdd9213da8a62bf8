"""Tensors on a GPU that is not there: shapes, types and devices are right, numbers are not computed.

An operation that mixes tensors of the processor and of the GPU fails as it would on a real one.  What the processor
reads of a GPU's tensor is zeros (of bools, true), and is counted: a real program waits there for the GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
#: Operations for which the processor has to know numbers of a GPU's tensor.
READING = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten._unique2")


class Transfers(TorchDispatchMode):
    """Counts what goes from one device to the other.

    counts: "up", "down"; with " without waiting" where the processor goes on meanwhile; "awaited" for what it asked
    for before and then waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def waits(self) -> int:
        """How often the processor stood still."""
        return self.counts["up"] + self.counts["down"] + self.counts["awaited"]

    def event(self) -> SimpleNamespace:
        """What a stream of CUDA answers to record_event."""
        return SimpleNamespace(synchronize=lambda: self.counts.update(["awaited"]))

    def __torch_dispatch__(self, function, types, args=(), options=None):
        out = function(*args, **(options or {}))
        name = str(function).rsplit(".", 1)[0]
        source = next((one for one in args if isinstance(one, torch.Tensor)), None)
        if name == "aten.copy_":
            source = args[1]
        on_gpu = source is not None and source.device.type == "cuda"
        if on_gpu and name in READING:
            self.counts["down"] += 1
        elif name in ("aten._to_copy", "aten.copy_") and source.device.type != out.device.type:
            waiting = " without waiting" if (options or {}).get("non_blocking") or True in args[2:] else ""
            self.counts[("down" if on_gpu else "up") + waiting] += 1
        return out


@contextmanager
def fake_cuda(fast: torch.dtype = torch.float32) -> Iterator[Transfers]:
    """Make tensors in this block, and let models and trackers use them on ``CUDA``.

    fast: what "auto" computes in there.
    """
    mode = FakeTensorMode()
    transfers = Transfers()
    real = torch.from_numpy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "from_numpy", lambda array: mode.from_tensor(real(array)))
        patch.setattr(torch.Tensor, "numpy", lambda tensor: np.zeros(tensor.shape, _numpy_type(tensor.dtype)))
        patch.setattr(torch.Tensor, "tolist", lambda tensor: _read(tensor, transfers).tolist())
        patch.setattr(torch.Tensor, "item", lambda tensor: _read(tensor, transfers).item())
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        present = SimpleNamespace(record_event=transfers.event, wait_event=lambda event: None)
        patch.setattr(torch.cuda, "current_stream", lambda device: present)
        # Inside, composite operations would not be taken apart, and their transfers not be seen.
        patch.setattr(torch, "inference_mode", _NoGradients)
        patch.setattr(
            torch.cuda, "get_device_capability", lambda device=None: (8, 0) if fast != torch.float32 else (7, 5)
        )
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        with torch.no_grad(), mode, transfers, _WithoutGuard():
            yield transfers


def on_gpu(model: nn.Module) -> nn.Module:
    """The same model with its weights on ``CUDA``; inside ``fake_cuda``."""
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            for name, value in held.items():
                if value is not None:
                    there = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
                    held[name] = nn.Parameter(there, requires_grad=False) if held is part._parameters else there
    return model


class _WithoutGuard(TorchFunctionMode):
    """Ways around what torch without CUDA refuses for tensors that are not there: it has no guard of their device."""

    def __torch_function__(self, function, types, args=(), options=None):
        if function is torch.Tensor.__getitem__:
            return _indexed(*args)
        if function is torch.Tensor.__setitem__:
            tensor, place, value = args
            part = _indexed(tensor, place)
            return _copied(part, value) if isinstance(value, torch.Tensor) else part.fill_(value)
        if function is torch.Tensor.copy_ and args[0].device == args[1].device:
            return _copied(*args)
        if function is torch.Tensor.__invert__:
            return torch.bitwise_not(*args)
        if function is torch.Tensor.contiguous:
            layout = (options or {}).get("memory_format", torch.contiguous_format)
            return args[0] if args[0].is_contiguous(memory_format=layout) else args[0].clone(memory_format=layout)
        return function(*args, **(options or {}))


def _copied(tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """``tensor.copy_(value)`` on one device, by an operation that wants the same of shapes and devices."""
    return tensor.zero_().add_(value)


def _indexed(tensor: torch.Tensor, place: object) -> torch.Tensor:
    """``tensor[place]`` from its single operations."""
    places = list(place) if isinstance(place, tuple) else [place]
    if Ellipsis in [one for one in places if not isinstance(one, torch.Tensor)]:
        at = next(number for number, one in enumerate(places) if one is Ellipsis)
        whole = tensor.dim() - sum(one is not None for one in places) + 1
        places[at : at + 1] = [slice(None)] * whole
    dimension, lists = 0, []
    for one in places:
        if one is None:
            tensor = tensor.unsqueeze(dimension)
        elif isinstance(one, slice):
            tensor = torch.ops.aten.slice(tensor, dimension, one.start, one.stop, one.step or 1)
        elif isinstance(one, torch.Tensor):
            lists += [None] * (dimension - len(lists)) + [one]
        else:
            tensor = tensor.select(dimension, int(one))
            continue
        dimension += 1
    return torch.ops.aten.index(tensor, lists) if lists else tensor


class _NoGradients(torch.no_grad):
    """In the place of torch.inference_mode, which takes an argument."""

    def __new__(cls, mode: bool = True) -> _NoGradients:
        return super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()


def _read(tensor: torch.Tensor, transfers: Transfers) -> np.ndarray:
    """The zeros that a tensor of the GPU or of the processor has here."""
    assert isinstance(tensor, FakeTensor)
    if tensor.device.type == "cuda":
        transfers.counts["down"] += 1
    return np.full(tensor.shape, tensor.dtype == torch.bool, _numpy_type(tensor.dtype))


def _numpy_type(dtype: torch.dtype) -> type:
    return np.dtype(str(dtype).removeprefix("torch.")).type
