"""Our tracker and the other implementations of a size: the same frames, prompts and weights for each."""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parts import official, transformers_video
from parts.stopwatch import STAGES
from sam2_ros.engines.choice import engine_of, with_engine
from sam2_ros.errors import InvalidInput
from sam2_ros.model import pixels
from sam2_ros.model.interface import Model
from sam2_ros.model.repvit import folded
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import BASE_PLUS, EDGETAM, LARGE, PERCEIVER, SIZES, SMALL, TINY, Size
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Mask, Prompt

#: Height and width of the camera's images.
IMAGE = (480, 640)
#: Eight (480, 640, 3) images, shown in turn.
PICTURES = np.random.default_rng(0).integers(0, 256, (8, *IMAGE, 3), np.uint8)
#: The other implementations, and the sizes that they have.
PEERS = ("official", "transformers")
PUBLISHED = {size.name for size in (TINY, SMALL, BASE_PLUS, LARGE, EDGETAM)}
#: Tracks the frame of a number; returns the masks of the objects.
Step = Callable[[int], Sequence[Any]]
Weights = Mapping[str, Tensor]


def size_named(given: str) -> Size:
    """A size by its name, which may end in a side of the image: tiny, tiny_512."""
    name, _, side = given.rpartition("_")
    if given not in SIZES and not (name in SIZES and side.isdecimal()):
        raise argparse.ArgumentTypeError(f"{given!r} is none of {', '.join(SIZES)}, alone or with a side: tiny_512")
    try:
        return SIZES[given] if given in SIZES else SIZES[name].at(int(side))
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def boxes(count: int) -> list[tuple[float, float, float, float]]:
    """Boxes in the image; the ninth and later ones lie a little to the right of the first ones."""
    places = [(60 * (n % 8) + 30 * (n // 8), n % 8) for n in range(count)]
    return [(20.0 + x, 40.0 + 40 * n, 160.0 + x, 200.0 + 30 * n) for x, n in places]


def weights_of(size: Size) -> tuple[Weights, Weights]:
    """Random weights in the names of our model, and in those of the official one."""
    if size.memory == PERCEIVER:
        from edgetam_weights import edgetam_weights

        published = edgetam_weights(object_score=4.0)
        return folded(published), published
    drawn = SAM2(size).state_dict()
    drawn["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(4.0)  # objects are seen
    return drawn, drawn


class Contender(ABC):
    """One implementation in one arithmetic.

    name: in the table.  watched: the object whose methods are the stages; methods: their names, by stage.
    """

    def __init__(self, name: str, watched: Any, methods: Mapping[str, str]) -> None:
        self.name, self.watched, self.methods = name, watched, methods

    @abstractmethod
    def begin(self, objects: int, frames: int) -> Step:
        """A new stream of this many frames; objects: how many are boxed on its first frame."""


class Ours(Contender):
    """Our tracker in one engine and precision."""

    def __init__(self, model: Model, engine: str, precision: str) -> None:
        super().__init__(" ".join(("sam2_ros", *(() if engine == "torch" else (engine,)), precision)), model, STAGES)
        self.model, self.engine, self.precision = model, engine, precision

    def begin(self, objects: int, frames: int) -> Step:
        tracker = Tracker(self.model, TrackerSettings(precision=self.precision))

        def step(number: int) -> list[Mask]:
            tracks = tracker.track(Frame(PICTURES[number % len(PICTURES)], number + 1))
            masks = [track.mask for track in tracks]
            if number == 0:
                for n, box in enumerate(boxes(objects)):
                    tracker.prompt(Prompt(f"object {n}", box=box))
            return masks

        return step


class Peer(Contender):
    """The official video predictor, or the model of transformers, in one precision."""

    def __init__(self, kind: str, size: Size, weights: Weights, device: torch.device, precision: str) -> None:
        build, methods = {
            "official": (official.official_predictor, official.METHODS),
            "transformers": (transformers_video.transformers_model, transformers_video.METHODS),
        }[kind]
        model = build(size, weights).to(device)
        super().__init__(f"{kind} {precision}", model, methods)
        self._kind, self._size, self._device, self._precision = kind, size, device, precision

    def begin(self, objects: int, frames: int) -> Step:
        side = self._size.image_size
        images = torch.cat([pixels.normalise(image, side, self._device) for image in PICTURES])
        images = images.repeat(-(-frames // len(images)), 1, 1, 1)
        kinds: dict[str, type[official.OfficialStream] | type[transformers_video.TransformersStream]]
        kinds = {"official": official.OfficialStream, "transformers": transformers_video.TransformersStream}
        stream = kinds[self._kind](self._size, self.watched, images, IMAGE, boxes(objects))

        dtype = getattr(torch, self._precision)

        def step(number: int) -> list[Tensor]:
            pixels.normalise(PICTURES[number % len(PICTURES)], side, self._device)  # a stream has to do this
            with torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32):
                return stream.track(number)

        return step


def contenders(
    size: Size, device: torch.device, engines: Sequence[str], precisions: Sequence[str], peers: Sequence[str]
) -> list[Contender]:
    """Ours in every engine and precision, then the peers that have a model of this size, in every precision."""
    own, published = weights_of(size)
    ours = [_ours(size, own, device, engine, precision) for engine, precision in product(engines, precisions)]
    known = peers if size.name in PUBLISHED else ()
    theirs = [Peer(kind, size, published, device, precision) for kind, precision in product(known, precisions)]
    return [*filter(None, ours), *theirs]


def _ours(size: Size, weights: Weights, device: torch.device, engine: str, precision: str) -> Ours | None:
    """Ours; None where an engine gives way to PyTorch, or to another precision: that row would be another one."""
    model = SAM2(size)
    model.load_state_dict(weights, strict=True)
    found = with_engine(model.to(device).eval(), engine, precision)
    words = engine_of(found)
    if (engine == "torch") != words.startswith("PyTorch") or not words.endswith(precision):
        print(f"{engine} does not compute {size.name} in {precision} here", file=sys.stderr)
        return None
    return Ours(found, engine, precision)
