"""A picture that moves, small enough for the first page of a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import MissingDependency
from sam2_ros.files import write_whole

#: Pixels of width, and quality of WebP (1 to 100): some ten kilobytes per image.
WIDTH, QUALITY = 480, 75
#: How long the last image stays before the picture starts again, in milliseconds.
PAUSE = 1500


def write_moving_picture(path: Path, images: Sequence[np.ndarray], seconds: Sequence[float]) -> None:
    """Write (H, W, 3) RGB images as an animated WebP that repeats for ever.

    seconds: when each image was taken.  See ``refuse_old_opencv``.
    """
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(_narrow(image), cv2.COLOR_RGB2BGR) for image in images]
    animation.durations = [*(round(1000 * gap) for gap in np.diff(seconds)), PAUSE]
    _, encoded = cv2.imencodeanimation(path.suffix, animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    write_whole(path, encoded.tobytes())


def refuse_old_opencv() -> None:
    """MissingDependency where this OpenCV cannot write animations; better before the demo than after it."""
    if not hasattr(cv2, "imencodeanimation"):
        raise MissingDependency(f"OpenCV {cv2.__version__} cannot write moving pictures; install a newer one")


def _narrow(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) to the same picture, WIDTH pixels wide."""
    height = round(WIDTH * image.shape[0] / image.shape[1])
    return cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
