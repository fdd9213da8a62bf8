"""The points of all objects of one image, coloured and labelled."""

from __future__ import annotations

import cv2
import numpy as np

from sam2_ros.geometry.camera import Camera
from sam2_ros.types import Image

#: One point: metres in the optical frame, colour as 0x00RRGGBB, and the id of the object.
POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u4")])


def cloud(labels: np.ndarray, depth: np.ndarray, camera: Camera, image: Image, organized: bool = False) -> np.ndarray:
    """The points (N,) of the pixels of objects that have depth; organized: one for each pixel of the depth (H, W).

    labels: (h, w), of the image (h, w, 3), whose size the depth need not have.  depth: metres, 0 = unknown; without
    object or depth an organized point is nan with the label 0.
    """
    camera = camera.sized(labels.shape).resized(depth.shape)
    colours: np.ndarray = image
    if labels.shape != depth.shape:
        size = depth.shape[::-1]
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        colours = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT)
    rows, columns = np.nonzero((labels > 0) & (camera.seen(depth, (slice(None), slice(None))) > 0))
    points = np.empty(len(rows), POINT)
    points["x"], points["y"], points["z"] = camera.points(rows, columns, depth[rows, columns])
    red, green, blue = colours[rows, columns].T.astype(np.uint32)
    points["rgb"] = red << 16 | green << 8 | blue
    points["label"] = labels[rows, columns]
    if not organized:
        return points
    whole = np.zeros(depth.shape, POINT)
    for name in ("x", "y", "z"):
        whole[name] = np.nan
    whole[rows, columns] = points
    return whole
