"""The official predictors of SAM 2 and EdgeTAM as a stream: one frame after the other, with the weights of our model.

They need what ``make test`` installs.  EdgeTAM's fails with two objects in one state, so there each object has a
state of its own, and what is seen on an image is shared by all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from sam2_ros.model.sizes import PERCEIVER, Size

Box = tuple[float, float, float, float]

#: The methods in which they spend their time, by the method of ours that does the same.
METHODS = {
    "encode": "forward_image",
    "attend": "_prepare_memory_conditioned_features",
    "decode": "_forward_sam_heads",
    "remember": "_encode_new_memory",
}


def official_predictor(size: Size, weights: Mapping[str, Tensor]) -> Any:
    """The official video predictor of that size, in eval mode."""
    if size.memory == PERCEIVER:
        from edgetam_oracle import official_edgetam

        predictor = official_edgetam(size.image_size, video=True)
        predictor.seen = {}
        predictor.forward_image = _once(predictor.forward_image, predictor.seen)
    else:
        from oracle import official_model

        predictor = official_model(size, video=True)
    predictor.load_state_dict(weights, strict=True)
    return predictor


def _once(look: Callable[[Tensor], dict[str, Any]], seen: dict[int, dict[str, Any]]) -> Callable[[Tensor], Any]:
    """Look at an image that is in ``seen`` no second time."""

    def looked(image: Tensor) -> dict[str, Any]:
        place = image.data_ptr()
        if place not in seen:
            seen[place] = look(image)
        return dict(seen[place])

    return looked


def _module(size: Size) -> ModuleType:
    if size.memory == PERCEIVER:
        from edgetam_oracle import predictor_module

        return predictor_module()
    import sam2.sam2_video_predictor as module

    found: ModuleType = module
    return found


class OfficialStream:
    """A video of ``images`` (frames, 3, S, S), as pixels.normalise makes them, and objects boxed on frame 0."""

    def __init__(
        self, size: Size, predictor: Any, images: Tensor, camera: tuple[int, int], boxes: Sequence[Box]
    ) -> None:
        """camera: height and width of the masks that come out."""
        module: Any = _module(size)
        module.load_video_frames = lambda **_: (images, *camera)
        module.tqdm = lambda steps, **_: steps
        self._size, self._predictor, self._boxes = size, predictor, boxes
        states = len(boxes) if size.memory == PERCEIVER else 1
        self._forget()  # an image of another video may have lain in the same place
        self._states = [predictor.init_state("frames") for _ in range(states)]

    @torch.inference_mode()
    def track(self, number: int) -> list[Tensor]:
        """The masks of all objects on frame ``number``."""
        self._forget()
        if number == 0:
            for n, box in enumerate(self._boxes):
                self._predictor.add_new_points_or_box(self._states[n % len(self._states)], 0, n, box=box)
        return [
            (logits > 0).cpu()
            for state in self._states
            for _, _, logits in self._predictor.propagate_in_video(state, number, 0)
        ]

    def _forget(self) -> None:
        if self._size.memory == PERCEIVER:
            self._predictor.seen.clear()
