"""Video files as recordings, decoded by OpenCV one image at a time; damaged parts are skipped.

SA-V train   VIDEO.mp4 with VIDEO_manual.json or VIDEO_auto.json beside it
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.files import plain_name
from sam2_ros.ranges import Range
from sam2_ros.recordings.annotations import Annotations, MaskletFile
from sam2_ros.recordings.pictures import as_rgb
from sam2_ros.recordings.recording import DEFAULT_RATE, Event, Recording, stamp_of
from sam2_ros.recordings.video_headers import Container, container_of
from sam2_ros.types import Frame

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
#: Files whose header has the exact number of images.
_COUNTED = {".mp4", ".m4v", ".mov"}
#: MPEG program streams: of one rate, and without any number of images.  Damaged images leave a gap in the times.
_STREAMED = {".mpg", ".mpeg"}
#: What is a gap, in images: one with a repeated field is shown for one and a half; where another recording begins,
#: the time may jump far.
_GAP = range(2, 300)
#: After this many failures in a row, decoding continues behind the damage, or ends.
_MOST_FAILURES = 1000
#: To seek an image, OpenCV starts to decode this many images before it.
_SEEK_BACK = 16
#: Where to try behind a damage, in images from the first one that can be sought: in small steps first.
_SEEK_AHEAD = (0, 1, 2, 4, *range(8, 512, 8))
#: The pixel format of FFmpeg for grey images of 16 bits, little-endian.
_GREY_16 = int.from_bytes(b"Y1\x00\x10", "little")
_IMAGE_TOPIC, _TRUTH_TOPIC = "image", "truth"


@dataclass
class Video(Recording):
    """A video file.

    rate: 0 = that of the file.  annotations: the JSON file of SA-V beside it, or None.
    """

    rate: float = 0.0
    annotations: Path | None = None

    def __post_init__(self) -> None:
        beside = [self.path.with_name(f"{self.path.stem}_{kind}.json") for kind in ("manual", "auto")]
        self.annotations = self.annotations or next((path for path in beside if path.is_file()), None)
        capture = _opened(self.path)
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        self.rate = self.rate or (rate if 0 < rate < 1000 else DEFAULT_RATE)
        self.frames = int(count) if 0 < count < 2**31 else None

    @property
    def has_truth(self) -> bool:
        return self.annotations is not None

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        masks = MaskletFile(self.annotations) if self.annotations else Annotations()
        times = image_times(self.path) if self.annotations else []
        # Otherwise damage ended the list, or OpenCV is too old: 4.5 gives the time 0 to every image.
        listed = len(times) == self.frames and any(times)
        decoder, grey = _Decoder(self.path, self.frames, self.rate), Range(self.image_range)
        previous, period, number = 0, stamp_of(0, self.rate), -1
        for elapsed, image in decoder.images():
            # The time in the file, for videos of changing rate; not every backend knows it.
            stamp = max(previous + 1, period + round(elapsed * 1e6)) if elapsed > 0 else previous + period
            yield Event(stamp, _IMAGE_TOPIC, Frame(as_rgb(image, grey), stamp))
            # The number of this image in the file, including images that could not be decoded.
            place = bisect_left(times, elapsed - 0.5) if listed else round(elapsed * self.rate / 1e3)
            number = max(number + 1, place)
            truth = masks.truth(number, stamp, image.shape[:2])
            if truth is not None:
                yield Event(stamp, _TRUTH_TOPIC, truth)
            previous = stamp
        if not decoder.count:
            raise RecordingError(f"no image of {self.path} can be decoded")
        self.lost += [*decoder.lost(), *masks.all_lost()]
        self.reduced = grey.reduced


class _Decoder:
    """Decodes the images of a file, and counts failures.

    count: images so far.
    """

    def __init__(self, path: Path, announced: int | None, rate: float) -> None:
        self.count = 0
        self._path, self._announced, self._rate = path, announced, rate
        self._newest = 0.0  # milliseconds
        self._left_out = 0  # images that are missing by the times of those around them, where the rate is constant
        self._failures, self._sought = 0, False  # failed images; whether a damage was skipped

    def images(self) -> Iterator[tuple[float, np.ndarray]]:
        """Milliseconds from the start, 0 if unknown, and the image: (H, W, 3) BGR or (H, W) of 16 bits."""
        capture = _opened(self._path)
        try:
            yield from self._following(capture)
            while self._goes_on(capture):
                yield from self._following(capture)
        finally:
            capture.release()

    def _following(self, capture: cv2.VideoCapture) -> Iterator[tuple[float, np.ndarray]]:
        """Images up to the end, or up to too many failures in a row."""
        failures = 0
        while failures <= _MOST_FAILURES:
            found, image = capture.read()
            if not found:
                failures += 1
                continue
            self._failures += failures
            failures = 0
            elapsed = capture.get(cv2.CAP_PROP_POS_MSEC)
            if 0 < elapsed <= self._newest:  # already decoded before the damage
                continue
            gap = int((elapsed - self._newest) * self._rate / 1e3 + 0.25)
            self._left_out += gap - 1 if self.count and gap in _GAP else 0
            self._newest = max(self._newest, elapsed)
            self.count += 1
            yield elapsed, image

    def _goes_on(self, capture: cv2.VideoCapture) -> bool:
        """Seek the next images that can be decoded; False if there are none before the end."""
        first = round(self._newest * self._rate / 1e3) + _SEEK_BACK + 2
        for place in (first + ahead for ahead in _SEEK_AHEAD):
            if place >= (self._announced or 0):
                break
            capture.set(cv2.CAP_PROP_POS_FRAMES, place)
            if capture.read()[0] and capture.get(cv2.CAP_PROP_POS_MSEC) > self._newest:
                capture.set(cv2.CAP_PROP_POS_FRAMES, place)
                self._sought = True
                return True
        return False

    def lost(self) -> list[str]:
        """Sentences on images that could not be decoded; call it after the last image."""
        announced = self._announced or 0
        if not self._failures and self.count >= announced and self._path.suffix.lower() not in _STREAMED:
            return []
        container = container_of(self._path)
        if container.missing:
            missing = f"the file is cut off, {container.missing} bytes are missing"
            return [f"{missing}: of about {announced} images {self.count} could be decoded"]
        expected = self._expected(container)
        if expected <= self.count:
            return []
        return [f"{expected - self.count} of about {expected} images could not be decoded; the file is damaged"]

    def _expected(self, container: Container) -> int:
        """How many images the file should have.  The number in its header may be an estimate."""
        announced, suffix = self._announced or 0, self._path.suffix.lower()
        if suffix in _COUNTED and container.seconds:  # less what an edit list leaves out
            return min(announced, int(container.seconds * self._rate + 0.05))
        if suffix in _STREAMED:
            return self.count + self._left_out
        stored = max(len(image_times(self._path)), self.count + self._failures)
        damaged = container.broken or self._sought or stored > self.count
        return max(stored, announced) if damaged and (suffix == ".avi" or container.broken) else stored


def image_times(path: Path) -> list[float]:
    """The time of each image of a video file in milliseconds, in order, without decoding; empty if unknown."""
    capture = _opened(path)
    try:
        if not capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets as they are stored
            return []
        times = []
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        return sorted(time for time in times if time >= 0)
    finally:
        capture.release()


def _opened(path: Path) -> cv2.VideoCapture:
    with plain_name(path) as name:
        capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        raise RecordingError(f"{path} cannot be opened as a video; is it damaged or of an unknown codec?")
    if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == _GREY_16:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # otherwise OpenCV keeps the upper eight bits only
    return capture
