"""Numbers for masks: arrays in, results out.  Nothing here reads a file or runs a model.

J (region similarity) and F (boundary accuracy) are those of DAVIS (Perazzi et al., CVPR 2016;
Pont-Tuset et al., 2017).  Two evaluators are in use and disagree on which frames count; the
differences are the fields of ``Rules``, and ``DAVIS`` and ``SA_V`` are the published choices.
Scores are between 0 and 1; ``nan`` means "there was nothing to measure".
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.types import box_of

#: Boundary pixels match within this share of the image diagonal.
BOUNDARY_TOLERANCE = 0.008
#: A frame above this score counts for recall, and as "found" for recovery and identity.
FOUND = 0.5
#: Share of the bootstrap's differences that lie in its interval, and how many are drawn.
CONFIDENCE, DRAWS = 0.95, 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """Which annotated frames of an object count.

    skip: "ends" leaves out its first and last annotated frame (the first is prompted), "appearance"
        the frames up to and including the first one with the object, "nothing" none.
    before_appearance: whether frames count before the first one on which the object is in the image
        or predicted; both masks are empty there, which scores 1.  If they do not count, an object
        that is in none of the counted frames does not count at all.
    absent: whether frames without the object count.
    """

    skip: str = "ends"
    before_appearance: bool = True
    absent: bool = True

    def __post_init__(self) -> None:
        if self.skip not in ("ends", "appearance", "nothing"):
            raise InvalidInput(f"skip is ends, appearance or nothing; got {self.skip!r}")


#: davis2017-evaluation, semi-supervised.
DAVIS = Rules()
#: The evaluator of the SA-V data set (and vos-benchmark, from which it comes).
SA_V = Rules(before_appearance=False)
#: YouTube-VOS: from the frame after an object's first appearance.
YOUTUBE_VOS = Rules(skip="appearance")
EVERY_FRAME = Rules(skip="nothing")
#: The rules that can be chosen, by name.
RULES = {"davis": DAVIS, "sa-v": SA_V, "youtube-vos": YOUTUBE_VOS, "every-frame": EVERY_FRAME}


# -- one frame -----------------------------------------------------------------------------------


def region_similarity(prediction: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> float:
    """J: intersection over union of two (H, W) bool masks; 1 when both are empty."""
    prediction, truth = _counted(prediction, truth, ignore)
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def boundary_accuracy(prediction: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> float:
    """F: harmonic mean of the shares of boundary pixels of each mask that lie near the other's boundary.

    Near is within a disk of ``BOUNDARY_TOLERANCE`` times the image diagonal, rounded up to pixels; every
    boundary pixel may match, there is no one-to-one assignment.  1 when neither mask has a
    boundary (both empty, or both the whole image), 0 when only one has.
    """
    prediction, truth = _counted(prediction, truth, ignore)
    radius = int(np.ceil(BOUNDARY_TOLERANCE * np.hypot(*truth.shape)))
    window = _window(prediction, truth)
    if window is None:
        return 1.0
    found, wanted = boundary(prediction)[window], boundary(truth)[window]
    counts = np.count_nonzero(found), np.count_nonzero(wanted)
    if not all(counts):
        return float(counts[0] == counts[1])
    disk = _disk(radius)
    precision = np.count_nonzero(found & cv2.dilate(wanted.view(np.uint8), disk).view(bool)) / counts[0]
    recall = np.count_nonzero(wanted & cv2.dilate(found.view(np.uint8), disk).view(bool)) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """The one-pixel boundary of an (H, W) bool mask as Berkeley's seg2bmap draws it.

    A pixel is on it when it differs from its right, lower or lower-right neighbour; the border
    of the image is no boundary.
    """
    edge = np.zeros(mask.shape, bool)
    edge[:, :-1] = mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _counted(prediction: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Both (H, W) masks as bool, without the pixels to be ignored.  Raises InvalidInput where the sizes differ."""
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    if prediction.shape != truth.shape or truth.ndim != 2:
        raise InvalidInput(f"masks of one image have one size, got {prediction.shape} and {truth.shape}")
    return (prediction, truth) if ignore is None else (prediction & ~ignore, truth & ~ignore)


def _window(first: np.ndarray, second: np.ndarray) -> tuple[slice, slice] | None:
    """The part of the image that holds both masks with the pixel above and to the left of them."""
    box = box_of(first | second)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    return slice(max(y0 - 1, 0), y1 + 1), slice(max(x0 - 1, 0), x1 + 1)


