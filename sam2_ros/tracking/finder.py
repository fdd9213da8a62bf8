"""Finds objects on a frame and updates their memories."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sam2_ros.errors import OutOfMemory
from sam2_ros.model import pixels
from sam2_ros.model.device_memory import fits, with_room
from sam2_ros.model.interface import Candidates, ImageFeatures, Model
from sam2_ros.model.transfer import Download
from sam2_ros.stages import stage
from sam2_ros.tracking import step
from sam2_ros.tracking.ahead import Ahead
from sam2_ros.tracking.batches import Batches
from sam2_ros.tracking.memory import Past, Sighting
from sam2_ros.tracking.remembered import Estimate, Interaction, RememberedFrame, Target
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.types import Frame, Prompt


class Finder:
    """Encodes frames, finds objects on them by memory or prompt, and remembers what it found."""

    def __init__(self, model: Model, settings: TrackerSettings) -> None:
        self.settings = settings
        self._model = model
        self._device = model.device
        self.batches = Batches()
        self.ahead = Ahead(self._encoded, model.device)

    def see(self, frame: Frame, index: int) -> RememberedFrame:
        """A frame with its image encoded."""
        self.batches.next_image()
        with stage("encode"):
            features = self.ahead.take(frame)
            if features is None:
                features = with_room(lambda: self._encoded(frame), "another image", self.ahead.give_way)
            return RememberedFrame(index, frame.stamp, frame.size, features)

    def _encoded(self, frame: Frame) -> ImageFeatures:
        return self._model.encode_image(pixels.normalise(frame.image, self._model.size.image_size, self._device))

    def find(self, targets: Sequence[Target], frame: RememberedFrame) -> None:
        """Find objects on a frame by their memories.  If an object was prompted on this frame, keep that answer.

        All are found together, or in batches.  If there is no memory for a batch, the batches become half as large.
        Raises OutOfMemory if there is none for a single object, after all others were found.
        """
        waiting = self.batches.of(targets)
        lacking: dict[str, OutOfMemory] = {}
        while waiting:
            batch, *waiting = waiting
            work = partial(self._find_together, batch, frame)
            if len(batch) == 1:
                try:
                    with_room(work, f"following {batch[0].name}", self.ahead.give_way)
                except OutOfMemory as error:
                    lacking[batch[0].name] = error
            elif not fits(work):
                self.ahead.give_way()
                self.batches.shrink(len(batch))
                waiting = self.batches.of([*batch, *itertools.chain.from_iterable(waiting)])
        if lacking:
            raise _of_all(lacking)

    def _find_together(self, targets: Sequence[Target], frame: RememberedFrame) -> None:
        """The same for some of the objects.

        Those with equally long memories look together, and all are answered together.
        """
        groups: dict[tuple[int, int], list[tuple[Target, Past[Tensor, Tensor]]]] = {}
        for target in targets:
            estimate = target.estimates.get(frame.index)
            if estimate is not None and estimate.prompted:
                self._note(target, frame, estimate)  # only the state may have changed
            elif target.bank.has_past(frame.index):
                past = target.bank.past(frame.index, frame.seconds)
                groups.setdefault(past.lengths, []).append((target, past))
        if not groups:
            return
        with stage("attend"):
            seen = [step.look(self._model, frame.features, [past for _, past in group]) for group in groups.values()]
        with stage("decode"):
            candidates = step.answer(self._model, torch.cat(seen) if len(seen) > 1 else seen[0], frame.features, None)
        with stage("remember"):
            self._keep([target for group in groups.values() for target, _ in group], frame, candidates, prompted=False)

    def answer(self, target: Target, frame: RememberedFrame, prompt: Prompt) -> None:
        """Decode a frame with all prompts that the object has had there, and keep it as a prompted frame.

        Raises OutOfMemory.
        """
        work = partial(self._answer, target, frame, prompt)
        with_room(work, f"the prompt of {target.name}", self.ahead.give_way)

    def _answer(self, target: Target, frame: RememberedFrame, prompt: Prompt) -> None:
        interaction = self._interaction(target, frame).gather(prompt)
        previous = target.estimates.get(frame.index)
        logits = previous.logits if previous and prompt.box is None else None
        if prompt.mask is not None:
            mask = pixels.masks_to_model(prompt.mask, self._model.size.image_size).to(self._device)
            candidates = step.answer_mask(self._model, frame.features, mask)
            logits = candidates.logits
        if len(interaction.points):
            candidates = self._decode(interaction, frame, logits)
        self._keep([target], frame, candidates, prompted=True)
        target.interactions[frame.index] = interaction

    def _interaction(self, target: Target, frame: RememberedFrame) -> Interaction:
        """The clicks so far on this frame; the first one fixes how the memory sees the frame."""
        if frame.index in target.interactions:
            return target.interactions[frame.index]
        pasts = []  # the first frame of an object is seen without memory
        if target.bank.has_past(frame.index):
            pasts.append(target.bank.past(frame.index, frame.seconds))
        view = step.look(self._model, frame.features, pasts)
        return Interaction(view, np.empty((0, 2), np.float32), np.empty(0, np.int32))

    def _decode(self, interaction: Interaction, frame: RememberedFrame, previous: Tensor | None) -> Candidates:
        """Decode the gathered clicks, on top of the ``previous`` logits (1, 1, a, a) if there are any."""
        points = pixels.to_model(interaction.points, frame.size, self._model.size.image_size)
        prompt = step.prompt_inputs(
            torch.from_numpy(points[None]).to(self._device),
            torch.from_numpy(interaction.labels[None]).to(self._device),
            previous,
        )
        fallback = self.settings.stability_fallback
        return step.answer(self._model, interaction.view, frame.features, prompt, stability_fallback=fallback)

    def _keep(
        self, targets: Sequence[Target], frame: RememberedFrame, candidates: Candidates, *, prompted: bool
    ) -> None:
        """Write what was found of the objects on a frame into their memories and estimates.

        Memories are made from the logits as they are, but on a prompted frame from the mask
        that the operator was shown: with its holes filled.
        """
        chosen = candidates.chosen()
        found = candidates.pick(chosen)
        facts = Download(torch.column_stack((found.object_score, chosen, candidates.iou)))
        filled = replace(found, logits=pixels.fill_holes(found.logits.float(), self.settings.hole_area))
        tokens = step.remember(
            self._model,
            frame.features,
            filled if prompted else found,
            prompted=prompted,
            binarize_prompted=self.settings.binarize_prompted_masks,
        )
        # A GPU has got all of its work for these objects: begin with the next image before waiting for the results.
        self.ahead.begin()
        for row, (target, (score, place, *ious)) in enumerate(zip(targets, facts.values().tolist())):
            sighting = Sighting(
                frame.index, prompted, frame.seconds, score, tuple(ious), int(place), candidates.logits[row]
            )
            target.bank.keep(sighting, tokens[row : row + 1], found.pointer[row : row + 1])
            iou, logits = ious[sighting.chosen], filled.logits[row : row + 1]
            self._note(target, frame, Estimate(logits, iou, score, found.pointer[row], prompted))

    def _note(self, target: Target, frame: RememberedFrame, estimate: Estimate) -> None:
        """Keep an estimate, with the published state that follows from it and from the frame before."""
        before, settings = target.visibility_before(frame.index), self.settings
        visibility = before.after(
            estimate.score, settings.visible_margin, settings.lost_after_frames, prompted=estimate.prompted
        )
        target.estimates[frame.index] = replace(estimate, before=before, visibility=visibility)


def _of_all(lacking: dict[str, OutOfMemory]) -> OutOfMemory:
    """One error for all objects that could not be followed; lacking: the error of each, by its name."""
    (_, first), *others = lacking.items()
    if not others:
        return first
    return OutOfMemory(f"{first}; also not followed: {', '.join(name for name, _ in others)}", first.reason)
