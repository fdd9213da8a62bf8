"""Simulated users: who prompts what, and when, in the protocols of the paper.

Each is a ``replay.User``: it looks at a frame with its truth and prompts objects by their true
ids in digits.  Prompts are those of ``simulated_user``, so a protocol can be repeated exactly.

    semi-supervised    a mask, a box or some clicks on the first frame of each object (section 6.2)
    online             one pass; where IoU falls below 0.75 three clicks, at most eight frames (appendix F)
    offline            several passes; each adds clicks on the worst frame of the pass before (appendix F)

In "offline" every pass begins with what was prompted in the passes before, at its place: a
correction on a late frame helps those before it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.choices import CLICKS, FIRST_PROMPTS, MOST_FRAMES
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.recordings.recording import Recording
from sam2_ros.simulated_user import Click, box_around, first_click, next_click
from sam2_ros.stream.replay import Moment, replay
from sam2_ros.tracking.interface import AnyTracker, Prompted
from sam2_ros.types import Prompt, Track

#: An online user steps in below this IoU.
PAUSE_BELOW = 0.75

Give = Callable[[Prompt], Prompted]


def give_first(name: str, mask: np.ndarray, kind: str, give: Give, ignore: np.ndarray | None = None) -> Prompted:
    """Prompt a new object by its true ``mask`` (H, W), not empty, in one of the ways of ``FIRST_PROMPTS``.

    ignore: as for ``click``.
    """
    if kind == "mask":
        return give(Prompt(name, mask=mask))
    if kind == "box":
        x0, y0, x1, y1 = box_around(mask)
        thin = 0.5 * (x0 == x1 or y0 == y1)  # a box needs an extent
        return give(Prompt(name, box=(x0 - thin, y0 - thin, x1 + thin, y1 + thin)))
    return click(name, mask, None, int(kind.partition("-")[0]), give, ignore=ignore)


def click(
    name: str,
    truth: np.ndarray,
    found: np.ndarray | None,
    count: int,
    give: Give,
    fresh: bool = False,
    ignore: np.ndarray | None = None,
) -> Prompted | None:
    """Up to ``count`` clicks, each at the centre of the largest error that the one before left.

    found: the mask so far; None for an object without one, whose first click is its centre.
    fresh: whether the first click starts the object anew.  ignore: (H, W) pixels of which nothing is known and
    which are never clicked on.  None when there was nothing to correct.
    """
    result = None
    for number in range(count):
        known = found if found is None or ignore is None else found & ~ignore
        where: Click | None = first_click(truth) if known is None else next_click(truth, known)
        if where is None:
            break
        result = give(Prompt(name, points=where[0][None], labels=np.array([where[1]]), replace=fresh and number == 0))
        found = result.track.mask
    return result


@dataclass
class FirstFrame:
    """Semi-supervised: prompts each object once, on the first image whose truth shows it."""

    kind: str = "mask"
    given: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.kind not in FIRST_PROMPTS:
            raise InvalidInput(f"the first prompt is one of {', '.join(FIRST_PROMPTS)}; got {self.kind!r}")

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        for number, mask in sorted(moment.truth.masks.items()) if moment.truth else ():
            if number not in self.given and mask.any():
                self.given.add(number)
                give_first(str(number), mask, self.kind, give, moment.truth.ignored(number))


@dataclass
class Online:
    """Interactive online: clicks where the object is new and where its mask has become bad.

    method: how a bad mask is corrected.
        "click"   corrective clicks for the tracker, which remembers the object
        "sam"     clicks for SAM on that image alone, whose mask then prompts the tracker: the
                  paper's baseline of a SAM and a mask tracker that does not know of clicks
        "restart" clicks as for a new object, in place of the old one
    clicks, most_frames, pause_below: see the constants of this module.
    segmenter: a tracker of its own for "sam".
    """

    method: str = "click"
    first: str = f"{CLICKS}-click"
    clicks: int = CLICKS
    most_frames: int = MOST_FRAMES
    pause_below: float = PAUSE_BELOW
    segmenter: AnyTracker | None = None
    frames: dict[int, list[int]] = field(default_factory=dict)  # by object: indices of the images clicked on

    def __post_init__(self) -> None:
        if self.method not in ("click", "sam", "restart"):
            raise InvalidInput(f"the method is click, sam or restart; got {self.method!r}")
        if self.method == "sam" and self.segmenter is None:
            raise InvalidInput("the method sam needs a segmenter: a Tracker of its own")

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        found = {track.name: track.mask for track in tracks}
        for number, mask in sorted(moment.truth.masks.items()) if moment.truth else ():
            if number not in self.frames and mask.any():
                self.frames[number] = [moment.index]
                self._start(str(number), mask, moment, give)
        for number, indices in self.frames.items():
            truth = moment.truth.mask(number, moment.frame.size) if moment.truth else None
            if truth is None or indices[-1] == moment.index or len(indices) >= self.most_frames:
                continue
            mask = found.get(str(number), np.zeros(truth.shape, bool))  # a baseline may fail to start an object
            if region_similarity(mask, truth, moment.truth.ignored(number)) < self.pause_below:
                indices.append(moment.index)
                self._correct(str(number), truth, mask, moment, give)

    def _start(self, name: str, truth: np.ndarray, moment: Moment, give: Give) -> None:
        if self.method == "sam" and self.first.endswith("click"):
            self._by_sam(name, truth, moment, give, int(self.first.partition("-")[0]))
        else:
            give_first(name, truth, self.first, give, moment.truth.ignored(int(name)))

    def _correct(self, name: str, truth: np.ndarray, found: np.ndarray, moment: Moment, give: Give) -> None:
        ignore = moment.truth.ignored(int(name))
        if self.method == "click" or not truth.any():
            click(name, truth, found, self.clicks, give, ignore=ignore)
        elif self.method == "restart":
            click(name, truth, None, self.clicks, give, fresh=True, ignore=ignore)
        else:
            self._by_sam(name, truth, moment, give, self.clicks)

    def _by_sam(self, name: str, truth: np.ndarray, moment: Moment, give: Give, clicks: int) -> None:
        mask = segment(self.segmenter, moment, truth, moment.truth.ignored(int(name)), clicks)
        if mask.any():
            give(Prompt(name, mask=mask))


def segment(
    segmenter: AnyTracker, moment: Moment, truth: np.ndarray, ignore: np.ndarray | None, clicks: int
) -> np.ndarray:
    """The (H, W) mask of ``truth``'s object after some clicks on one image, without any memory."""
    segmenter.reset()
    segmenter.track(moment.frame)
    return click("object", truth, None, clicks, segmenter.prompt, ignore=ignore).track.mask


