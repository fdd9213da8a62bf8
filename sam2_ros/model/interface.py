"""The methods of a model that tracker and training call, and the types that they return.

``sam2.SAM2`` is such a model; another family, another runtime for the same network, and the fake of the tests are
others.  A model remembers nothing: the caller decides which frames an object may look at.

Shapes: N objects, B images (1, or one per object), S the image side, h = w = S / 16, C the width of a
pointer, T tokens of m numbers in one memory, K answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sam2_ros.errors import InvalidInput
from sam2_ros.model.sizes import Size

#: Time codes: six recent frames (0 = the frame before) and the prompted frames (6), whatever their age.
TIME_CODES = 7
#: Mask logit wherever the object is not visible.
ABSENT_LOGIT = -1024.0
#: Logits of a previous answer enter as a prompt within these bounds.
PROMPT_LOGIT_BOUND = 32.0


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the trunk saw on B images; shared by all objects and prompts.

    stride16: (B, C, h, w), from the neck.  stride8: (B, C/4, 2h, 2w) and stride4:
    (B, C/8, 4h, 4w), narrowed for the mask decoder.
    """

    stride16: Tensor
    stride8: Tensor
    stride4: Tensor

    def rows(self, index: Tensor) -> ImageFeatures:
        """The features of image index[i] for object i: index (N,) int64.  For batches of several videos."""
        return ImageFeatures(self.stride16[index], self.stride8[index], self.stride4[index])


@dataclass(frozen=True, slots=True)
class Memories:
    """What N objects with equally long memories remember, as tokens with their positions.

    A token has a position in its image, which is the same in every memory of a model and known to it,
    and one in time, which is given here.

    tokens: (N, M, T, m), M memories from encode_memory.
    time_code: (N, M) int64; 0 = the frame before, 5 = six frames before, 6 = a prompted frame.
    pointers: (N, P, C), from decode; they have no position in the image.
    pointer_distance: (N, P) float32, this frame's index minus the pointer's, in frames.
    """

    tokens: Tensor
    time_code: Tensor
    pointers: Tensor
    pointer_distance: Tensor


@dataclass(frozen=True, slots=True)
class PromptInputs:
    """Prompts for N objects, in pixels of the S x S input, the centre of the first pixel at (0, 0).

    points: (N, K, 2) float32, box corners first, then clicks; or None.
    labels: (N, K) int32; 1 positive, 0 negative, 2 top-left, 3 bottom-right, -1 padding.
    mask_logits: (N, 1, 4h, 4w), the previous answer on this frame, clamped to -32..32; or None.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask_logits: Tensor | None = None

    def clicked(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Points and labels; without any, a point of label -1 for each object stands for none.

        view: (N or 1, C, h, w), what the objects are looked for in; it counts them where the prompt does not.
        """
        if self.points is not None and self.labels is not None:
            return self.points, self.labels
        rows = (view if self.mask_logits is None else self.mask_logits).shape[0]
        points = torch.zeros(rows, 1, 2, dtype=torch.float32, device=view.device)
        return points, torch.full((rows, 1), -1, dtype=torch.int32, device=view.device)


