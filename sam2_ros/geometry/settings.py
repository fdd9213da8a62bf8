"""Which depth is used, and how it is matched with its image, as settings with their ranges."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_ros import settings as declared
from sam2_ros.errors import InvalidInput
from sam2_ros.settings import setting


@dataclass(frozen=True)
class DepthSettings:
    """How depth becomes positions of objects."""

    image_is_rectified: bool = setting(
        False, "the images are undistorted: 3-D clicks and positions use P of camera_info instead of K and D"
    )
    depth_transport: str = setting(
        "auto",
        "which depth images to subscribe to for positions in 3-D; auto = raw if it is published, else compressed",
        choices=("auto", "raw", "compressed", "off"),
    )
    depth_scale: float = setting(
        0.001, "size of one unit of a 16-bit depth image [m]; drivers publish millimetres", low=1e-6, high=1.0
    )
    depth_near: float = setting(0.05, "nearer depth is ignored [m]", low=0.0, high=100.0)
    depth_far: float = setting(10.0, "farther depth is ignored [m]", low=0.01, high=1000.0)
    depth_tolerance: float = setting(
        0.015,
        "the stamps of an image and its depth differ by less than this; keep it below half the interval between two "
        "images [s]",
        low=0.0,
        high=1.0,
    )
    depth_timeout: float = setting(
        0.2, "depth that comes later than this after the masks of its image is not used [s]", low=0.0, high=5.0
    )
    velocity: bool = setting(False, "estimate the velocity of each object with a constant-velocity filter")

    def __post_init__(self) -> None:
        declared.check(self)
        if self.depth_near >= self.depth_far:
            raise InvalidInput(f"depth_near must be below depth_far, got {self.depth_near} and {self.depth_far}")
