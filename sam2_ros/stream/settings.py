"""How prompts and images reach the tracker, as settings with their ranges.

What the tracker itself does with them is set in ``tracking.settings``.
"""

from __future__ import annotations

from dataclasses import dataclass

from sam2_ros.ranges import AUTO, limits_of
from sam2_ros.settings import check, setting
from sam2_ros.stamps import TOLERANCE


@dataclass(frozen=True)
class SessionSettings:
    """How images, prompts, clicks and detections reach the tracker."""

    image_range: str = setting(
        AUTO,
        "which values of 16-bit and float images become black and white; auto = those that occur, "
        "full = 0 and 65535, LOW,HIGH = these two",
    )
    prompt_tolerance: float = setting(
        TOLERANCE / 1e9,
        "a prompt whose image was dropped is applied to the nearest remembered image, at most this far away, "
        "or one interval of the camera if that is longer [s]",
        low=0.0,
        high=10.0,
    )
    prompt_timeout: float = setting(
        2.0, "a prompt for an image that has not arrived waits for it this long [s]", low=0.0, high=60.0
    )
    click_object: str = setting(
        "", "name of the object that clicks belong to; empty = the object under the click, else a new one"
    )
    click_negative: bool = setting(
        False,
        "clicks mark what is not part of click_object (or of the object under them): for a mask that is too large",
    )
    detection_overlap: float = setting(
        0.5,
        "a detection that overlaps a tracked object at least this much is that object [intersection over union]",
        low=0.05,
        high=1.0,
    )
    max_detected_objects: int = setting(
        16,
        "at this many tracked objects a detection starts no new one; it may only replace a lost one that a detection "
        "started [objects]",
        low=0,
        high=1000,
    )
    max_objects: int = setting(64, "no new object is started while this many are tracked [objects]", low=1, high=65535)

    def __post_init__(self) -> None:
        check(self)
        limits_of(self.image_range)
