"""The memory of one object outside of any tracker, so that it can be followed again later or by another tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sam2_ros.errors import InvalidInput
from sam2_ros.model.interface import Model
from sam2_ros.tracking.visibility import Visibility
from sam2_ros.types import State


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMemory:
    """What ``Tracker.export`` gives and ``Tracker.restore`` takes: tensors on the CPU, and numbers.

    name: of the object.  state, frames_since_seen: as in ``Track``, the state as its number.
    model, side, weights: name, image side and checksum of the model that made the memory; only it can read it.
    rule: name of the memory rule.  contents: what the rule holds, in dicts, lists, tuples, tensors and numbers.
    """

    name: str
    state: int
    frames_since_seen: int
    model: str
    side: int
    weights: str
    rule: str
    contents: dict[str, Any]

    @property
    def visibility(self) -> Visibility:
        """The published state of the object."""
        return Visibility(State(self.state), self.frames_since_seen)

    def refuse_other(self, model: Model, weights: str, rule: str) -> None:
        """Raise InvalidInput unless this memory was made by ``model`` with these ``weights``, under ``rule``."""
        if (self.model, self.side) != (model.size.name, model.size.image_size):
            raise InvalidInput(
                f"the memory of {self.name} was made by the model {self.model} at {self.side} pixels, but this is "
                f"{model.size.name} at {model.size.image_size} pixels; restore it with the model that made it"
            )
        if self.weights != weights:
            raise InvalidInput(
                f"the memory of {self.name} was made with other weights of the model {self.model} "
                f"(checksum {self.weights[:8]}, these have {weights[:8]}); restore it with the weights that made it"
            )
        if self.rule != rule:
            raise InvalidInput(
                f"the memory of {self.name} was kept by the memory rule {self.rule}, but this tracker's is {rule}; "
                f"restore it in a tracker with the rule {self.rule}"
            )


def with_tensors(contents: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same dicts, lists and tuples, with every tensor changed."""
    if isinstance(contents, Tensor):
        return change(contents)
    if isinstance(contents, dict):
        return {key: with_tensors(value, change) for key, value in contents.items()}
    if isinstance(contents, (list, tuple)):
        return type(contents)(with_tensors(value, change) for value in contents)
    return contents
