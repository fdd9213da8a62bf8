"""The tracker's step and memory rule, unrolled over a batch of clips with gradients.

All clips of a batch are prompted alike, so that all objects have equally long memories and
go through the model together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model import pixels
from sam2_ros.model.interface import ABSENT_LOGIT, Candidates, Found, ImageFeatures, PromptInputs
from sam2_ros.model.precision import computed_in
from sam2_ros.model.sam2 import SAM2
from sam2_ros.tracking import step
from sam2_ros.tracking.memory import MemoryBank, Sighting
from sam2_ros.training.clips import Clip
from sam2_ros.training.prompts import box_prompt, click_in

#: What a spoiled memory holds: the object elsewhere, another object of the clip, or nothing.
SPOILED = ("elsewhere", "other", "absent")
#: The object score of a memory that holds nothing.
ABSENT_SCORE = -10.0


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """B clips with N objects between them.

    images: (T, B, 3, S, S) uint8 RGB.  masks: (T, N, S, S) bool.  video: (N,) int64, the clip of each object.
    """

    images: Tensor
    masks: Tensor
    video: Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """The same on ``device``."""
        return ClipBatch(*(part.to(device, non_blocking=True) for part in (self.images, self.masks, self.video)))

    def normalised(self, start: int, end: int) -> Tensor:
        """Frames ``start`` to ``end``, (T, B, 3, S, S) float32, as encode_image wants them."""
        return pixels.scaled(self.images[start:end].float())


def collate(clips: list[Clip]) -> ClipBatch:
    """Put clips of equal length and size into one batch."""
    images = np.stack([clip.frames for clip in clips], axis=1).transpose(0, 1, 4, 2, 3)
    masks = np.concatenate([clip.masks for clip in clips], axis=1)
    video = [number for number, clip in enumerate(clips) for _ in range(clip.masks.shape[1])]
    return ClipBatch(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(masks), torch.tensor(video))


@dataclass(frozen=True, slots=True)
class Prompting:
    """How the clips of one batch are prompted.

    first: mask, click or box, on frame 0.  corrected: frames that get correction clicks.
    clicks: how many each.  from_truth: clicks fall on the object instead of the error.
    exact: clicks meet the middle of the object or error and boxes fit, else at random (paper, appendix D.2.2).
    age: number of frames taken to lie between frame 0 and the next, so that prompts get older than clips are long.
    spoiled: frames that half of the objects remember wrongly.  wrong: how, one of SPOILED.
    lead: number of first frames that are tracked without gradients and teach nothing; what is wrong in
    memory after them are the model's own mistakes.
    """

    first: str
    corrected: tuple[int, ...] = ()
    clicks: int = 0
    from_truth: bool = False
    exact: bool = False
    age: int = 0
    spoiled: tuple[int, ...] = ()
    wrong: str = "absent"
    lead: int = 0

    def after(self, lead: int) -> Prompting:
        """The same for a clip with ``lead`` more frames at its beginning; clicks on these are not refined."""
        if not lead:
            return self
        corrected = tuple(number + lead for number in self.corrected if number)
        return replace(self, corrected=corrected, spoiled=tuple(number + lead for number in self.spoiled), lead=lead)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said about frame ``frame``, to be compared with the truth; corrections come one by one.

    prompt: what it was asked with; None where it tracked.
    before: the logits (N, 1, a, a) that a click was to correct; None where nothing was corrected.
    """

    frame: int
    candidates: Candidates
    prompt: PromptInputs | None = None
    before: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Unrolled:
    """answers: everything to be taught.  found: the final answer on each frame after the lead.

    loudness: by how much the mean square of image features and memories exceeds 1, a scalar.
    Positions and prompts are added to these at a fixed strength, and are lost in loud ones.
    """

    answers: list[Answer]
    found: list[Found]
    loudness: Tensor


