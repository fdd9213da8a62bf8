"""The memory rules by the names that the setting ``memory_rule`` gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from sam2_ros.tracking.distractor_aware import DistractorAwareMemory
from sam2_ros.tracking.memory import MemoryBank, MemoryRule

if TYPE_CHECKING:
    from torch import Tensor

    from sam2_ros.tracking.settings import TrackerSettings

#: Makes the empty memory of a new object from the settings.
NewMemory: TypeAlias = "Callable[[TrackerSettings], MemoryRule[Tensor, Tensor]]"

RULES: dict[str, NewMemory] = {
    MemoryBank.name: lambda settings: MemoryBank(settings.max_prompted_frames or None),
    DistractorAwareMemory.name: lambda settings: DistractorAwareMemory(settings.max_prompted_frames or None),
}


def chosen_rule(settings: TrackerSettings) -> MemoryRule[Tensor, Tensor]:
    """The empty memory of a new object under the rule that the settings name."""
    return RULES[settings.memory_rule](settings)
