"""A second stream of a GPU: its work is computed beside the work of the present stream.

Memory from torch belongs to the stream on which it was allocated, and is used there again as soon as no tensor refers
to it.  So a tensor that another stream reads must be recorded for that stream.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from sam2_ros.model.interface import ImageFeatures


class SideStream:
    """The second stream of a GPU, which all trackers of this process share."""

    def __init__(self, device: torch.device) -> None:
        """The second stream waits for all earlier work of the present one, such as copies of weights."""
        self._device = device
        self._stream = _stream_of(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))

    def begin(self, encode: Callable[[], ImageFeatures]) -> Coming:
        """Begin to encode an image, without waiting for it."""
        # Autocast keeps weights that it has converted; those of one stream may not be ready on the other.
        without_cache = torch.autocast(self._device.type, enabled=False, cache_enabled=False)
        with torch.cuda.stream(self._stream), without_cache:
            features = encode()
        return Coming(features, self._stream.record_event(), self._device)


class Coming:
    """The features of an image that the second stream encodes."""

    def __init__(self, features: ImageFeatures, event: torch.cuda.Event, device: torch.device) -> None:
        self._features, self._event, self._device = features, event, device

    def features(self) -> ImageFeatures:
        """For use on the present stream, which waits for them; the processor does not wait."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(self._event)
        for value in (self._features.stride16, self._features.stride8, self._features.stride4):
            value.record_stream(stream)
        return self._features


def side_stream(device: torch.device) -> SideStream | None:
    """The second stream of a GPU; None on a processor, whose cores are busy with one image already."""
    return SideStream(device) if device.type == "cuda" else None


@functools.cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream
