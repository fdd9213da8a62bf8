"""Where each object is in metres, over time: measured on this image, or known from an earlier one."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.camera import Camera
from sam2_ros.geometry.surface import Surface, surfaces
from sam2_ros.geometry.velocity import Velocity
from sam2_ros.stamps import NewestStamp
from sam2_ros.types import Track, label_image

#: How much the proportions of depth and image may differ, as a share: sizes are whole numbers.
PROPORTION = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """The position of one object on one image.

    surface: as it was measured last.  age: seconds since then, 0 = on this very image.
    velocity: (3,), metres per second in the optical frame; None where it is not estimated or not known.
    """

    surface: Surface
    age: float = 0.0
    velocity: np.ndarray | None = None

    @property
    def distance(self) -> str:
        """How far from the camera, in words for pictures; with its age where it is an earlier one."""
        words = f"{np.linalg.norm(self.surface.position):.2f} m"
        return f"{words}, {self.age:.1f} s ago" if self.age else words


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """before: what was known from earlier images; it holds again if a correction takes this measurement back."""

    surface: Surface
    stamp: int
    velocity: Velocity
    before: _Known | None


class Positions:
    """The positions of the objects of one camera.

    An object that is hidden, or has no depth, keeps its last known position, which grows older.  It is in the
    optical frame of the camera at the time when it was measured: where the camera moves, the position moves with it.
    """

    def __init__(self, velocity: bool = False) -> None:
        """velocity: estimate that, too."""
        self.velocity = velocity
        self._known: dict[int, _Known] = {}
        self._newest = NewestStamp()

    def begin(self, stamp: int) -> bool:
        """The image of ``stamp`` has come; whether time starts again with it.  Then all is forgotten."""
        restarted = self._newest.restarts(stamp)
        if restarted:
            self.clear()
        return restarted

    def measure(self, stamp: int, labels: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
        """Take in the depth (H, W), metres, of the image of ``stamp`` (nanoseconds).

        labels: ``seen_labels`` of that image.  It may be much older than an image that was measured before: depth may
        be late.  The same image may come again, after a correction: only what is measured then counts.
        Raises InvalidImage for depth or a camera of other proportions.
        """
        found = measured(labels, depth, camera)
        self._take_back(stamp)
        for one, surface in found.items():
            before = self._known.get(one)
            if before is None or before.stamp < stamp:
                self._known[one] = self._after(before, stamp, surface)

    def at(self, stamp: int, tracks: Iterable[Track]) -> dict[int, Position]:
        """The positions of these objects on the image of ``stamp``; others are forgotten."""
        self.begin(stamp)
        ids = {track.id for track in tracks}
        self._known = {one: known for one, known in self._known.items() if one in ids}
        return {one: self._position(known, stamp) for one, known in self._known.items()}

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

    def _take_back(self, stamp: int) -> None:
        """Know what was known before the image of ``stamp``, if that is the newest."""
        earlier = {one: known.before if known.stamp == stamp else known for one, known in self._known.items()}
        self._known = {one: known for one, known in earlier.items() if known is not None}

    def _after(self, before: _Known | None, stamp: int, surface: Surface) -> _Known:
        """What is known with one more measurement."""
        velocity = Velocity() if before is None else copy.copy(before.velocity)
        if self.velocity:
            velocity.measure(stamp, surface.position)
        return _Known(surface, stamp, velocity, before and dataclasses.replace(before, before=None))

    def _position(self, known: _Known, stamp: int) -> Position:
        velocity = known.velocity.at(stamp) if self.velocity else None
        return Position(known.surface, max(stamp - known.stamp, 0) / 1e9, velocity)


def distances(positions: Mapping[int, Position]) -> dict[int, str]:
    """How far each object is from the camera, in words for pictures, by its id."""
    return {one: position.distance for one, position in positions.items()}


def seen_labels(tracks: Iterable[Track], size: tuple[int, int]) -> np.ndarray:
    """The label image (H, W) of the tracks without those that are occluded, whatever is left of their masks."""
    return label_image([track for track in tracks if not track.occluded], size)


def measured(labels: np.ndarray, depth: np.ndarray, camera: Camera) -> Mapping[int, Surface]:
    """The visible surfaces of the objects of a label image (H, W), by their ids.

    Depth, metres, may be larger or smaller than the image if it shows the same.  Raises InvalidImage if not.
    """
    size = labels.shape
    camera = camera.sized(size)
    if camera.size != size:
        raise InvalidImage(
            f"camera_info is for images of {_shown(camera.size)}, but they are {_shown(size)}; publish the "
            "camera_info that belongs to the image topic"
        )
    if depth.shape != size:
        if abs(depth.shape[0] * size[1] / (depth.shape[1] * size[0]) - 1) > PROPORTION:
            raise InvalidImage(
                f"depth of {_shown(depth.shape)} does not show the same as an image of {_shown(size)}; use the depth "
                "that the driver registers to the image"
            )
        labels = cv2.resize(labels, depth.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        camera = camera.resized(depth.shape)
    return surfaces(labels, depth, camera)


def _shown(size: tuple[int, ...] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "unknown size"
