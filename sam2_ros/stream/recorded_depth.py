"""Depth in a bag finds its image by the rules of the node, and becomes positions in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidImage, RecordingError
from sam2_ros.geometry.depth import check_frame
from sam2_ros.geometry.locator import Located, Locator
from sam2_ros.geometry.pairing import Pairing
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.recordings.bags.bag import Bag
from sam2_ros.recordings.bags.depth_topics import depth_topics_of
from sam2_ros.recordings.moments import Moment, Sensed, Sensor
from sam2_ros.recordings.recording import CameraEvent, DepthEvent, Event, Recording
from sam2_ros.types import Frame, Track


class RecordedDepth(Sensor):
    """Depth that waits for its image, and images that wait for their depth, of one recording.

    An image waits until depth_timeout after it, by the times of the recording: what a replay answers depends neither on
    how fast this machine is nor on how fast the robot was.
    """

    def __init__(self, recording: Recording, settings: DepthSettings) -> None:
        self._settings = settings
        self._locator = Locator(settings, on_refused=self._refuse)
        self._refused: Counter[str] = Counter()
        self._pairing = Pairing(self._pair, round(settings.depth_tolerance * 1e9))
        self._arrivals: dict[int, int] = {}  # of images that wait, by stamp
        self._frame_id = ""
        self._paired: dict[int, np.ndarray] = {}
        self._info: Any = None
        self._unclear = ""
        self._count = self._used = 0
        self._topics: set[str] = set()
        if isinstance(recording, Bag) and settings.depth_transport != "off":
            self._look_into(recording)

    def take(self, event: Event) -> None:
        content = event.content
        if not self._topics:
            return
        if isinstance(content, Frame):
            self._arrivals[content.stamp], self._frame_id = event.time, content.frame_id
            self._pairing.image(content.stamp)
        elif event.topic not in self._topics:
            return
        elif isinstance(content, DepthEvent):
            self._take_depth(content, event.time)
        elif isinstance(content, CameraEvent):
            self._info = content.info

    def waits(self, stamp: int, now: int) -> bool:
        return stamp in self._arrivals and stamp not in self._paired and now <= self._latest(stamp)

    def give(self, stamp: int) -> Sensed:
        self._arrivals.pop(stamp, None)
        depth = self._paired.pop(stamp, None)
        self._used += depth is not None
        return Sensed(depth, self._info)

    def locate(self, moment: Moment, tracks: Sequence[Track]) -> Located:
        """Where the objects of a frame are, by its depth."""
        stamp, depth = moment.frame.stamp, moment.sensed.depth
        if moment.sensed.info is not None:
            self._locator.look_at(moment.sensed.info)
        if depth is not None:
            self._locator.put(stamp, lambda: depth)
        return self._locator.locate(stamp, tracks, moment.frame.size)

    def lost(self) -> list[str]:
        """Sentences on depth that could not be used; asked after the last image."""
        found = [self._unclear] if self._unclear else []
        found += [f"no positions on {count} images: {reason}" for reason, count in self._refused.items()]
        if self._count and not self._used and not self._refused:
            found.append(
                f"none of {self._count} depth images belongs to an image: their stamps differ by "
                f"{self._settings.depth_tolerance:g} s or more (setting depth_tolerance), or they came later than "
                f"{self._settings.depth_timeout:g} s after it (depth_timeout)"
            )
        return found

    def _refuse(self, reason: str) -> None:
        self._refused[reason] += 1

    def _look_into(self, bag: Bag) -> None:
        """Have the depth that belongs to the camera, and its camera_info, read with the images."""
        try:
            topics = depth_topics_of(bag, self._settings.depth_transport)
        except RecordingError as error:
            self._unclear = f"no positions: {error}"
            return
        if topics is not None:
            self._info = topics.info  # an image may come before the first one; the node had one from before
            self._topics = {topics.depth, topics.camera_info} - {""}
            bag.more_topics = {*bag.more_topics, *self._topics}

    def _take_depth(self, depth: DepthEvent, now: int) -> None:
        self._count += 1
        try:
            check_frame(depth.frame_id, self._frame_id)
        except InvalidImage as error:
            self._refuse(str(error))
            return
        if depth.stamp:
            self._pairing.depth(depth.stamp, (now, depth.depth))

    def _pair(self, stamp: int, found: tuple[int, np.ndarray]) -> None:
        now, depth = found
        if stamp in self._arrivals and now <= self._latest(stamp):
            self._paired[stamp] = depth

    def _latest(self, stamp: int) -> int:
        return self._arrivals[stamp] + round(self._settings.depth_timeout * 1e9)
