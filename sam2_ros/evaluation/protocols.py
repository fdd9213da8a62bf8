"""Simulated users: who prompts what, and when, in the protocols of the paper.

Each is a ``replay.User``: it looks at a frame with its truth, and prompts objects whose names are
their true ids in digits.  Prompts are those of ``simulated_user``, so a protocol can be repeated exactly.

    semi-supervised    a mask, a box or some clicks on the first frame of each object (section 6.2)
    online             one pass; where IoU falls below 0.75 three clicks, at most eight frames (appendix F)
    offline            several passes; each adds clicks on the worst frame of the pass before (appendix F)

In "offline" every pass repeats the prompts of the earlier passes on their images, so that a correction on a late
frame also helps the frames before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.choices import CLICKS, FIRST_PROMPTS, MOST_FRAMES
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.recordings.moments import Moment
from sam2_ros.recordings.recording import Recording, Truth
from sam2_ros.simulated_user import Click, box_around, first_click, next_click
from sam2_ros.stream.replay import NO_DEPTH, ReplaySettings, replay
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.types import Frame, Prompt, Track

#: An online user steps in below this IoU.
PAUSE_BELOW = 0.75


class HasTrack(Protocol):
    """The answer to a prompt: the object on the prompted image."""

    @property
    def track(self) -> Track: ...


Give = Callable[[Prompt], HasTrack]


@dataclass(frozen=True, slots=True, eq=False)
class TrueObject:
    """A true object on one image: its name, its (H, W) mask, and the pixels without truth, or None."""

    name: str
    mask: np.ndarray
    ignore: np.ndarray | None = None


def give_first(target: TrueObject, kind: str, give: Give) -> None:
    """Prompt a new object, whose mask is not empty, in one of the ways of ``FIRST_PROMPTS``."""
    if kind == "mask":
        give(Prompt(target.name, mask=target.mask))
    elif kind == "box":
        x0, y0, x1, y1 = box_around(target.mask)
        thin = 0.5 if x0 == x1 or y0 == y1 else 0.0  # a box needs an extent
        give(Prompt(target.name, box=(x0 - thin, y0 - thin, x1 + thin, y1 + thin)))
    else:
        click(target, None, int(kind.partition("-")[0]), give)


def click(target: TrueObject, found: np.ndarray | None, count: int, give: Give, fresh: bool = False) -> HasTrack | None:
    """Up to ``count`` clicks, each at the centre of the largest error that is left; returns the last answer.

    found: the mask so far; None for a new object, whose first click is its centre.  fresh: the first click
    replaces the object by a new one.  Pixels without truth are never clicked on.
    Returns None when there was nothing to correct.
    """
    result: HasTrack | None = None
    for number in range(count):
        known = found if found is None or target.ignore is None else found & ~target.ignore
        where: Click | None = first_click(target.mask) if known is None else next_click(target.mask, known)
        if where is None:
            break
        points, labels = where[0][None], np.array([where[1]])
        result = give(Prompt(target.name, points=points, labels=labels, replace=fresh and number == 0))
        found = result.track.mask
    return result


def _new_objects(truth: Truth, known: Collection[int]) -> list[TrueObject]:
    """The true objects on an image that nobody has prompted yet, in the order of their ids."""
    return [
        TrueObject(str(number), mask, truth.ignored(number))
        for number, mask in sorted(truth.masks.items())
        if number not in known and mask.any()
    ]


@dataclass
class FirstFrame:
    """Semi-supervised: prompts each object once, on the first image whose truth shows it."""

    kind: str = "mask"
    given: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.kind not in FIRST_PROMPTS:
            raise InvalidInput(f"the first prompt is one of {', '.join(FIRST_PROMPTS)}; got {self.kind!r}")

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        if moment.truth is None:
            return
        for target in _new_objects(moment.truth, self.given):
            self.given.add(int(target.name))
            give_first(target, self.kind, give)


@dataclass
class Online:
    """Interactive online: clicks where the object is new and where its mask has become bad.

    method: how a bad mask is corrected.
        "click"   corrective clicks for the tracker, which remembers the object
        "sam"     clicks for SAM on that image alone, whose mask then prompts the tracker: the
                  paper's baseline of SAM and a mask tracker that cannot be clicked
        "restart" clicks as for a new object, which replaces the old one
    clicks: on each image.  most_frames: images of an object that are clicked on.
    segmenter: a separate tracker for "sam".
    """

    method: str = "click"
    clicks: int = CLICKS
    most_frames: int = MOST_FRAMES
    segmenter: ObjectTracker | None = None
    frames: dict[int, list[int]] = field(default_factory=dict)  # by object: indices of the images clicked on

    def __post_init__(self) -> None:
        if self.method not in ("click", "sam", "restart"):
            raise InvalidInput(f"the method is click, sam or restart; got {self.method!r}")
        if self.method == "sam" and self.segmenter is None:
            raise InvalidInput("the method sam needs a segmenter: a separate Tracker")

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        if moment.truth is None:
            return
        found = {track.name: track.mask for track in tracks}
        for target in _new_objects(moment.truth, self.frames):
            self.frames[int(target.name)] = [moment.index]
            self._start(moment.frame, target, give)
        for number, indices in self.frames.items():
            truth = moment.truth.mask(number, moment.frame.size)
            if truth is None or indices[-1] == moment.index or len(indices) >= self.most_frames:
                continue
            target = TrueObject(str(number), truth, moment.truth.ignored(number))
            mask = found.get(target.name, np.zeros(truth.shape, bool))  # a baseline may fail to start an object
            if region_similarity(mask, truth, target.ignore) < PAUSE_BELOW:
                indices.append(moment.index)
                self._correct(moment.frame, target, mask, give)

    def _start(self, frame: Frame, target: TrueObject, give: Give) -> None:
        if self.method == "sam":
            self._by_sam(frame, target, give)
        else:
            click(target, None, self.clicks, give)

    def _correct(self, frame: Frame, target: TrueObject, found: np.ndarray, give: Give) -> None:
        if self.method == "click" or not target.mask.any():
            click(target, found, self.clicks, give)
        elif self.method == "restart":
            click(target, None, self.clicks, give, fresh=True)
        else:
            self._by_sam(frame, target, give)

    def _by_sam(self, frame: Frame, target: TrueObject, give: Give) -> None:
        """Prompt with the mask of the object after some clicks on this image alone, without any memory."""
        assert self.segmenter is not None  # checked at the start
        self.segmenter.reset()
        self.segmenter.track(frame)
        answer = click(TrueObject("object", target.mask, target.ignore), None, self.clicks, self.segmenter.prompt)
        if answer is not None and answer.track.mask.any():
            give(Prompt(target.name, mask=answer.track.mask))


@dataclass
class Offline:
    """Interactive offline, one pass: clicks on the frames of ``plan``, and notes how bad each frame was.

    plan: for each object the indices of the images to click on; an object without any is clicked
    on where it first appears.  given: the clicks so far by object and image, which every pass gives
    again.  Use ``revise`` between passes.
    """

    clicks: int = CLICKS
    plan: dict[int, list[int]] = field(default_factory=dict)
    given: dict[tuple[int, int], list[Prompt]] = field(default_factory=dict)
    iou: dict[int, dict[int, float]] = field(default_factory=dict)

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        if moment.truth is None:
            return
        found = {track.name: track.mask for track in tracks}
        for target in _new_objects(moment.truth, self.plan):
            self.plan[int(target.name)] = [moment.index]
        for number, indices in self.plan.items():
            truth = moment.truth.mask(number, moment.frame.size)
            if truth is None:
                continue
            ignore, before = moment.truth.ignored(number), found.get(str(number))
            if moment.index in indices:
                answer = self._click(moment.index, TrueObject(str(number), truth, ignore), before, give)
                before = answer.track.mask if answer else before
            if before is not None:
                self.iou.setdefault(number, {})[moment.index] = region_similarity(before, truth, ignore)

    def revise(self, recording: Recording, tracker: ObjectTracker) -> Offline:
        """Click on the worst frame of each object, and rewind: the user of the next pass over ``recording``."""
        plan = self._with_worst()
        last = max((max(indices) for number, indices in plan.items() if indices != self.plan[number]), default=-1)
        user = Offline(self.clicks, plan, self.given)
        tracker.rewind()
        if last >= 0:
            with closing(
                replay(recording, tracker, user, settings=ReplaySettings(depth=NO_DEPTH), recorded_prompts=False)
            ) as steps:
                next(step for step in steps if step.moment.index == last)
            tracker.rewind()
        return Offline(self.clicks, plan, self.given)

    def _click(self, index: int, target: TrueObject, found: np.ndarray | None, give: Give) -> HasTrack | None:
        """Give the clicks of an earlier pass on this image again, or new ones and note them."""
        place = int(target.name), index
        if place in self.given:
            answer = None
            for prompt in self.given[place]:
                answer = give(prompt)
            return answer
        noted = self.given[place] = []

        def give_and_note(prompt: Prompt) -> HasTrack:
            noted.append(prompt)
            return give(prompt)

        return click(target, found, self.clicks, give_and_note)

    def _with_worst(self) -> dict[int, list[int]]:
        """The plan, with the worst frame of each object among those that were not clicked on."""
        plan = {}
        for number, indices in self.plan.items():
            rest = {index: iou for index, iou in self.iou[number].items() if index not in indices}
            worst = min(rest, key=rest.__getitem__, default=None)
            plan[number] = indices if worst is None or rest[worst] >= 1 else sorted([*indices, worst])
        return plan


@dataclass(frozen=True, slots=True)
class ImageSegmentation:
    """Mean IoU of single images after each number of clicks; iou: (N, len(clicks)), N objects of ``images`` images."""

    clicks: tuple[int, ...]
    iou: np.ndarray
    images: int

    @property
    def mean(self) -> dict[int, float]:
        return dict(zip(self.clicks, self.iou.mean(axis=0).tolist())) if len(self.iou) else {}


def segment_images(
    moments: Iterable[Moment], segmenter: ObjectTracker, clicks: tuple[int, ...] = (1, 3, 5), every: int = 1
) -> ImageSegmentation:
    """Click on every object of each ``every``-th image with truth, each image by itself."""
    rows, images = [], 0
    for moment in moments:
        if moment.truth is None or moment.index % every:
            continue
        segmenter.reset()
        segmenter.track(moment.frame)
        images += 1
        rows += [_iou_by_clicks(target, segmenter, clicks) for target in _new_objects(moment.truth, ())]
    return ImageSegmentation(clicks, np.array(rows).reshape(-1, len(clicks)), images)


def _iou_by_clicks(target: TrueObject, segmenter: ObjectTracker, clicks: tuple[int, ...]) -> list[float]:
    found: np.ndarray | None = None
    scores = {}
    for count in range(1, max(clicks) + 1):
        answer = click(target, found, 1, segmenter.prompt)
        found = answer.track.mask if answer else found
        shown = np.zeros(target.mask.shape, bool) if found is None else found
        scores[count] = region_similarity(shown, target.mask, target.ignore)
    segmenter.forget(target.name)
    return [scores[count] for count in clicks]
