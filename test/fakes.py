"""A model that takes microseconds and can be reasoned about: it follows colours.

It is a ``sam2_ros.model.interface.Model``.  The object pointer is the colour under the
prompt, "memory attention" is the mean of the pointers, and a pixel belongs to the object when
its colour is near.  An object whose colour is nowhere in the image is occluded.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sam2_ros.model.interface import Candidates, Found, ImageFeatures, Memories, PromptInputs
from sam2_ros.model.sizes import TEST
from sam2_ros.stream.session import Session
from sam2_ros.types import Frame

SIDE = 64  # of the model's input
GRID = SIDE // 4  # of its masks
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


class ColourModel(nn.Module):
    """Follows colours; counts how often each method was called and how many objects it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.size = dataclasses.replace(TEST, name="colours", image_size=SIDE)
        self.device_probe = nn.Parameter(torch.zeros(1))
        self.calls: list[tuple[str, int]] = []
        self.prompts: list[PromptInputs] = []
        self.memories: list[Memories] = []

    @property
    def device(self) -> torch.device:
        return self.device_probe.device

    @property
    def precision(self) -> torch.dtype:
        return self.device_probe.dtype

    def checksum(self) -> str:
        return "colours have no weights"

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        self.calls.append(("encode_image", len(images)))
        picture = functional.adaptive_avg_pool2d(images, GRID)  # (1, 3, a, a)
        blank = images.new_zeros(1, 4, SIDE // 16, SIDE // 16)
        return ImageFeatures(stride16=blank, stride8=blank, stride4=picture)

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        self.calls.append(("attend", 1 if memories is None else len(memories.tokens)))
        if memories is None:
            return features.stride16
        self.memories.append(memories)
        colour = memories.pointers.mean(dim=1)  # (N, 4)
        return colour[:, :, None, None].expand(-1, -1, *features.stride16.shape[-2:])

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        self.calls.append(("decode", len(view)))
        colour = view[:, :3, 0, 0]
        if prompt is not None:
            self.prompts.append(prompt)
            colour = self._colour_under(prompt, features) if (prompt.labels != 0).any() else colour
        found = self._found(features, colour)
        copies = 3 if multimask else 1
        return Candidates(
            logits=found.logits.expand(-1, copies, -1, -1),
            iou=found.iou[:, None].expand(-1, copies),
            object_score=found.object_score,
            pointer=found.pointer[:, None].expand(-1, copies, -1),
        )

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        self.calls.append(("decode_mask", len(masks)))
        inside = functional.adaptive_avg_pool2d(masks, GRID)
        colour = (features.stride4 * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp(min=1)
        score = torch.where(masks.flatten(1).any(dim=1), 10.0, -10.0)
        return Found(
            logits=inside * 20 - 10,
            iou=torch.ones(len(masks)),
            object_score=score,
            pointer=functional.pad(colour, (0, 1)),
        )

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        self.calls.append(("encode_memory", len(mask_logits)))
        share = (mask_logits > 0).float().mean(dim=(1, 2, 3))
        return share[:, None, None].expand(-1, (SIDE // 16) ** 2, 4).clone()

    def _colour_under(self, prompt: PromptInputs, features: ImageFeatures) -> Tensor:
        if (prompt.labels[0] == 2).any():  # the middle of the box
            x, y = prompt.points[0, prompt.labels[0] >= 2].mean(dim=0)
        else:
            x, y = prompt.points[0, prompt.labels[0] == 1][-1]
        return features.stride4[:, :, int(y * GRID / SIDE), int(x * GRID / SIDE)]

    def _found(self, features: ImageFeatures, colour: Tensor) -> Found:
        distance = (features.stride4 - colour[:, :, None, None]).norm(dim=1, keepdim=True)  # (N, 1, a, a)
        visible = distance.flatten(1).min(dim=1).values < 1
        logits = torch.where(visible[:, None, None, None], 10 - 20 * distance, -1024.0)
        return Found(
            logits=logits,
            iou=torch.full((len(colour),), 0.9),
            object_score=torch.where(visible, 8.0, -8.0),
            pointer=functional.pad(colour, (0, 1)),
        )


def picture(squares: dict[tuple[int, int, int], tuple[int, int]], size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A black (H, W, 3) image with one 16 x 16 square per colour; its top-left corner at the given (x, y)."""
    image = np.zeros((*size, 3), np.uint8)
    for colour, (x, y) in squares.items():
        image[y : y + 16, x : x + 16] = colour
    return image


def frame(stamp: int, squares: dict[tuple[int, int, int], tuple[int, int]], size: tuple[int, int] = (64, 64)) -> Frame:
    return Frame(picture(squares, size), stamp)


class DirectSession(Session):
    """A session whose clicks and detections are done at once, without a worker."""

    def click(self, x, y, stamp):
        (applied,) = filter(None, super().click(x, y, stamp))
        return applied

    def detections(self, detections, stamp):
        return [applied for applied in super().detections(detections, stamp) if applied]
