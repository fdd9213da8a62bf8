"""Where are these objects on this frame?  What is found goes into their memories and into the remembered frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sam2_ros.model import pixels
from sam2_ros.model.interface import Candidates, Model
from sam2_ros.tracking import step
from sam2_ros.tracking.memory import Past, Sighting
from sam2_ros.tracking.remembered import Answer, Followed, Interaction, Moment
from sam2_ros.tracking.ring import Ring
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.visibility import Visibility
from sam2_ros.types import Frame, Prompt


class Finder:
    """Takes the model's steps for a tracker, on the frames of its ``ring``."""

    def __init__(self, model: Model, ring: Ring[Moment], settings: TrackerSettings) -> None:
        self.settings = settings
        self._model = model
        self._ring = ring
        self._device = model.device

    def see(self, frame: Frame, index: int) -> Moment:
        """A frame with its image encoded."""
        image = pixels.normalise(frame.image, self._model.size.image_size, self._device)
        return Moment(index, frame.stamp, frame.size, self._model.encode_image(image))

    def find(self, objects: Sequence[Followed], moment: Moment) -> None:
        """Find ``objects`` on ``moment``; where they were prompted on it the answer to that stays.

        So it is before a prompt for an older frame, and when the frames come again after ``rewind``.
        """
        for followed in objects:
            if moment.index in followed.given:  # only the state may have changed
                self._note(followed, moment, followed.given[moment.index], prompted=True)
        self._follow([followed for followed in objects if moment.index not in followed.given], moment)

    def _follow(self, objects: Iterable[Followed], moment: Moment) -> None:
        """Find ``objects`` on ``moment`` by their memories alone.

        Objects with equally long memories look together, and all are answered together.
        """
        groups: dict[tuple[int, int], list[tuple[Followed, Past[Tensor, Tensor]]]] = {}
        for followed in (one for one in objects if one.bank.has_past(moment.index)):
            past = followed.bank.past(moment.index, moment.seconds)
            groups.setdefault(past.lengths, []).append((followed, past))
        if not groups:
            return
        seen = [step.look(self._model, moment.features, [past for _, past in group]) for group in groups.values()]
        found = step.answer(self._model, torch.cat(seen) if len(seen) > 1 else seen[0], moment.features, None)
        self._keep([followed for group in groups.values() for followed, _ in group], moment, found, prompted=False)

    def _keep(self, objects: list[Followed], moment: Moment, candidates: Candidates, *, prompted: bool) -> None:
        """Write what was found of ``objects`` on ``moment`` into their memories and the ring.

        Memories are made from the logits as they are, but on a prompted frame from the mask
        that the operator was shown: with its holes filled.
        """
        found = candidates.best()
        filled = replace(found, logits=pixels.fill_holes(found.logits.float(), self.settings.hole_area))
        tokens = step.remember(
            self._model,
            moment.features,
            filled if prompted else found,
            prompted=prompted,
            binarize_prompted=self.settings.binarize_prompted_masks,
        )
        facts = zip(objects, found.object_score.tolist(), candidates.iou.tolist(), candidates.chosen().tolist())
        for row, (followed, score, ious, chosen) in enumerate(facts):
            sighting = Sighting(
                moment.index, prompted, moment.seconds, score, tuple(ious), chosen, candidates.logits[row]
            )
            followed.bank.keep(sighting, tokens[row : row + 1], found.pointer[row : row + 1])
            answer = Answer(filled.logits[row : row + 1], ious[chosen], score, found.pointer[row])
            self._note(followed, moment, answer, prompted=prompted)

    def _note(self, followed: Followed, moment: Moment, answer: Answer, *, prompted: bool) -> None:
        """Keep an answer in the ring, with the state that follows from it and from the frame before."""
        before = self._visibility_before(followed, moment)
        then = before.prompted if prompted else before.after
        followed.visibility = then(answer.score, self.settings.visible_margin, self.settings.lost_after_frames)
        moment.answers[followed.id] = replace(answer, before=before, visibility=followed.visibility)

    def answer(self, followed: Followed, moment: Moment, prompt: Prompt) -> None:
        """Decode ``moment`` with all that was said about the object there, and keep it as a prompted frame."""
        interaction = self._interaction(followed, moment).gather(prompt)
        previous = moment.answers.get(followed.id)
        logits = previous.logits if previous and prompt.box is None else None
        if prompt.mask is not None:
            mask = pixels.masks_to_model(prompt.mask, self._model.size.image_size).to(self._device)
            found = self._model.decode_mask(moment.features, mask)
            candidates, logits = found.as_candidates(), found.logits
        if len(interaction.points):
            candidates = self._decode(interaction, moment, logits)
        self._keep([followed], moment, candidates, prompted=True)
        followed.given[moment.index] = moment.answers[followed.id]
        moment.interactions[followed.id] = interaction

    def _interaction(self, followed: Followed, moment: Moment) -> Interaction:
        """The clicks so far on this frame; the first one fixes how the memory sees the frame."""
        if followed.id in moment.interactions:
            return moment.interactions[followed.id]
        pasts = []  # the first frame of an object is seen without memory
        if followed.bank.has_past(moment.index):
            pasts.append(followed.bank.past(moment.index, moment.seconds))
        return Interaction(step.look(self._model, moment.features, pasts))

    def _decode(self, interaction: Interaction, moment: Moment, previous: Tensor | None) -> Candidates:
        """Decode the gathered clicks, on top of the ``previous`` logits (1, 1, a, a) if there are any."""
        points = pixels.to_model(interaction.points, moment.size, self._model.size.image_size)
        prompt = step.prompt_inputs(
            torch.from_numpy(points[None]).to(self._device),
            torch.from_numpy(interaction.labels[None]).to(self._device),
            previous,
        )
        fallback = self.settings.stability_fallback
        return step.answer(self._model, interaction.view, moment.features, prompt, stability_fallback=fallback)

    def _visibility_before(self, followed: Followed, moment: Moment) -> Visibility:
        """The published state on the frame before ``moment``."""
        earlier = self._ring.before(moment)
        if earlier is not None and followed.id in earlier.answers:
            return earlier.answers[followed.id].visibility
        if followed.id in moment.answers:  # prompted again on the oldest frame
            return moment.answers[followed.id].before
        if any(followed.id in one.answers for one in self._ring.after(moment)):
            return Visibility()  # on a frame before its first one: what came later says nothing about it
        return followed.visibility
