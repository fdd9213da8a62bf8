"""Compares replayed steps with the ground truth: one row for each object on each image."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.metrics import ObjectScores, boundary_accuracy, match, region_similarity
from sam2_ros.recordings.recording import Truth
from sam2_ros.simulated_user import box_around
from sam2_ros.stream.association import intersection_over_union
from sam2_ros.stream.replay import Step
from sam2_ros.types import Prompt, Track

#: A prompted object of any name is the true one that its first mask overlaps by at least this IoU.
SAME_OBJECT = 0.1
#: A prompt for an older image finds the truth of as many images back.
LATE_PROMPTS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One object on one image; j and f are nan where there is no truth.

    matched: id of the true object that its mask lies on, 0 for none.  state: as published, or
    "" while nobody has prompted the object.
    """

    frame: int
    stamp: int
    object: int
    name: str
    j: float
    f: float
    absent: bool
    predicted: bool
    occluded: bool
    matched: int
    state: str = ""
    object_score: float = float("nan")
    predicted_iou: float = float("nan")


@dataclass
class Scorer:
    """Collects rows; ``objects`` turns them into arrays.

    A track belongs to the true object that its prompt points at, otherwise to the one under its first
    mask with truth, unless another track has it.  In a benchmark its name is the id of the true object.
    every_object: this is a benchmark, so true objects that nobody has prompted count as missed.
    Otherwise only some things of a recording were of interest: objects do not count before their
    first prompt or after their removal.
    """

    every_object: bool = True
    rows: list[Row] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)  # of every track, by its id
    _true: dict[int, int] = field(default_factory=dict)  # true ids by ids of tracks, since a name may be used again
    _seen: set[int] = field(default_factory=set)  # true ids
    _truths: list[tuple[int, int, bool]] = field(default_factory=list)  # images with truth: frame, stamp, complete
    _recent: deque[Truth] = field(default_factory=lambda: deque(maxlen=LATE_PROMPTS))

    def add(self, step: Step) -> list[Row]:
        """Score one step; returns its rows."""
        truth, frame = step.moment.truth, step.moment.frame
        if truth is not None:
            _check_size(truth, frame.size)
            self._discover(truth, step)
            self._recent.append(truth)
        self._recognise(step)
        by_id = self._identify(step.tracks, truth)
        rows = []
        for object_id in sorted(self._seen | set(by_id)):
            mask = truth.mask(object_id, frame.size) if truth is not None and object_id > 0 else None
            rows.append(self._row(step, object_id, by_id.get(object_id), mask, truth))
        self.rows += rows
        return rows

    def objects(self) -> list[ObjectScores]:
        """The scores of every true object, in the order of their ids."""
        prompted = {row.object for row in self.rows if row.state}
        wanted = [number for number in sorted(self._seen) if self.every_object or number in prompted]
        return [_scores([row for row in self.rows if row.object == number]) for number in wanted]

    def unprompted(self) -> list[int]:
        """True ids that nobody prompted."""
        prompted = {row.object for row in self.rows if row.state}
        return [number for number in sorted(self._seen) if number not in prompted]

    def true_id(self, track: int) -> int:
        """The true object of a track, by its id, as far as it is known by now; else a negative number."""
        return self._true.get(track, -track)

    def values(self) -> dict[int, int]:
        """The value of every track in label images, by its id: the true id, or its own id or the next free one."""
        values = dict(self._true)
        taken = {*self._seen, *values.values()}
        for number in self._names:
            if number not in values:
                values[number] = next(value for value in itertools.count(number) if value not in taken)
                taken.add(values[number])
        return values

    def names(self) -> dict[str, int]:
        """The value in label images by name; of several tracks with one name that of the last."""
        values = self.values()
        return {name: values[number] for number, name in self._names.items()}

    def _discover(self, truth: Truth, step: Step) -> None:
        """Note the true ids; a new one was absent from the images before, if their truth is complete."""
        for object_id in truth.masks:
            if object_id not in self._seen:
                self._seen.add(object_id)
                self.rows += [
                    Row(frame, stamp, object_id, str(object_id), 1.0, 1.0, True, False, False, 0)
                    for frame, stamp, complete in self._truths
                    if complete and self.every_object
                ]
        self._truths.append((step.moment.index, step.moment.frame.stamp, truth.complete))

    def _recognise(self, step: Step) -> None:
        """Find the true objects that the prompts of a step point at."""
        ids = {track.name: track.id for track in step.tracks}
        for given in step.given:
            if given.name not in ids or self._names_truth(given.name):
                continue
            if given.prompt.replace:  # earlier prompts on this image do not count
                self._true.pop(ids[given.name], None)
            truth = next((truth for truth in self._recent if truth.stamp == given.stamp), None)
            if ids[given.name] not in self._true and truth is not None:
                number = meant(given.prompt, self._free(truth, step.tracks))
                self._true |= {ids[given.name]: number} if number else {}

    def _free(self, truth: Truth, tracks: tuple[Track, ...]) -> dict[int, np.ndarray]:
        """The true objects that belong to none of ``tracks``."""
        taken = {self._true.get(track.id) for track in tracks}
        return {number: mask for number, mask in truth.masks.items() if number not in taken}

    def _identify(self, tracks: tuple[Track, ...], truth: Truth | None) -> dict[int, Track]:
        """Tracks by true id; a track without one gets a negative number."""
        for track in tracks:
            self._names[track.id] = track.name
            if track.id not in self._true and truth is not None:
                number = self._true_id(track, truth, tracks)
                if number:
                    self._true[track.id] = number
        return {self.true_id(track.id): track for track in tracks}

    def _true_id(self, track: Track, truth: Truth, tracks: tuple[Track, ...]) -> int:
        if self._names_truth(track.name) and int(track.name) in self._seen:
            return int(track.name)
        return match(track.mask, self._free(truth, tracks), SAME_OBJECT)

    def _names_truth(self, name: str) -> bool:
        """Whether a name is the id of a true object; an operator's "2" is only a name."""
        return self.every_object and name.isdecimal()

    def _row(
        self, step: Step, object_id: int, track: Track | None, mask: np.ndarray | None, truth: Truth | None
    ) -> Row:
        found = track.mask if track is not None else np.zeros(step.moment.frame.size, bool)
        j = f = float("nan")
        matched = 0
        if truth is not None and mask is not None and (track is not None or self.every_object):
            ignore = truth.ignored(object_id)
            j, f = region_similarity(found, mask, ignore), boundary_accuracy(found, mask, ignore)
            matched = match(found, truth.masks)
        row = Row(
            frame=step.moment.index,
            stamp=step.moment.frame.stamp,
            object=object_id,
            name=str(object_id),
            j=j,
            f=f,
            absent=mask is not None and not mask.any(),
            predicted=bool(found.any()),
            occluded=False,
            matched=matched,
        )
        if track is None:
            return row
        return replace(
            row,
            name=track.name,
            occluded=track.occluded,
            state=track.state.name,
            object_score=track.object_score,
            predicted_iou=track.predicted_iou,
        )