def _disk(radius: int) -> np.ndarray:
    """A structuring element: (2 radius + 1, 2 radius + 1) uint8, 1 inside the circle."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    inside: np.ndarray = (x * x + y * y <= radius * radius).astype(np.uint8)
    return inside


# -- one object ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean, recall (share of frames above 0.5) and decay (first minus last quarter) of a score over frames."""

    mean: float
    recall: float
    decay: float

    @classmethod
    def of(cls, scores: np.ndarray) -> Statistics:
        """Of (T,) scores of one object in time order; nan entries are left out."""
        if not len(scores) or np.isnan(scores).all():
            return cls(np.nan, np.nan, np.nan)
        # Four overlapping bins by rounded position, as DAVIS does (its 8-bit positions, wrong
        # beyond 256 frames, are not imitated).
        ends = np.round(np.linspace(1, len(scores), 5) + 1e-10).astype(int) - 1
        bins = [scores[start : stop + 1] for start, stop in itertools.pairwise(ends)]
        known = scores[~np.isnan(scores)]
        return cls(float(known.mean()), float((known > FOUND).mean()), _mean(bins[0]) - _mean(bins[3]))


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScores:
    """The measurements of one object on every image; arrays are (T,) in time order.

    j, f: nan where the object was not annotated.  absent: truth says it is not in the image.
    predicted: the mask found is not empty.  followed: it had been prompted by then.
    occluded: the tracker says that it is not seen.  matched: id of the true object that its mask
    lies on, 0 for none.
    """

    id: int
    name: str
    j: np.ndarray
    f: np.ndarray
    absent: np.ndarray
    predicted: np.ndarray
    followed: np.ndarray
    occluded: np.ndarray
    matched: np.ndarray

    def counted(self, rules: Rules = DAVIS) -> np.ndarray:
        """(T,) bool: the frames that count under ``rules``."""
        counts: np.ndarray = ~np.isnan(self.j)
        annotated, there = np.flatnonzero(counts), np.flatnonzero(counts & ~self.absent)
        if rules.skip == "ends":
            counts[annotated[:1]] = counts[annotated[-1:]] = False
        elif rules.skip == "appearance":
            counts[: there[0] + 1 if len(there) else None] = False
        if not rules.before_appearance:
            shown = np.flatnonzero(counts & (~self.absent | self.predicted))
            counts[: shown[0] if len(shown) else None] = False
            counts &= bool((counts & ~self.absent).any())
        if not rules.absent:
            counts &= ~self.absent
        return counts

    def result(self, rules: Rules = DAVIS) -> ObjectResult:
        """Everything about this object under ``rules``."""
        counts = self.counted(rules)
        j, f = Statistics.of(self.j[counts]), Statistics.of(self.f[counts])
        in_view = self.j[counts & ~self.absent]
        known = ~np.isnan(self.j) & self.followed
        return ObjectResult(
            id=self.id,
            name=self.name,
            frames=int(counts.sum()),
            j_and_f=(j.mean + f.mean) / 2,
            j=j,
            f=f,
            occlusion=occlusion(self.occluded[known], self.absent[known]),
            recovery=recovery(self.j[known], self.absent[known]),
            identity_switches=identity_switches(self.matched),
            j_in_view=_mean(in_view),
            visible_frames=len(in_view),
        )


@dataclass(frozen=True, slots=True)
class Occlusion:
    """How well "not visible" is flagged; positives are frames on which the truth is empty.

    precision, recall, f1: over frames; nan where there is nothing to divide by.
    delay: mean number of frames by which the flag follows a disappearance or a return.
    missed: changes that the flag did not follow before the next one came; a flag that was on before the
    object disappeared has not followed it, nor has one that was off before the object returned.  followed: the others.
    """

    precision: float
    recall: float
    f1: float
    delay: float
    missed: int
    absent_frames: int
    flagged_frames: int
    both: int
    followed: int

    @classmethod
    def of(cls, both: int, flagged: int, absent: int, *, delay: float, followed: int, missed: int) -> Occlusion:
        """both: frames that are flagged and on which the object is absent."""
        return cls(
            precision=both / flagged if flagged else np.nan,
            recall=both / absent if absent else np.nan,
            f1=2 * both / (flagged + absent) if flagged + absent else np.nan,
            delay=delay,
            missed=missed,
            absent_frames=absent,
            flagged_frames=flagged,
            both=both,
            followed=followed,
        )


