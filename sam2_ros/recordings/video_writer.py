"""Writes video files."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.files import make_folder, plain_name, shown

#: H.264, which every player shows, and MPEG-4 Part 2, which every OpenCV writes but no browser shows.
#: Not VP9: OpenCV offers no fast setting, and its encoder takes as much time as the tracker.
H264, MPEG4 = "avc1", "mp4v"
#: Side and number of the images for the test of a codec.
TRIED_SIDE, TRIED_IMAGES = 128, 5


class VideoWriter:
    """Writes (H, W, 3) RGB images into an MP4 file; a context manager.

    The first image decides the size; later ones of another size are scaled to it.  In H.264 where
    this machine's OpenCV can, else in MPEG-4 Part 2.
    Raises RecordingError if the file cannot be written, at the latest on closing.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        """rate: images per second."""
        self.path = Path(path)
        self.codec = ""
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0

    def write(self, image: np.ndarray) -> None:
        """Add an (H, W, 3) RGB image; it gets the size of the first one, with even sides."""
        if self._writer is None:
            # Both codecs refuse odd sides.
            self._size = tuple(max(side - side % 2, 2) for side in image.shape[1::-1])
            self._writer = self._opened()
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._written += 1

    def _opened(self) -> cv2.VideoWriter:
        make_folder(self.path.parent)
        for self.codec in (H264, MPEG4) if writes_h264() else (MPEG4,):
            with plain_name(self.path) as name:
                writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*self.codec), self._rate, self._size)
            if writer.isOpened():
                return writer
        raise self._failure()

    def close(self) -> None:
        """End the file and check that it is complete: OpenCV does not report a full disk."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.release()
        with plain_name(self.path) as name, _no_errors_printed():
            found = _length(name)
        if found < max(self._written - 1, 1):  # some backends count by the duration
            raise self._failure()

    def _failure(self) -> RecordingError:
        return RecordingError(
            f"cannot write the video {shown(self.path)}; is the folder writable and the disk not full?"
        )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except RecordingError:
            if kind is None:  # otherwise the first error is the one to report
                raise


@functools.cache
def writes_h264() -> bool:
    """Whether OpenCV can write H.264 here, tested with a small video."""
    try:
        with tempfile.TemporaryDirectory(prefix="sam2_ros-") as folder, _no_errors_printed():
            name = os.path.join(folder, "try.mp4")
            writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*H264), 10.0, (TRIED_SIDE, TRIED_SIDE))
            for shade in range(TRIED_IMAGES):
                writer.write(np.full((TRIED_SIDE, TRIED_SIDE, 3), 40 * shade, np.uint8))
            writer.release()
            return _length(name) == TRIED_IMAGES
    except OSError:  # no folder for temporary files
        return False


def _length(name: str) -> int:
    """The number of images by the header of a video; 0 if it cannot be opened."""
    capture = cv2.VideoCapture(name)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count


@contextmanager
def _no_errors_printed() -> Iterator[None]:
    """Suppress what FFmpeg writes to the standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # a service without a standard error
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