@dataclass
class Offline:
    """Interactive offline, one pass: clicks on the frames of ``plan``, and notes on how bad each frame was.

    plan: for each object the indices of the images to click on; an object without one is
    clicked on where it first appears.  given: the clicks so far by object and image; they are
    given again in every pass.  Use ``revise`` between passes.
    """

    clicks: int = CLICKS
    plan: dict[int, list[int]] = field(default_factory=dict)
    given: dict[tuple[int, int], list[Prompt]] = field(default_factory=dict)
    iou: dict[int, dict[int, float]] = field(default_factory=dict)

    def __call__(self, moment: Moment, tracks: list[Track], give: Give) -> None:
        found = {track.name: track.mask for track in tracks}
        for number, mask in sorted(moment.truth.masks.items()) if moment.truth else ():
            if number not in self.plan and mask.any():
                self.plan[number] = [moment.index]
        for number, indices in self.plan.items():
            truth = moment.truth.mask(number, moment.frame.size) if moment.truth else None
            mask = found.get(str(number))
            if truth is None or (mask is None and moment.index not in indices):
                continue
            if moment.index in indices:
                prompted = self._click(number, moment, truth, mask, give)
                mask = prompted.track.mask if prompted else mask
            self.iou.setdefault(number, {})[moment.index] = region_similarity(mask, truth, moment.truth.ignored(number))

    def revise(self, recording: Recording, tracker: AnyTracker) -> Offline:
        """Click on the worst frame of each object, and rewind: the user of the next pass over ``recording``."""
        plan = self._with_worst()
        last = max((max(indices) for number, indices in plan.items() if indices != self.plan[number]), default=-1)
        user = Offline(self.clicks, plan, self.given)
        tracker.rewind()
        if last >= 0:
            with closing(replay(recording, tracker, user, recorded_prompts=False)) as steps:
                next(step for step in steps if step.moment.index == last)
            tracker.rewind()
        return Offline(self.clicks, plan, self.given)

    def _click(
        self, number: int, moment: Moment, truth: np.ndarray, found: np.ndarray | None, give: Give
    ) -> Prompted | None:
        """Give the clicks of an earlier pass on this image again, or new ones and note them."""
        if (number, moment.index) in self.given:
            prompted = None
            for prompt in self.given[number, moment.index]:
                prompted = give(prompt)
            return prompted
        noted = self.given[number, moment.index] = []

        def give_and_note(prompt: Prompt) -> Prompted:
            noted.append(prompt)
            return give(prompt)

        return click(str(number), truth, found, self.clicks, give_and_note, ignore=moment.truth.ignored(number))

    def _with_worst(self) -> dict[int, list[int]]:
        """The plan, with the worst frame of each object among those that were not clicked on."""
        plan = {}
        for number, indices in self.plan.items():
            rest = {index: iou for index, iou in self.iou[number].items() if index not in indices}
            worst = min(rest, key=rest.get, default=None)
            bad = worst is not None and rest[worst] < 1
            plan[number] = sorted([*indices, worst]) if bad else indices
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
    moments: Iterable[Moment], segmenter: AnyTracker, clicks: tuple[int, ...] = (1, 3, 5), every: int = 1
) -> ImageSegmentation:
    """Click on every object of each ``every``-th image with truth, each image by itself."""
    rows, images = [], 0
    for moment in moments:
        if moment.truth is None or moment.index % every:
            continue
        segmenter.reset()
        segmenter.track(moment.frame)
        images += 1
        for number, truth in sorted(moment.truth.masks.items()):
            if truth.any():
                rows.append(_iou_by_clicks(str(number), truth, moment.truth.ignored(number), segmenter, clicks))
    return ImageSegmentation(clicks, np.array(rows).reshape(-1, len(clicks)), images)


def _iou_by_clicks(
    name: str, truth: np.ndarray, ignore: np.ndarray | None, segmenter: AnyTracker, clicks: tuple[int, ...]
) -> list[float]:
    found, scores = None, {}
    for count in range(1, max(clicks) + 1):
        prompted = click(name, truth, found, 1, segmenter.prompt, ignore=ignore)
        found = prompted.track.mask if prompted else found
        scores[count] = region_similarity(found, truth, ignore)
    segmenter.forget(name)
    return [scores[count] for count in clicks]
