"""The positions of the objects of one camera, from masks and depth in either order.

Masks never wait for depth.  If the depth of an image is there when its masks are, it is measured at once.  If it comes
later, but within the setting depth_timeout, it is measured then: an image that is still the newest can be published
again; otherwise only the last known positions are updated.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sam2_ros.errors import InvalidInput, Sam2RosError
from sam2_ros.geometry.camera import Camera, content_of
from sam2_ros.geometry.depth import metres
from sam2_ros.geometry.positions import Position, Positions, seen_labels
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.types import Track

#: Depth images of images that may still be tracked.
WAITING = 10
#: Tracked images that wait for their depth: a second at 30 images per second.
SEEN = 32
#: Stamps of tracked images that were given up.
GIVEN_UP = 150
#: Reads a depth image, in its own units; it is called only if the depth is needed.  Raises InvalidImage.
ReadDepth = Callable[[], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """The result for one image: positions by object id; its depth (H, W) in metres and camera, None without depth."""

    positions: Mapping[int, Position] = field(default_factory=dict)
    depth: np.ndarray | None = None
    camera: Camera | None = None


class DepthSource(Protocol):
    """Where depth waits until it is pulled; it knows whom to hand it to."""

    def pull(self) -> None:
        """Hand over the depth that has come since the last call: ``put`` for each that belongs to an image."""

    def listen(self) -> None:
        """Hand over depth as soon as it comes, as long as ``Locator.waits``."""


class NoDepthSource:
    """All depth is put."""

    def pull(self) -> None:
        """Nothing waits."""

    def listen(self) -> None:
        """Nothing will come."""


@dataclass(slots=True, eq=False)
class _Seen:
    """An image that was tracked; at: when, in seconds of ``time.monotonic``.

    labels: None once it was measured.  shows: whether there are objects on it.
    """

    stamp: int
    labels: np.ndarray | None
    at: float
    shows: bool

    @property
    def lacks_depth(self) -> bool:
        """Whether it shows objects and was not measured."""
        return self.shows and self.labels is not None


class Locator:
    """The positions of one camera.  Only one thread may call ``locate`` and ``restart``, any thread the rest.

    on_late: called with the stamp of the newest image when its depth has come after ``locate``.
    on_refused: called with the reason why depth could not be used.
    late: depth images that came after the setting depth_timeout, or when ``SEEN`` more images had been tracked.
    """

    def __init__(
        self,
        settings: DepthSettings = DepthSettings(),
        on_late: Callable[[int], object] = lambda stamp: None,
        on_refused: Callable[[str], object] = lambda reason: None,
    ) -> None:
        #: Where more depth waits; pulled in ``locate``.
        self.source: DepthSource = NoDepthSource()
        #: The camera of the images, None before the first camera_info.
        self.camera: Camera | None = None
        self.late = 0
        self._settings = settings
        self._on_late = on_late
        self._on_refused = on_refused
        self._info: tuple[Any, ...] = ()  # what the camera was made from
        self._why_no_camera = "depth comes, but no camera_info; it is needed for positions in metres"
        self._comes = False  # whether any depth has come: without it nothing is done for an image
        self._lock = threading.Lock()
        self._waiting: dict[int, ReadDepth] = {}
        self._expected: int | None = None  # the stamp of the image that is being tracked
        self._seen: deque[_Seen] = deque()
        self._given_up: deque[int] = deque(maxlen=GIVEN_UP)
        self._positions = Positions()
        # The depth of the newest image that came with its depth, and its stamp.
        self._read: tuple[int, np.ndarray] = 0, np.zeros((0, 0), np.float32)

    def configure(self, settings: DepthSettings) -> None:
        """Use other settings from the next depth image on."""
        self._settings = settings

    def look_at(self, info: Any) -> None:
        """Take the camera from a sensor_msgs/CameraInfo; one that says the same as before costs nothing."""
        rectified = self._settings.image_is_rectified
        if (content := content_of(info, rectified)) == self._info:
            return
        self._info = content
        try:
            self.camera = Camera.of(info, rectified)
        except InvalidInput as error:
            self.camera, self._why_no_camera = None, str(error)

    def expect(self, stamp: int) -> None:
        """The image of ``stamp``, nanoseconds, is being tracked: its depth is kept, however much more comes."""
        with self._lock:
            self._expected = stamp

    def restart(self) -> None:
        """Time starts again (a bag that loops): images may have the stamps of earlier ones, and ages make no sense."""
        with self._lock:
            for one in self._seen:
                if one.stamp != self._expected:
                    self._waiting.pop(one.stamp, None)
            self._seen.clear()
            self._given_up.clear()
        self._positions.clear()
        self._read = 0, np.zeros((0, 0), np.float32)

    @property
    def waits(self) -> bool:
        """Whether the newest image shows objects, and its depth has not come."""
        with self._lock:
            newest = self._seen[-1] if self._seen else None
            return newest is not None and newest.lacks_depth and newest.stamp not in self._waiting

    def put(self, stamp: int, read: ReadDepth, at: float | None = None) -> None:
        """Hand over the depth of the image of ``stamp``, nanoseconds.

        at: when it came, in seconds of ``time.monotonic``; None = now.
        """
        with self._lock:
            self._comes = True
            seen = next((one for one in self._seen if one.stamp == stamp), None)
            at = time.monotonic() if at is None else at
            if stamp in self._given_up or (seen is not None and at - seen.at > self._settings.depth_timeout):
                self.late += 1
                if seen is not None:
                    seen.labels = None
                return
            self._waiting[stamp] = read
            needed = {self._expected, *(one.stamp for one in self._seen)}
            for spare in [one for one in self._waiting if one not in needed][:-WAITING]:
                del self._waiting[spare]
            newest = seen is not None and seen is self._seen[-1] and seen.lacks_depth
        if newest:
            self._on_late(stamp)

    def locate(self, stamp: int, tracks: Sequence[Track], size: tuple[int, int]) -> Located:
        """The positions of the objects on the newest image, of ``stamp`` and ``size`` (height, width)."""
        self.expect(stamp)
        self.source.pull()
        if not self._comes:
            return Located()
        labels = seen_labels(tracks, size)
        seen = _Seen(stamp, labels, time.monotonic(), bool(labels.any()))
        if self._positions.begin(stamp):
            self.restart()
        with self._lock:
            self._append(seen)
            come = [(one, self._waiting.pop(one.stamp)) for one in self._seen if one.stamp in self._waiting]
            self._give_up()
        self._positions.velocity = self._settings.velocity
        if self._read[0] == stamp and stamp:
            self._measure(seen, self._read[1])
        for one, read in come:
            try:
                depth = metres(read(), self._settings)
            except Sam2RosError as error:
                self._on_refused(str(error))
                one.labels = None
                continue
            if one is seen:
                self._read = stamp, depth
            self._measure(one, depth)
        positions = self._positions.at(stamp, tracks)
        if self._read[0] != stamp or not stamp:
            if self.waits:
                self.source.listen()
            return Located(positions)
        return Located(positions, self._read[1], self.camera)

    def _append(self, seen: _Seen) -> None:
        """Have an image wait for its depth; it replaces itself after a prompt."""
        last = self._seen[-1] if self._seen else None
        if last is not None and last.stamp == seen.stamp:
            seen.at = self._seen.pop().at
        elif last is not None and not last.lacks_depth:
            last.labels = None
        self._seen.append(seen)

    def _give_up(self) -> None:
        """Do not wait for the depth of too many images."""
        while len(self._seen) > SEEN:
            oldest = self._seen.popleft()
            if oldest.lacks_depth:
                self._given_up.append(oldest.stamp)

    def _measure(self, seen: _Seen, depth: np.ndarray) -> None:
        labels, seen.labels = seen.labels, None
        camera = self.camera
        if camera is None:
            self._on_refused(self._why_no_camera)
            return
        try:
            if labels is not None:
                self._positions.measure(seen.stamp, labels, depth, camera)
        except Sam2RosError as error:
            self._on_refused(str(error))