@dataclass(frozen=True, slots=True)
class Found:
    """One answer for each of N objects; float32.

    logits: (N, 1, 4h, 4w), ABSENT_LOGIT everywhere where the object is not visible.
    iou: (N,), predicted.  object_score: (N,), a logit; visible where positive.  pointer: (N, C).
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor

    def as_candidates(self) -> Candidates:
        """The same as the only candidate of each object."""
        return Candidates(self.logits, self.iou[:, None], self.object_score, self.pointer[:, None])


@dataclass(frozen=True, slots=True)
class Candidates:
    """K answers for each of N objects: logits (N, K, 4h, 4w), iou (N, K), object_score (N,), pointer (N, K, C)."""

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor

    def chosen(self) -> Tensor:
        """For each object the place of the answer with the highest predicted IoU: (N,) int64."""
        return self.iou.argmax(1)

    def pick(self, places: Tensor) -> Found:
        """For each object the answer at its place: places (N,) int64."""
        rows = torch.arange(len(self.iou), device=self.iou.device)
        return Found(
            self.logits[rows, places][:, None], self.iou[rows, places], self.object_score, self.pointer[rows, places]
        )

    def best(self) -> Found:
        """For each object the answer with the highest predicted IoU."""
        return self.pick(self.chosen())


class Model(Protocol):
    """Five methods on tensors, and what a caller must know to use them.  None switches gradients.

    What they compute in is the caller's choice, too: ``precision.InPrecision``.
    """

    @property
    def size(self) -> Size:
        """Its name, the side of its images, its widths."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its methods take and return tensors."""
        ...

    @property
    def precision(self) -> torch.dtype:
        """The type of its weights, and of the tensors that its methods take; what it computes in may be less."""
        ...

    def checksum(self) -> str:
        """Tells its weights from others: memories that were made with others mean nothing to it."""
        ...

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Look at images (B, 3, S, S), RGB, as pixels.normalise makes them: once per frame.

        Raises InvalidInput for another side than the model's.
        """
        ...

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it, given its memories: (N, C, h, w).

        None: nothing is remembered yet (an object's first prompted frame); (B, C, h, w).
        """
        ...

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """Masks of N objects: K = 3 answers if ``multimask`` (an ambiguous prompt, or none), else 1.

        view: (N or 1, C, h, w), from attend.  prompt None: track, nobody said anything here.
        stability_fallback: in eval mode, replace a doubtful single mask by one of the other three.  Published models
        replace a mask that would change much with its threshold, by the best one; sizes that obey clicks replace a
        mask that misses a click, by one that does not.
        """
        ...

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """A mask prompt is the answer itself: masks (N, 1, S, S), 0 or 1; only the pointer is decoded.

        The object is visible when its mask has a pixel; the score is then 10, else -10.
        """
        ...

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """What to remember of this frame: (N, T, m), the tokens of Memories.

        mask_logits: (N, 1, 4h, 4w); object_score: (N,).  binarize: the mask is what a person
        saw and accepted, so its edge is hard.
        """
        ...


class WrappedModel:
    """A model around another one: whatever a subclass does not compute in its own way is what the inner one answers."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def size(self) -> Size:
        """See ``Model``."""
        return self.model.size

    @property
    def device(self) -> torch.device:
        """See ``Model``."""
        return self.model.device

    @property
    def precision(self) -> torch.dtype:
        """Of the weights, and of the tensors that go in and out; it may compute in another one."""
        return self.model.precision

    def checksum(self) -> str:
        """See ``Model``."""
        return self.model.checksum()

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See ``Model``."""
        return self.model.encode_image(images)

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """See ``Model``."""
        return self.model.attend(features, memories)

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """See ``Model``."""
        return self.model.decode(view, features, prompt, multimask=multimask, stability_fallback=stability_fallback)

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """See ``Model``."""
        return self.model.decode_mask(features, masks)

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """See ``Model``."""
        return self.model.encode_memory(features, mask_logits, object_score, binarize=binarize)


def innermost(model: Model) -> Model:
    """The model without those that are wrapped around it."""
    while isinstance(model, WrappedModel):
        model = model.model
    return model


#: Every name that Model declares.
DECLARED = (
    "size",
    "device",
    "precision",
    "checksum",
    "encode_image",
    "attend",
    "decode",
    "decode_mask",
    "encode_memory",
)


def refuse_no_model(model: object) -> None:
    """Raise InvalidInput unless ``model`` has all that Model declares, as what torch.compile makes of one has."""
    if isinstance(model, type) or not all(hasattr(model, name) for name in DECLARED):
        wrapped = "; give its .module" if hasattr(model, "module") else ""
        raise InvalidInput(
            "the model must be one that sam2_ros.model.checkpoint.load returns, as in "
            f"Tracker(load('embedded')); got {type(model).__name__}{wrapped}"
        )
