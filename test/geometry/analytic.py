"""Spheres, boxes and planes as a perfect depth camera sees them: each pixel's ray is cut with each surface."""

from types import SimpleNamespace

import numpy as np

from sam2_ros.geometry.camera import Camera

SIZE = (240, 320)
FOCAL = 300.0


def camera(size=SIZE, focal=FOCAL, lens=(), model="plumb_bob"):
    height, width = size
    return Camera(size, [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], lens, model)


def rays(of):
    """x / z, y / z and 1 of every pixel (H, W, 3), of a camera without a lens."""
    height, width = of.size
    (fx, _, cx), (_, fy, cy), _ = of.matrix
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack(((column - cx) / fx, (row - cy) / fy, np.ones(of.size)), axis=-1)


def plane(normal, through):
    """Depth along rays (..., 3) of the plane with this normal through a point."""
    return lambda ray: _forward(np.dot(normal, through) / (ray @ np.array(normal, float)))


def sphere(centre, radius):
    def depth(ray):
        a, b, c = (ray**2).sum(-1), ray @ np.array(centre), np.dot(centre, centre) - radius**2
        root = b**2 - a * c
        return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)

    return depth


def box(centre, size, turn=np.eye(3)):
    """A box whose axes are the columns of ``turn``."""

    def depth(ray):
        start, along = -np.array(centre) @ turn, ray @ turn
        with np.errstate(divide="ignore"):
            first, second = (-np.array(size) / 2 - start) / along, (np.array(size) / 2 - start) / along
        entry, leaving = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
        return np.where((entry < leaving) & (entry > 0), entry, np.inf)

    return depth


def render(things, of=None):
    """Labels 1, 2, ... (H, W) uint8 of the nearest thing, and depth (H, W) float32 metres, 0 where there is none."""
    of = of or camera()
    ray = rays(of)
    depths = np.stack([np.full(of.size, np.inf), *(thing(ray) for thing in things)])
    labels, depth = depths.argmin(axis=0).astype(np.uint8), depths.min(axis=0)
    return labels, np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def truth(labels, depth, of, one):
    """The exact points (3, N) that are seen of an object."""
    rows, columns = np.nonzero((labels == one) & (depth > 0))
    return (rays(of)[rows, columns] * depth[rows, columns, None]).T


def camera_info(size=SIZE, focal=FOCAL, **changes):
    """A sensor_msgs/CameraInfo by its fields."""
    height, width = size
    cx, cy = (width - 1) / 2, (height - 1) / 2
    info = SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="optical"),
        width=width,
        height=height,
        k=[focal, 0, cx, 0, focal, cy, 0, 0, 1],
        d=[0.0] * 5,
        p=[focal, 0, cx, 0, 0, focal, cy, 0, 0, 0, 1, 0],
        distortion_model="plumb_bob",
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def _forward(depth):
    return np.where(depth > 0, depth, np.inf)
