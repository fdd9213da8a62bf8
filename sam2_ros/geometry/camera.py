"""A calibrated camera: the ray of each pixel, and the pixel of a point.

Positions are metres in the optical frame of REP 103: x to the right, y down, z forward.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput, InvalidPrompt

#: Lens models of camera_info for OpenCV's fisheye functions; all others use its standard model.
FISHEYE = ("equidistant", "fisheye")
#: Points between the optical axis and a position; the projection must move outwards at each of them.
STEPS = 64
#: A pixel whose ray is projected back farther away than this many pixels is outside what the lens model describes.
CLOSE = 0.1
#: When to stop the search for the ray of a pixel: steps, and how little the last one moved.
_ENOUGH = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 40, 1e-7)


class Camera:
    """A pinhole camera with a lens.

    size: (height, width) of its images, pixels; None = it does not say.
    matrix: (3, 3), the intrinsic matrix for these images.  lens: distortion coefficients, empty = none.
    model: the name of the lens model, as in camera_info.
    origin: x and y of the centre of projection in the optical frame, metres; not 0 for the right eye of a stereo
    camera.
    """

    def __init__(
        self,
        size: tuple[int, int] | None,
        matrix: np.ndarray,
        lens: np.ndarray | tuple[float, ...] = (),
        model: str = "",
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.size = size
        self.matrix = np.asarray(matrix, np.float64).reshape(3, 3)
        self.lens = np.asarray(lens, np.float64)
        self.model = model
        self.origin = origin
        self._other: Camera | None = None  # of the size that was asked for last: its rays are not worked out again

    @classmethod
    def of(cls, info: Any, rectified: bool = False) -> Camera:
        """The camera of a sensor_msgs/CameraInfo; raises InvalidInput where that holds no calibration.

        rectified: its images are undistorted, so P applies in place of K and D.  Binning and the region of interest
        are those of the images, as in REP 104.
        """
        full = np.reshape(info.p if rectified else info.k, (3, -1)).astype(np.float64)
        if not (full[0, 0] and full[1, 1]) or not np.isfinite(full).all():
            raise InvalidInput(
                f"camera_info holds no calibration ({'P' if rectified else 'K'} has no focal length); calibrate the "
                "camera, or set image_is_rectified to the kind of its images"
            )
        across, down = max(info.binning_x, 1), max(info.binning_y, 1)
        matrix = full[:, :3].copy()
        matrix[0] /= across
        matrix[1] /= down
        matrix[0, 2] = (full[0, 2] - info.roi.x_offset + 0.5) / across - 0.5
        matrix[1, 2] = (full[1, 2] - info.roi.y_offset + 0.5) / down - 0.5
        width, height = (info.roi.width or info.width) // across, (info.roi.height or info.height) // down
        size = (int(height), int(width)) if width and height else None
        if not rectified:
            return cls(size, matrix, np.array(info.d, np.float64), info.distortion_model)
        with np.errstate(over="ignore"):
            origin = (-full[0, 3] / full[0, 0], -full[1, 3] / full[1, 1])
        if not np.isfinite(origin).all():
            raise InvalidInput(
                f"camera_info has focal lengths of {full[0, 0]} and {full[1, 1]} pixels; calibrate the camera"
            )
        return cls(size, matrix, origin=origin)

    def resized(self, size: tuple[int, int]) -> Camera:
        """The same camera for the same pictures at another size (height, width)."""
        if self.size is None or size == self.size:
            return self
        if self._other is not None and self._other.size == size:
            return self._other
        down, across = size[0] / self.size[0], size[1] / self.size[1]
        matrix = self.matrix.copy()
        matrix[0], matrix[1] = matrix[0] * across, matrix[1] * down
        matrix[0, 2] = (self.matrix[0, 2] + 0.5) * across - 0.5
        matrix[1, 2] = (self.matrix[1, 2] + 0.5) * down - 0.5
        self._other = Camera(size, matrix, self.lens, self.model, self.origin)
        return self._other

    def sized(self, size: tuple[int, int]) -> Camera:
        """The same camera, whose images are known to be of this size."""
        return self if self.size else Camera(size, self.matrix, self.lens, self.model, self.origin)

    @property
    def bends(self) -> bool:
        """Whether straight lines are bent: a fisheye lens does so even with coefficients that are all zero."""
        return bool(self.lens.any() or (len(self.lens) and self.model in FISHEYE))

    def points(self, rows: np.ndarray, columns: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Positions (3, ...) of pixels of the given depth (z, metres), float32; nan where the lens sees nothing."""
        if self.bends:
            across, down = self._rays[:, rows, columns]
        else:
            (fx, skew, cx), (_, fy, cy), _ = self.matrix
            down = (rows - cy) / fy
            across = (columns - cx - skew * down) / fx
        x, y = self.origin
        return np.stack((across * depth + x, down * depth + y, depth)).astype(np.float32)

    def seen(self, depth: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
        """The window of a depth image (H, W), 0 where the lens sees nothing."""
        if not self.bends:
            return depth[window]
        return np.where(np.isfinite(self._rays[0][window]), depth[window], np.float32(0))

    @functools.cached_property
    def _rays(self) -> np.ndarray:
        """x / z and y / z of every pixel (2, H, W), float32; nan where the lens model has no ray for it."""
        if self.size is None:
            raise InvalidInput("camera_info names no image size, which is needed to undistort depth; publish it")
        height, width = self.size
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 1, 2).astype(np.float64)
        try:
            if self.model in FISHEYE:
                rays = cv2.fisheye.undistortPoints(grid, self.matrix, self.lens)
            else:
                rays = cv2.undistortPointsIter(grid, self.matrix, self.lens, np.eye(3), np.eye(3), _ENOUGH)
            with np.errstate(all="ignore"):
                again = self._seen(np.concatenate((rays, np.ones_like(rays[..., :1])), axis=-1))
        except cv2.error as error:
            raise InvalidInput(self._refusal(error)) from error
        with np.errstate(invalid="ignore"):
            right = np.abs(again - grid).max(axis=(1, 2)) < CLOSE
        rays = np.where(right[:, None], rays[:, 0], np.nan)
        return np.ascontiguousarray(rays.T.reshape(2, height, width), np.float32)

    def pixel(self, position: np.ndarray) -> tuple[float, float]:
        """The pixel at which a position (3,) is seen.

        Raises InvalidPrompt for a point behind the camera or outside the lens model.
        """
        if not np.isfinite(position).all() or position[2] <= 0:
            raise InvalidPrompt(f"the point {_shown(position)} is not in front of the camera")
        position = position - [*self.origin, 0.0]
        with np.errstate(all="ignore"):  # a calibration may hold any numbers; the result is checked below
            x, y = self._bent(position) if self.bends else _flat(self.matrix @ position)
        if not np.isfinite((x, y)).all():
            raise InvalidPrompt(
                f"camera_info puts the point {_shown(position)} at no finite pixel; check its K, D and P"
            )
        return x, y

    def _bent(self, position: np.ndarray) -> tuple[float, float]:
        """Through the lens; far off the axis its polynomials fold back, and such points are refused."""
        ray = np.linspace(0.0, 1.0, STEPS)[:, None] * position  # from the optical axis to the position
        ray[:, 2] = position[2]
        try:
            pixels = self._seen(ray[:, None])[:, 0]
        except cv2.error as error:
            raise InvalidPrompt(self._refusal(error)) from error
        outwards = np.diff(np.linalg.norm((pixels - pixels[0]) / self.matrix[[0, 1], [0, 1]], axis=1))
        if (outwards < -1e-9).any():
            raise InvalidPrompt(f"the point {_shown(position)} is farther to the side than the lens sees")
        return float(pixels[-1, 0]), float(pixels[-1, 1])

    def _seen(self, positions: np.ndarray) -> np.ndarray:
        """The pixels (N, 1, 2) of positions (N, 1, 3)."""
        function = cv2.fisheye.projectPoints if self.model in FISHEYE else cv2.projectPoints
        pixels, _ = function(positions, np.zeros(3), np.zeros(3), self.matrix, self.lens)
        seen: np.ndarray = pixels.reshape(-1, 1, 2)
        return seen

    def _refusal(self, error: cv2.error) -> str:
        return f"{len(self.lens)} lens coefficients of {self.model!r} cannot be used: {error.err}"


def content_of(info: Any, rectified: bool) -> tuple[Any, ...]:
    """What of a sensor_msgs/CameraInfo makes the camera."""
    numbers = (*info.k, *info.d, *info.p, info.width, info.height, info.binning_x, info.binning_y)
    region = info.roi
    return (*numbers, info.distortion_model, region.x_offset, region.y_offset, region.width, region.height, rectified)


def _shown(position: np.ndarray) -> list[float]:
    """To millimetres, for errors; numpy's rounding would warn of huge numbers."""
    return [round(float(value), 3) for value in position]


def _flat(point: np.ndarray) -> tuple[float, float]:
    """The pixel of a homogeneous point (3,); not finite where its last coordinate is 0."""
    u, v, w = np.asarray(point, np.float64)
    return float(u / w), float(v / w)
