"""Converts 8-bit images with cv_bridge where it is installed and works; ``messages`` converts all others.

An installed cv_bridge may not work: one that was built for another NumPy crashes the process, and one for another
OpenCV knows no encoding.  So another process tries it on a small image of each encoding, and cv_bridge is used for
the encodings whose pixels are equal to those of ``messages``.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from sam2_ros.errors import first_sentence
from sam2_ros.messages import encoding_of, fill_image, frame_from
from sam2_ros.separate_process import run_separately

#: Bytes of a pixel in the encodings to try; cv_bridge cannot convert those that name no colours, such as 8UC3.
PIXEL = {
    "rgb8": 3,
    "bgr8": 3,
    "rgba8": 4,
    "bgra8": 4,
    "mono8": 1,
    "yuv422": 2,
    "yuv422_yuy2": 2,
    **{f"bayer_{pattern}8": 1 for pattern in ("rggb", "bggr", "gbrg", "grbg")},
}
#: The encodings of 8 bits in which images are published.
PUBLISHED = ("mono8", "rgb8")
#: Timeout of the trial in seconds; it imports NumPy, OpenCV and cv_bridge.
PATIENCE = 60.0
#: The program of the trial; its last line of output lists the encodings.
_TRIAL = "from sam2_ros.ros import bridge; print(*bridge.alike())"


class Bridge:
    """Converts images: those of 8 bits in the given encodings with cv_bridge, all others with ``messages``.

    Without encodings cv_bridge is not imported.
    """

    def __init__(self, encodings: Iterable[str] = ()) -> None:
        self._encodings = frozenset(encodings)
        if self._encodings:
            from cv_bridge import CvBridge

            self._bridge = CvBridge()

    def to_rgb(self, message: Any) -> np.ndarray | None:
        """An Image of checked size as (H, W, 3) RGB; None if ``messages`` has to convert it.

        That is so for other encodings, and for padded rows and big-endian pixels, which not every cv_bridge can read.
        """
        encoding = message.encoding
        if encoding not in self._encodings or message.is_bigendian or message.step != message.width * PIXEL[encoding]:
            return None
        try:
            return self._read(message)
        except Exception:  # for example an odd width: ``messages`` converts it, or reports the fault
            return None

    def _read(self, message: Any) -> np.ndarray:
        """An Image as (H, W, 3) RGB uint8."""
        # A conversion of rgb8 to rgb8 would cost a copy.
        return self._bridge.imgmsg_to_cv2(message, "passthrough" if message.encoding == "rgb8" else "rgb8")

    def fill(self, message: Image, image: np.ndarray) -> Image:
        """As ``messages.fill_image``: an image as a message with the header of ``message``."""
        encoding = encoding_of(image)
        if not self._encodings or encoding not in PUBLISHED:
            return fill_image(message, image)
        made: Image = self._bridge.cv2_to_imgmsg(image, encoding)
        made.header = message.header
        return made


def find(log: Callable[[str], Any]) -> Bridge:
    """A bridge with the installed cv_bridge, or without it if it does not work; ``log`` is called with the reason."""
    if importlib.util.find_spec("cv_bridge") is None:
        return Bridge()
    encodings, fault = _trial()
    if fault:
        log(f"cv_bridge is installed, but cannot be used ({fault}); images are converted without it")
        return Bridge()
    log(f"cv_bridge converts images ({', '.join(encodings)})")
    return Bridge(encodings)


def _trial() -> tuple[list[str], str]:
    """The result of ``alike`` in another process, and the fault of cv_bridge, empty if it works."""
    try:
        done = run_separately(_TRIAL, PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], first_sentence(error)
    if done.returncode < 0:
        return [], f"it ends the process: {signal.strsignal(-done.returncode)}"
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    return ([], lines[-1] if lines else "no reason") if done.returncode else (lines[-1].split(), "")


def alike() -> list[str]:
    """The encodings for which cv_bridge gives the same pixels as ``messages``.

    Raises an error of cv_bridge if there is none, and ValueError if its pixels or messages differ.
    """
    bridge, random = Bridge(PIXEL), np.random.default_rng(0)
    for shape in ((6, 8), (6, 8, 3)):
        image = random.integers(0, 255, shape, np.uint8)
        if bridge.fill(Image(), image) != fill_image(Image(), image):
            raise ValueError(f"it writes {encoding_of(image)} wrongly")
    found, fault = [], Exception()
    for encoding, size in PIXEL.items():
        message = Image(height=6, width=8, encoding=encoding, step=8 * size)
        message.data.frombytes(random.bytes(6 * message.step))
        try:
            if not np.array_equal(bridge._read(message), frame_from(message).image):
                raise ValueError(f"it reads {encoding} wrongly")
            found.append(encoding)
        except Exception as error:
            fault = error
    if not found:
        raise fault
    return found
