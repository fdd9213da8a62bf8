"""The least time that a stage can take: its operations and bytes over what the device does and moves at most.

Operations are those of matrix products, convolutions and attention, a multiplication and an addition being two.  Bytes
are what a stage reads that it did not make (weights, inputs, tables) and the result it returns, each once: what it
writes in between may stay in the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from parts.stopwatch import table_lines

#: Sides of the matrix products that are tried, and the bytes that are copied.
SIDES = (1024, 2048)
COPIED = 2**28
ROUNDS = 3


@dataclass(frozen=True)
class Work:
    """What a stage does on one frame."""

    operations: int
    bytes: int


@dataclass(frozen=True)
class Ceiling:
    """What a device does in one arithmetic: operations and bytes per second."""

    operations: float
    bytes: float

    def floor(self, work: Work) -> float:
        """The least seconds for this work."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


def ceiling(device: torch.device, dtype: torch.dtype) -> Ceiling:
    """The best of some matrix products and copies, which takes a second."""
    products = []
    for side in SIDES:
        left, right = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
        products.append(2 * side**3 / _least(device, partial(torch.mm, left, right)))
    source = torch.empty(COPIED // 4, device=device).fill_(1.0)
    target = torch.empty_like(source).fill_(0.0)
    return Ceiling(max(products), 2 * COPIED / _least(device, lambda: target.copy_(source)))


def _least(device: torch.device, act: Callable[[], object]) -> float:
    """The least seconds of some tries."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


class Count:
    """What the stages of a frame do.

    count = Count(model, STAGES)
    track(...)
    count.stop()
    count.work["encode"]
    """

    def __init__(self, owner: Any, methods: Mapping[str, str]) -> None:
        self.work: dict[str, Work] = {}
        self._owner, self._before = owner, {name: getattr(owner, name) for name in methods.values()}
        for stage, name in methods.items():
            setattr(owner, name, self._counted(stage, getattr(owner, name)))

    def stop(self) -> None:
        """The methods are those of before."""
        for name, method in self._before.items():
            setattr(self._owner, name, method)

    def _counted(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            with _Counter() as counter:
                result = function(*args, **options)
            done = self.work.get(stage, Work(0, 0))
            moved = counter.read_bytes() + sum(tensor.nbytes for tensor in _tensors(result))
            self.work[stage] = Work(done.operations + counter.operations, done.bytes + moved)
            return result

        return counted


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Two products for each query and key: torch has no formula for its own attention on a CPU."""
    batch, heads, queries, width = query.shape
    return 2 * batch * heads * queries * key.shape[2] * (width + value.shape[3])


FORMULAS = {**flop_registry, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


class _Counter(TorchDispatchMode):
    """Counts operations, and notes what is read and what is made.

    torch's own FlopCounterMode also tracks modules, which fails in inference mode; its formulas are used here.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self._read: dict[int, int] = {}
        self._made: set[int] = set()

    def read_bytes(self) -> int:
        """Of what was there before, each place once."""
        return sum(self._read.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = FORMULAS.get(func._overloadpacket)
        if formula is None and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        self._note_read((args, kwargs))
        result = func(*args, **kwargs)
        if formula is not None:
            self.operations += formula(*args, **kwargs, out_val=result)
        for tensor in _tensors(result):
            if tensor.untyped_storage().data_ptr() not in self._read:
                self._made.add(tensor.untyped_storage().data_ptr())
        return result

    def _note_read(self, given: Any) -> None:
        for tensor in _tensors(given):
            place = tensor.untyped_storage().data_ptr()
            if place not in self._made:
                whole = min(tensor.nbytes, tensor.untyped_storage().nbytes())  # a view may show a place many times
                self._read[place] = max(self._read.get(place, 0), whole)


def _tensors(value: Any) -> Iterable[Tensor]:
    """All tensors in an argument or a result."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            yield from _tensors([getattr(leaf, one.name) for one in fields(leaf)])


def floor_header() -> str:
    """The first two lines of the table, in Markdown."""
    return table_lines(["model", "objects", "", "stage", "GFLOP", "MB", "floor [ms]", "ms", "share"], first=True)


def floor_line(cells: Iterable[str], stage: str, work: Work, floor: float, spent: float) -> str:
    """A row of the table; floor, spent: milliseconds.  cells: model, objects and contender."""
    figures = (work.operations / 1e9, work.bytes / 1e6, floor, spent)
    share = f"{floor / spent:.2f}" if spent else ""
    return table_lines([*cells, stage, *(f"{figure:.2f}" for figure in figures), share])
