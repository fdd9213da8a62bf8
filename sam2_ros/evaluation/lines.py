"""A run as lines of text, which the command prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sam2_ros import recordings
from sam2_ros.evaluation.batch import total
from sam2_ros.evaluation.metrics import Summary
from sam2_ros.evaluation.positions import PositionResult
from sam2_ros.evaluation.results import SequenceResult, headline
from sam2_ros.recordings.folders import splits


def lines_of(results: Sequence[SequenceResult]) -> Iterator[str]:
    """Each recording with its scores, or why it has none, and sentences on it; all objects together at the end."""
    for result in results:
        yield f"{result.name:24} {_outcome(result)}"
        yield from (f"{'':24} {_position_of(one)}" for one in result.positions)
        for sentence in (*result.recorded, *result.lost, *result.refused):
            yield f"{'':24} {sentence}"
    everything = total(results)
    if everything is not None and (scores := _scores(everything)):
        yield f"{'all objects':24} {scores}  ({everything.scored} objects)"


def _outcome(result: SequenceResult) -> str:
    if result.error or result.image_iou:
        return result.error or "  ".join(f"{100 * iou:.1f} after {n}" for n, iou in result.image_iou.items())
    return _scores(result.summary) or "no ground truth"


def _scores(summary: Summary | None) -> str:
    """J&F, J and F in percent; "" without ground truth."""
    scores = headline(summary)
    if scores["j_and_f"] is None:
        return ""
    return f"J&F {scores['j_and_f']:5.1f}  J {scores['j']:5.1f}  F {scores['f']:5.1f}"


def _position_of(found: PositionResult) -> str:
    """How far off the positions of an object are, or without truth on how many images it has one."""
    if not found.with_truth:
        return f"{found.name}: a position on {found.measured} of {found.images} images with depth"
    return (
        f"{found.name}: position {found.median_mm:.1f} mm off (median), {found.p95_mm:.1f} mm (p95), "
        f"valid on {100 * found.valid:.1f} % of {found.with_truth} images"
    )


def notes_on_lists(paths: Sequence[Path]) -> Iterator[str]:
    """A line for each data set of which all sequences were evaluated although its lists are of parts of it."""
    for path in paths:
        lists = {name: set(listed) for name, listed in splits(path).items()}
        there = {one.name for one in recordings.find(path)} if lists else set()
        parts = [name for name, listed in lists.items() if listed < there]
        if parts and there not in lists.values():
            yield (
                f"note: these are all sequences of {path}; published numbers are of one of its lists: "
                f"{', '.join(f'--split {name}' for name in parts)}"
            )
