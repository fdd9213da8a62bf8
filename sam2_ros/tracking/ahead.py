"""Encodes the next image while objects are followed on the present one, on a GPU only.

This changes no result: the image is encoded in the same way, only earlier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from sam2_ros.errors import first_sentence
from sam2_ros.model.device_memory import fits
from sam2_ros.model.interface import ImageFeatures
from sam2_ros.model.side_stream import Coming, SideStream, side_stream
from sam2_ros.types import Frame

logger = logging.getLogger(__name__)

#: After memory ran out, this many images are not encoded ahead.
PAUSE = 100


class Ahead:
    """Holds at most one image that is encoded before its turn, and the next one that is wanted."""

    def __init__(self, encode: Callable[[Frame], ImageFeatures], device: torch.device) -> None:
        self._encode = encode
        self._device = device
        #: The frame that comes next; None if it is not known.
        self.wanted: Frame | None = None
        self._begun: tuple[Frame, Coming] | None = None
        self._stream: SideStream | None = None
        self._off = False  # for good
        self._pause = 0  # images

    def begin(self) -> None:
        """Begin with the wanted image, if there is one; if that fails, it is encoded when it is its turn."""
        frame, self.wanted = self.wanted, None
        if frame is None or self._off or self._pause:
            return
        try:
            fitted = fits(lambda: self._begin(frame))
        except Exception as error:  # the present image must not fail for the next one
            self._off = True
            logger.warning(
                "the next image cannot be encoded ahead (%s); from now on each one is encoded when it is its turn",
                first_sentence(error),
            )
            return
        if not fitted:
            self.give_way()
            logger.warning("no memory to encode the next image ahead; %d images are encoded in their turn", PAUSE)

    def _begin(self, frame: Frame) -> None:
        self._begun = None  # first, so that only one is in memory
        self._stream = self._stream or side_stream(self._device)
        if self._stream is None:
            self._off = True
        else:
            self._begun = frame, self._stream.begin(lambda: self._encode(frame))

    def take(self, frame: Frame) -> ImageFeatures | None:
        """The features of a frame whose turn has come, if it was encoded ahead; those of another frame are dropped."""
        self._pause = max(self._pause - 1, 0)
        if self.wanted is frame:
            self.wanted = None
        begun, self._begun = self._begun, None
        return begun[1].features() if begun is not None and begun[0] is frame else None

    def give_way(self) -> None:
        """Memory ran out: drop what was encoded ahead, and pause."""
        self.drop()
        self._pause = PAUSE

    def drop(self) -> None:
        """Forget the next image."""
        self.wanted = self._begun = None
