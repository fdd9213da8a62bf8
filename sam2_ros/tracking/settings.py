"""How the tracker behaves, as settings with their ranges."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_ros.errors import InvalidInput
from sam2_ros.settings import check, fixed_names, setting
from sam2_ros.tracking.memory import MemoryBank
from sam2_ros.tracking.rules import RULES


@dataclass(frozen=True)
class TrackerSettings:
    """How the tracker behaves; the defaults suit a robot."""

    # Fixed are those with which the memories of a running tracker were made.

    memory_rule: str = setting(
        MemoryBank.name,
        "past frames that an object looks at: sam2 = prompted and recent ones; distractor_aware = also those on which "
        "it was told apart from a look-alike, and none on which it was hidden",
        choices=tuple(RULES),
        fixed=True,
    )
    max_prompted_frames: int = setting(
        4,
        "prompted frames that take part in an object's memory, the first always among them; 0 = all",
        low=0,
        high=64,
        fixed=True,
    )
    remembered_frames: int = setting(
        30, "frames kept so that a prompt may come late [frames]", low=2, high=1000, fixed=True
    )
    forget_around_corrections: bool = setting(
        True, "a correction drops the unprompted memories of the seven frames before it"
    )
    binarize_prompted_masks: bool = setting(
        True, "the mask of a prompted frame enters the memory as 0 or 1 instead of as probabilities"
    )
    stability_fallback: bool = setting(
        True,
        "the mask for a prompt is replaced by another candidate if it changes much with its threshold, or, with "
        "embedded, if it misses a click",
    )
    hole_area: int = setting(
        8, "holes of at most this area are filled [pixels of the model's mask]; 0 = none", low=0, high=4096
    )
    non_overlapping: bool = setting(True, "where masks overlap, only the object with the largest logit keeps the pixel")
    visible_margin: float = setting(
        1.0,
        "the published state becomes visible above this object score, and occluded below minus this [logit]",
        low=0.0,
        high=20.0,
    )
    lost_after_frames: int = setting(
        150, "an object not seen for this many frames is lost (it is still looked for) [frames]", low=1, high=1_000_000
    )
    precision: str = setting(
        "auto",
        "arithmetic of the model; auto = bfloat16 on a GPU or CPU that has it, else float32; "
        "for embedded on a CPU torch takes float32",
        choices=("auto", "float32", "bfloat16", "float16"),
        fixed=True,
    )

    def __post_init__(self) -> None:
        check(self)

    def changed_to(self, wanted: TrackerSettings) -> TrackerSettings:
        """``wanted``, unless a running tracker cannot change to it from these: InvalidInput."""
        if not isinstance(wanted, TrackerSettings):
            raise InvalidInput(f"settings must be a TrackerSettings of sam2_ros, got {type(wanted).__name__}")
        fixed = [name for name in fixed_names(self) if getattr(wanted, name) != getattr(self, name)]
        if fixed:
            raise InvalidInput(f"{' and '.join(fixed)} cannot change while a tracker runs; make a new Tracker")
        return wanted
