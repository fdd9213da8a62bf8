"""A model whose methods are graphs that another runtime than PyTorch runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sam2_ros.errors import InvalidInput
from sam2_ros.model.interface import Candidates, Found, ImageFeatures, Memories, PromptInputs
from sam2_ros.model.sizes import Size

#: Runs the graph of that name: its inputs to its outputs, both in their order.
Run = Callable[[str, Sequence[Tensor]], list[Tensor]]


class GraphModel:
    """The graphs of ``graphs`` as a Model on a CPU; no weights of PyTorch are needed."""

    def __init__(self, size: Size, checksum: str, no_memory: Tensor, run: Run) -> None:
        """checksum: of the weights.  no_memory: (C,), added to the image where an object remembers nothing."""
        self.size = size
        self.device = torch.device("cpu")
        self.precision = torch.float32
        self._checksum = checksum
        self._no_memory = no_memory[:, None, None]
        self._run_graph = run

    def checksum(self) -> str:
        """Of the weights from which the graphs were made."""
        return self._checksum

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What the trunk sees on one image; see ``Model.encode_image``."""
        side = self.size.image_size
        if images.shape != (1, 3, side, side):
            raise InvalidInput(f"this model takes one {side}x{side} image at a time, got {tuple(images.shape)}")
        return ImageFeatures(*self._run("encoder", images))

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it; see ``Model.attend``."""
        if memories is None:
            return features.stride16 + self._no_memory
        found = memories.tokens, memories.time_code, memories.pointers, memories.pointer_distance
        return self._run("attention", features.stride16, *found)[0]

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """Candidate masks; see ``Model.decode``."""
        sharp = features.stride8, features.stride4
        if prompt is None and multimask:
            return Candidates(*self._run("tracking_decoder", view, *sharp))
        given = self._prompt(view, prompt or PromptInputs())
        rows = given[0].shape[0]
        *four, single, single_iou = self._run("prompt_decoder", view.expand(rows, -1, -1, -1), *sharp, *given)
        logits, iou, score, pointer = four
        if multimask:
            return Candidates(logits[:, 1:], iou[:, 1:], score, pointer[:, 1:])
        if stability_fallback:
            return Candidates(single, single_iou, score, pointer[:, :1])
        return Candidates(logits[:, :1], iou[:, :1], score, pointer[:, :1])

    def _prompt(self, view: Tensor, prompt: PromptInputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A prompt as the graph takes it: without a mask there is an empty one."""
        (points, labels), previous = prompt.clicked(view), prompt.mask_logits
        rows, side = points.shape[0], 4 * self.size.grid
        has_previous = torch.full((rows,), previous is not None)
        former = torch.zeros(rows, 1, side, side) if previous is None else previous.expand(rows, -1, -1, -1)
        return points, labels, former, has_previous

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """A mask prompt is the answer itself; see ``Model.decode_mask``."""
        shown = features.stride16, features.stride8, features.stride4
        logits, score, pointer = self._run("mask_prompt", *shown, masks)
        return Found(logits, torch.ones_like(score), score, pointer)

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """The tokens to remember; see ``Model.encode_memory``."""
        hard = torch.full(object_score.shape, binarize)
        return self._run("memory_encoder", features.stride16, mask_logits, object_score, hard)[0]

    def _run(self, name: str, *inputs: Tensor) -> list[Tensor]:
        return self._run_graph(name, inputs)