def meant(prompt: Prompt, truths: Mapping[int, np.ndarray]) -> int:
    """The id of the true (H, W) mask that a prompt points at, 0 for none.

    By its mask, else its box, else the mask with the fewest pixels under its first positive point.
    """
    if prompt.mask is not None:
        return match(prompt.mask, truths, SAME_OBJECT)
    if prompt.box is not None:
        boxes = {
            number: intersection_over_union(prompt.box, box_around(mask))
            for number, mask in truths.items()
            if mask.any()
        }
        best = max(boxes, key=boxes.__getitem__, default=0)
        return best if best and boxes[best] >= SAME_OBJECT else 0
    points = prompt.points[prompt.labels == 1]
    if not len(points):
        return 0
    x, y = np.round(points[0]).astype(int)
    under = {
        number: int(mask.sum())
        for number, mask in truths.items()
        if y < mask.shape[0] and x < mask.shape[1] and mask[y, x]
    }
    return min(under, key=under.__getitem__, default=0)


def _scores(rows: list[Row]) -> ObjectScores:
    rows = sorted(rows, key=lambda row: row.frame)

    def column(name: str, kind: type) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows], kind)

    name = next((row.name for row in rows if row.state), rows[0].name)
    return ObjectScores(
        id=rows[0].object,
        name=name,
        j=column("j", np.float64),
        f=column("f", np.float64),
        absent=column("absent", bool),
        predicted=column("predicted", bool),
        followed=np.array([bool(row.state) for row in rows]),
        occluded=column("occluded", bool),
        matched=column("matched", np.int64),
    )


def _check_size(truth: Truth, size: tuple[int, int]) -> None:
    masks: Mapping[int, np.ndarray] = truth.masks
    wrong = next((mask.shape for mask in masks.values() if mask.shape != size), None)
    if wrong:
        raise InvalidInput(
            f"the truth is {wrong[1]}x{wrong[0]} but its image is {size[1]}x{size[0]}; "
            "give images and masks of one size"
        )