@dataclass(frozen=True, slots=True)
class Recovery:
    """Returns after an absence: how many there were, how many were recovered, and after how many frames."""

    returns: int
    recovered: int
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of one object, or the means and sums over several.

    j_in_view: mean J of the frames that count and show the object, visible_frames: their number.  An empty
    mask on an empty frame scores 1, so an object that is lost at once and then out of the image for long has
    a fair J.
    """

    j_and_f: float
    j: Statistics
    f: Statistics
    occlusion: Occlusion
    recovery: Recovery
    identity_switches: int
    j_in_view: float
    visible_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectResult(Scores):
    """One object of one sequence; frames: that count."""

    id: int
    name: str
    frames: int


def occlusion(flagged: np.ndarray, absent: np.ndarray) -> Occlusion:
    """Compare the (T,) bool flag "occluded" with the truth "the object is not in the image"."""
    flagged, absent = np.asarray(flagged, bool), np.asarray(absent, bool)
    delays, missed = [], 0
    changed = np.concatenate([[False], flagged[1:] != flagged[:-1]])
    for frames in _stretches(absent):
        follows = np.flatnonzero((changed & (flagged == absent))[frames])
        delays.extend(follows[:1].tolist())
        missed += not len(follows)
    counts = [int(np.count_nonzero(where)) for where in (flagged & absent, flagged, absent)]
    return Occlusion.of(*counts, delay=_mean(delays), followed=len(delays), missed=missed)


def recovery(j: np.ndarray, absent: np.ndarray) -> Recovery:
    """Was an object found again after each absence, before it left again?  j: (T,); absent: (T,) bool."""
    returns = [j[frames] >= FOUND for frames in _stretches(absent) if not absent[frames.start]]
    delays = [int(np.argmax(found)) for found in returns if found.any()]
    return Recovery(len(returns), len(delays), _mean(delays))


def _stretches(absent: np.ndarray) -> list[slice]:
    """The frames from each change of (T,) bool values to the next one."""
    changes = [*(np.flatnonzero(absent[1:] != absent[:-1]) + 1).tolist(), len(absent)]
    return [slice(start, stop) for start, stop in itertools.pairwise(changes)]


def identity_switches(matched: np.ndarray) -> int:
    """How often a mask moved from one true object to another; ``matched`` (T,) holds ids, 0 for none."""
    seen = np.asarray(matched)[np.asarray(matched) != 0]
    return int((seen[1:] != seen[:-1]).sum())


def match(prediction: np.ndarray, truths: Mapping[int, np.ndarray], threshold: float = FOUND) -> int:
    """The id of the true mask that ``prediction`` overlaps best, with an IoU of at least ``threshold``; else 0."""
    if not truths or not prediction.any():
        return 0
    best, identity = max((region_similarity(prediction, mask), -number) for number, mask in truths.items())
    return -identity if best >= threshold else 0


# -- many objects --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Scores):
    """Means over objects, all objects of all sequences weighing the same (as both evaluators do).

    objects: how many there are; scored: those that have a score, which the means are over; in_view: those
    that are in the image on a frame that counts, which j_in_view is over.
    """

    objects: int
    scored: int
    in_view: int


def summary(results: Sequence[ObjectResult]) -> Summary:
    """Combine objects: scores are averaged; frames and changes of the occlusion flag, and returns, are pooled."""

    def average(part: str) -> Statistics:
        rows = [getattr(result, part) for result in results]
        return Statistics(*(_mean([getattr(row, name) for row in rows]) for name in ("mean", "recall", "decay")))

    def total(items: Sequence[Any], name: str) -> int:
        return sum(getattr(item, name) for item in items)

    j, f = average("j"), average("f")
    flags, returns = [result.occlusion for result in results], [result.recovery for result in results]
    in_view = [result.j_in_view for result in results]
    return Summary(
        j_and_f=(j.mean + f.mean) / 2,
        j=j,
        f=f,
        occlusion=Occlusion.of(
            *(total(flags, name) for name in ("both", "flagged_frames", "absent_frames")),
            delay=_pooled([flag.delay for flag in flags], [flag.followed for flag in flags]),
            followed=total(flags, "followed"),
            missed=total(flags, "missed"),
        ),
        recovery=Recovery(
            total(returns, "returns"),
            total(returns, "recovered"),
            _pooled([one.delay for one in returns], [one.recovered for one in returns]),
        ),
        identity_switches=total(results, "identity_switches"),
        j_in_view=_mean(in_view),
        visible_frames=total(results, "visible_frames"),
        objects=len(results),
        scored=sum(not np.isnan(result.j.mean) for result in results),
        in_view=sum(not np.isnan(value) for value in in_view),
    )


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations of one stage in milliseconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float


def latency(milliseconds: Iterable[float]) -> Latency:
    """Percentiles by linear interpolation."""
    values = np.fromiter(milliseconds, np.float64)
    if not len(values):
        return Latency(0, *[np.nan] * 5)
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return Latency(len(values), float(values.mean()), float(p50), float(p95), float(p99), float(values.max()))


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference of paired scores with its bootstrap interval of ``CONFIDENCE``."""

    mean: float
    low: float
    high: float


def paired_difference(first: np.ndarray, second: np.ndarray, groups: Sequence[Hashable]) -> Difference:
    """Mean of ``second - first`` (N,) paired by object; percentile bootstrap, the same each time.

    groups: (N,) what each object belongs to, its sequence say.  Objects of one group share a camera and
    a scene, so whole groups are drawn; to draw single objects would make the interval too narrow.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    known = ~np.isnan(differences)
    differences = differences[known]
    if not len(differences):
        return Difference(np.nan, np.nan, np.nan)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    group = np.array([numbers[one] for one in groups])[known]
    sums, counts = np.bincount(group, differences, len(numbers)), np.bincount(group, minlength=len(numbers))
    sums, counts = sums[counts > 0], counts[counts > 0]
    chosen = np.random.default_rng(0).integers(0, len(sums), (DRAWS, len(sums)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), (tail, 100 - tail))
    return Difference(float(differences.mean()), float(low), float(high))


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean without the nan entries; nan when nothing is left."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else np.nan


def _pooled(means: Sequence[float], counts: Sequence[int]) -> float:
    """The mean over all items of several groups, from the mean and the number of each; nan of nothing."""
    total = sum(counts)
    return sum(mean * count for mean, count in zip(means, counts) if count) / total if total else np.nan
