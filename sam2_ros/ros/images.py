"""Camera messages for the worker: they are read on its thread, so that a dropped image costs nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from sam2_ros.messages import frame_from, frame_from_compressed, nanoseconds
from sam2_ros.ranges import Range
from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.parameters import Parameters
from sam2_ros.stream.mailbox import UnreadImage
from sam2_ros.types import Frame


class Images:
    """Reads the images of one camera, with the parameter image_range as it is when each is read."""

    def __init__(self, parameters: Parameters, bridge: Bridge = Bridge()) -> None:
        self._parameters = parameters
        self._bridge = bridge
        self._grey = Range(parameters.session.image_range)

    def arrived(self, message: Any, at: float) -> UnreadImage:
        """An Image or CompressedImage that has come at a time, in seconds of ``time.monotonic``."""
        return UnreadImage(partial(self.frame, message), nanoseconds(message.header.stamp), at)

    def frame(self, message: Any) -> Frame:
        """The message as a Frame.  Always on the same thread, since the range follows the images; InvalidImage."""
        rule = self._parameters.session.image_range
        if self._grey.rule != rule:
            self._grey = Range(rule)
        if hasattr(message, "format"):
            return frame_from_compressed(message, self._grey)
        return frame_from(message, self._grey, self._bridge.to_rgb)
