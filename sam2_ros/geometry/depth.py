"""Converts published depth images to metres.

REP 118: 16UC1 is whole millimetres with 0 for "not measured", 32FC1 is metres with nan, and inf for "too far".  The
setting depth_scale is for cameras with other units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.messages import DEPTH_TYPES, values_from
from sam2_ros.recordings.bags.compressed_depth import decompressed


def depth_from(message: Any) -> np.ndarray:
    """A depth image (H, W) in its own units: a sensor_msgs/Image, or a CompressedImage of compressedDepth.

    Raises InvalidImage.
    """
    if hasattr(message, "format"):
        return decompressed(message)
    try:
        return values_from(message, DEPTH_TYPES)
    except InvalidImage as error:
        raise InvalidImage(f"a depth image cannot be read: {error}") from error


def check_frame(depth: str, image: str) -> None:
    """InvalidImage where depth is in another frame than its image; a frame without a name may be any."""
    depth, image = depth.lstrip("/"), image.lstrip("/")
    if depth and image and depth != image:
        raise InvalidImage(
            f"depth is in the frame {depth!r} and the images in {image!r}; use the depth that the driver registers "
            "to the image"
        )


def metres(depth: np.ndarray, settings: DepthSettings = DepthSettings()) -> np.ndarray:
    """Depth in its own units as (H, W) float32 metres; 0 where it is unknown, too near or too far to be believed."""
    if depth.dtype.kind in "ui":
        depth = depth.astype(np.float32)
        depth *= np.float32(settings.depth_scale)
    with np.errstate(invalid="ignore"):
        known = (depth >= settings.depth_near) & (depth <= settings.depth_far)  # false for nan
    return np.where(known, depth, 0).astype(np.float32, copy=False)