class Unroller:
    """One pass of one batch."""

    def __init__(self, model: SAM2, batch: ClipBatch, prompting: Prompting, generator: torch.Generator) -> None:
        self.batch, self.prompting, self.generator = batch, prompting, generator
        #: As a tracker computes it on this device.
        self.model = computed_in(model, "auto")
        self._no_pointer = model.no_obj_ptr
        self.bank: MemoryBank[Tensor, Tensor] = MemoryBank()
        self.answers: list[Answer] = []

    def run(self) -> Unrolled:
        """Through all frames, in order."""
        frames, lead = len(self.batch.images), self.prompting.lead
        with torch.no_grad():
            self._through(0, lead)
        self.answers.clear()
        found, loudness = self._through(lead, frames)
        return Unrolled(self.answers, found, torch.stack(loudness).mean())

    def _through(self, start: int, end: int) -> tuple[list[Found], list[Tensor]]:
        """The final answer on each of the frames ``start`` to ``end``, and how loud image and memories are."""
        if start == end:
            return [], []
        images = self.batch.normalised(start, end)
        frames, videos = self.batch.images.shape[:2]
        whole = self.model.encode_image(images.flatten(0, 1))
        found: list[Found] = []
        loudness = [_excess(whole.stride16)]
        for number in range(start, end):
            features = whole.rows((number - start) * videos + self.batch.video)
            prompted = number == 0 or number in self.prompting.corrected
            found.append(self._first(features) if number == 0 else self._next(features, number))
            if number + 1 < frames:
                kept = self._spoilt(found[-1]) if number in self.prompting.spoiled and not prompted else found[-1]
                memory = step.remember(self.model, features, kept, prompted=prompted)
                sighting = Sighting(self._index(number), prompted)  # scores differ between the objects of one bank
                self.bank.keep(sighting, memory, kept.pointer)
                if prompted:
                    self.bank.forget_stale(sighting.index, corrected=True)
                loudness.append(_excess(memory))
        return found, loudness

    def _index(self, number: int) -> int:
        """The order of arrival of a frame in the bank."""
        return number + self.prompting.age if number else 0

    def _spoilt(self, found: Found) -> Found:
        """What is remembered of a spoiled frame: as found, but for half of the objects wrong.

        Clips are short, so the model's own mistakes seldom fill its memory, as they do in the long run;
        from these it learns to go by the prompt.
        """
        wrong = self._wrong(found)
        spoilt = (torch.rand(len(self.batch.video), generator=self.generator) < 0.5).to(found.logits.device)
        return Found(
            torch.where(spoilt[:, None, None, None], wrong.logits, found.logits),
            found.iou,
            torch.where(spoilt, wrong.object_score, found.object_score),
            torch.where(spoilt[:, None], wrong.pointer.to(found.pointer.dtype), found.pointer),
        )

    def _wrong(self, found: Found) -> Found:
        """All objects remembered wrongly, in the way that the prompting says."""
        if self.prompting.wrong == "absent":
            return replace(
                found,
                logits=torch.full_like(found.logits, ABSENT_LOGIT),
                object_score=torch.full_like(found.object_score, ABSENT_SCORE),
                pointer=self._no_pointer.expand_as(found.pointer),
            )
        if self.prompting.wrong == "elsewhere":
            side = found.logits.shape[-1]
            shift = torch.randint(side // 4, 3 * side // 4, (2,), generator=self.generator).tolist()
            return replace(found, logits=found.logits.detach().roll(shift, dims=(2, 3)))
        video, own = self.batch.video, torch.arange(len(self.batch.video), device=self.batch.video.device)
        other = own
        for neighbour in (own.roll(1), own.roll(-1)):  # an object alone in its clip has none
            other = torch.where((other == own) & (video[neighbour] == video), neighbour, other)
        return Found(*(part[other].detach() for part in (found.logits, found.iou, found.object_score, found.pointer)))

    def _first(self, features: ImageFeatures) -> Found:
        truth = self.batch.masks[0]
        if self.prompting.first == "mask":
            return step.answer_mask(self.model, features, truth[:, None].float()).best()
        view = step.look(self.model, features, [])
        if self.prompting.first == "box":
            points, labels = box_prompt(truth, self.generator, noisy=not self.prompting.exact)
        else:
            points, labels = click_in(truth, None, self.generator, centre=self.prompting.exact)
        prompt = step.prompt_inputs(points, labels, None)
        found = self._decode(0, view, features, prompt)
        return self._corrected(0, view, features, found, prompt)

    def _next(self, features: ImageFeatures, number: int) -> Found:
        view = step.look(self.model, features, [self.bank.past(self._index(number))])
        found = self._decode(number, view, features, None)
        return self._corrected(number, view, features, found, None)

    def _decode(self, number: int, view: Tensor, features: ImageFeatures, prompt: PromptInputs | None) -> Found:
        """Ask the model about a frame, and keep the answer to be taught."""
        candidates = step.answer(self.model, view, features, prompt)
        self.answers.append(Answer(number, candidates, prompt, None if prompt is None else prompt.mask_logits))
        return candidates.best()

    def _corrected(
        self, number: int, view: Tensor, features: ImageFeatures, found: Found, prompt: PromptInputs | None
    ) -> Found:
        """What is found after the clicks that a frame is corrected with, if any."""
        if number not in self.prompting.corrected:
            return found
        truth = self.batch.masks[number]
        for _ in range(self.prompting.clicks):
            logits = found.logits.detach()
            seen = None
            if not self.prompting.from_truth:
                seen = F.interpolate(logits, size=truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
            points, labels = click_in(truth, seen, self.generator, centre=self.prompting.exact and seen is not None)
            if prompt is not None and prompt.points is not None and prompt.labels is not None:
                points, labels = torch.cat((prompt.points, points), 1), torch.cat((prompt.labels, labels), 1)
            prompt = step.prompt_inputs(points, labels, logits)
            found = self._decode(number, view, features, prompt)
        return found


def _excess(maps: Tensor) -> Tensor:
    """By how much the mean square exceeds 1, a scalar."""
    return (maps.float().pow(2).mean() - 1).clamp(min=0)
