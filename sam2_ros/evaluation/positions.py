"""Positions in metres against their truth: where the surface under the true mask is, by the same depth.

So an error is that of the masks.  What the depth camera gets wrong is in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.positions import Position, measured
from sam2_ros.types import MAX_OBJECT_ID, Track, painted

if TYPE_CHECKING:
    from sam2_ros.stream.replay import Step  # brings torch

_NAN = float("nan")
_UNKNOWN = (_NAN, _NAN, _NAN)


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One object on one image, from the first image with depth on; lengths in metres, nan where unknown.

    depth: whether the image has depth.  measured: x, y and z are of this image; otherwise they are ``age`` seconds old.
    true_x, true_y, true_z: where the surface under the true mask is.  error_mm: from there to the measured position.
    absent: the truth says that the object is not in the image.
    """

    frame: int
    stamp: int
    object: int
    name: str
    depth: bool
    measured: bool
    age: float
    x: float
    y: float
    z: float
    depth_pixels: int
    depth_share: float
    depth_spread: float
    true_x: float
    true_y: float
    true_z: float
    error_mm: float
    absent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionScores:
    """Of one object, or sums and means over several.

    images: with depth on which it was followed; measured: of these, those with a position.
    with_truth: images on which there is a position under the true mask; valid: share of these with a measured one.
    median_mm, p95_mm: of the error.  while_absent: measured positions of an object that was not in the image.
    """

    images: int
    measured: int
    with_truth: int
    valid: float
    median_mm: float
    p95_mm: float
    while_absent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionResult(PositionScores):
    """One object of one sequence."""

    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSummary(PositionScores):
    """Means over the objects that have truth, all with the same weight; counts are added."""

    objects: int


@dataclass
class PositionScorer:
    """Collects a row for each track on each image; they carry the ids of the tracks until the end."""

    _rows: list[PositionRow] = field(default_factory=list)

    def add(self, step: Step, true_id: Callable[[int], int]) -> None:
        """Note the positions of a step.

        true_id: the true object of a track, by its id; negative while it is not known.
        """
        located, truth = step.located, step.moment.truth
        if step.dropped or (located.depth is None and not located.positions):
            return
        true = _true_positions(step)
        for track in step.tracks:
            number = true_id(track.id)
            absent = truth is not None and truth.complete and number > 0 and number not in truth.masks
            self._rows.append(_row(step, track, located.positions.get(track.id), true.get(number), absent))

    def rows(self, values: Mapping[int, int]) -> list[PositionRow]:
        """All rows by image and object; values: what stands for each track in the results, by its id."""
        rows = [dataclasses.replace(row, object=values[row.object]) for row in self._rows]
        return sorted(rows, key=lambda row: (row.frame, row.object))


def position_results(rows: Sequence[PositionRow]) -> tuple[PositionResult, ...]:
    """The positions of each object, in the order of their ids."""
    ids = sorted({row.object for row in rows})
    return tuple(_result([row for row in rows if row.object == number]) for number in ids)


def position_summary(results: Sequence[PositionScores]) -> PositionSummary | None:
    """All objects together; None without any."""
    if not results:
        return None

    def mean(name: str) -> float:
        known = [value for one in results if not np.isnan(value := getattr(one, name))]
        return float(np.mean(known)) if known else _NAN

    return PositionSummary(
        objects=len(results),
        images=sum(one.images for one in results),
        measured=sum(one.measured for one in results),
        with_truth=sum(one.with_truth for one in results),
        valid=mean("valid"),
        median_mm=mean("median_mm"),
        p95_mm=mean("p95_mm"),
        while_absent=sum(one.while_absent for one in results),
    )


def _true_positions(step: Step) -> dict[int, np.ndarray]:
    """Where the surface under each true mask is (3,), by the depth of the image."""
    depth, camera, truth = step.located.depth, step.located.camera, step.moment.truth
    if depth is None or camera is None or truth is None:
        return {}
    try:
        masks = {number: mask for number, mask in truth.masks.items() if number <= MAX_OBJECT_ID}
        labels = painted(masks, step.moment.frame.size)
        return {one: found.position for one, found in measured(labels, depth, camera).items()}
    except InvalidImage:  # said of this image already
        return {}


def _row(step: Step, track: Track, position: Position | None, true: np.ndarray | None, absent: bool) -> PositionRow:
    surface = position.surface if position is not None else None
    is_new = position is not None and position.age == 0
    x, y, z = _UNKNOWN if surface is None else map(float, surface.position)
    true_x, true_y, true_z = _UNKNOWN if true is None else map(float, true)
    error = np.hypot(np.hypot(x - true_x, y - true_y), z - true_z) if is_new else _NAN
    return PositionRow(
        frame=step.moment.index,
        stamp=step.moment.frame.stamp,
        object=track.id,
        name=track.name,
        depth=step.located.depth is not None,
        measured=is_new,
        age=_NAN if position is None else position.age,
        x=x,
        y=y,
        z=z,
        depth_pixels=0 if surface is None else surface.pixels,
        depth_share=_NAN if surface is None else surface.share,
        depth_spread=_NAN if surface is None else surface.spread,
        true_x=true_x,
        true_y=true_y,
        true_z=true_z,
        error_mm=1e3 * float(error),
        absent=absent,
    )


def _result(rows: Sequence[PositionRow]) -> PositionResult:
    with_truth = [row for row in rows if not np.isnan(row.true_z)]
    errors = [row.error_mm for row in with_truth if row.measured]
    median, p95 = np.percentile(errors, (50, 95)) if errors else (_NAN, _NAN)
    return PositionResult(
        id=rows[0].object,
        name=rows[-1].name,
        images=sum(row.depth for row in rows),
        measured=sum(row.measured for row in rows),
        with_truth=len(with_truth),
        valid=len(errors) / len(with_truth) if with_truth else _NAN,
        median_mm=float(median),
        p95_mm=float(p95),
        while_absent=sum(row.measured and row.absent for row in rows),
    )
