"""Write a video file that people can look at."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from sam2_ros.errors import RecordingError


class VideoWriter:
    """Writes (H, W, 3) RGB images into an MP4 file; a context manager.

    The first image decides the size; later ones of another size are scaled to it.
    Raises RecordingError when the file cannot be written.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        """rate: images per second."""
        self.path = Path(path)
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: np.ndarray) -> None:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # MPEG-4 refuses odd sides.
            self._size = tuple(max(side - side % 2, 2) for side in image.shape[1::-1])
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), self._rate, self._size)
            if not self._writer.isOpened():
                raise RecordingError(f"cannot write the video {self.path}; is the folder writable and the disk not full?")
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
