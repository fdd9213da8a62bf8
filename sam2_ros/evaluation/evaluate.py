"""Evaluates one recording: its numbers and files.  ``batch`` does this for many."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from sam2_ros import recordings
from sam2_ros.errors import InvalidInput, RecordingError, Sam2RosError
from sam2_ros.evaluation.choices import FIRST_PROMPTS, MOST_FRAMES
from sam2_ros.evaluation.gallery import Gallery
from sam2_ros.evaluation.metrics import RULES, summary
from sam2_ros.evaluation.positions import PositionRow, PositionScorer, position_results
from sam2_ros.evaluation.protocols import FirstFrame, Offline, Online, segment_images
from sam2_ros.evaluation.results import CurvePoint, SequenceResult, Timing, latencies, write_rows
from sam2_ros.evaluation.scoring import Row, Scorer
from sam2_ros.model import checkpoint
from sam2_ros.recordings.bags.bag import Bag, refuse_unclear_nodes
from sam2_ros.recordings.moments import moments_of, prefetched
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.recordings.recording import Recording
from sam2_ros.stream.replay import NO_DEPTH, ReplaySettings, Step, User, replay
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.types import MAX_MONO8_ID, MAX_OBJECT_ID, label_image

T = TypeVar("T")
#: Of the JPEG file with the pictures of a report.
SHEET_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Job:
    """One recording and how it is evaluated; small, and made of plain values, so that it can travel.

    folder: where its files go.  budgets: numbers of frames to click on in the interactive protocols;
    clicks: on each of them.  every: in "images", take every N-th image.  topics: the
    options of bags (``OF_BAGS``) that were given.  recorded: sentences on what of the setup was recorded.
    threads: of the model on a CPU; the last bits of a result depend on them, so they do not depend
    on how many jobs are done at a time.
    """

    path: Path
    folder: Path
    setup: TrackerSetup = TrackerSetup()
    protocol: str = "auto"
    rules: str = "davis"
    on_clock: bool = False
    clicks: int = 3
    budgets: tuple[int, ...] = (MOST_FRAMES,)
    every: int = 1
    topics: tuple[tuple[str, str], ...] = ()
    threads: int = 1
    recorded: tuple[str, ...] = ()

    def open(self) -> Recording:
        """The recording.  Raises RecordingError."""
        return recordings.open(self.path, image_range=self.setup.session().image_range, **dict(self.topics))

    @property
    def passes(self) -> int:
        """How often the recording is gone through."""
        if self.protocol == "offline":
            return max(self.budgets)
        return len(self.budgets) if self.protocol.startswith("online") else 1


@dataclass
class Outcome:
    """What one pass over a recording gathered."""

    scorer: Scorer
    positions: PositionScorer = field(default_factory=PositionScorer)
    timings: list[Timing] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, step: Step) -> list[Row]:
        self.timings.append(
            Timing(
                step.moment.index,
                step.moment.frame.stamp,
                step.dropped,
                step.track_ms,
                step.prompt_ms,
                step.delay_ms,
                " ".join(step.prompted),
                step.clicks,
            )
        )
        self.refused += step.refused
        rows = self.scorer.add(step)
        self.positions.add(step, self.scorer.true_id)
        return rows

    def position_rows(self) -> list[PositionRow]:
        """Where each object was, image by image; none without depth."""
        return self.positions.rows(self.scorer.values())

    def point(self, frames: int, rules: str) -> CurvePoint:
        total = summary([one.result(RULES[rules]) for one in self.scorer.objects()])
        return CurvePoint(
            frames,
            total.j_and_f,
            sum(bool(timing.prompted) for timing in self.timings),
            sum(timing.clicks for timing in self.timings),
        )


def evaluate_one(job: Job, tick: Callable[[], object] = lambda: None) -> SequenceResult:
    """Do one job and write its files; whatever goes wrong becomes the result's error.

    tick: called for every image of every pass.
    """
    try:
        checkpoint.use_threads(job.threads)
        recording = job.open()
        protocol = _settled(job.protocol, recording)
        job.folder.mkdir(parents=True, exist_ok=True)
        run = _evaluate_images if protocol == "images" else _evaluate
        found = run(dataclasses.replace(job, protocol=protocol), recording, tick)
        result = dataclasses.replace(found, recorded=job.recorded, computed=job.setup.computed())
        if protocol != "recorded" and not result.annotated and result.lost:
            raise RecordingError(f"no ground truth could be used: {'; '.join(result.lost[:3])}")
        return result
    except (Sam2RosError, OSError) as error:
        return failed(job, str(error))
    except Exception as error:  # out of memory, a bug: the other recordings must still be evaluated
        traceback.print_exc()
        return failed(job, f"{type(error).__name__}: {error}")


def failed(job: Job, sentence: str) -> SequenceResult:
    """The result of a job that has none."""
    return SequenceResult(recordings.name_of(job.path), job.folder.name, str(job.path), error=sentence)


def _evaluate(job: Job, recording: Recording, tick: Callable[[], object]) -> SequenceResult:
    curve = []
    for budget, tracker, user, last in _passes(job, recording):
        outcome = Outcome(Scorer(every_object=job.protocol != "recorded"))
        steps: Iterator[Step] = replay(
            recording,
            tracker,
            user,
            settings=ReplaySettings(job.setup.session(), job.setup.depth() if last else NO_DEPTH),
            on_clock=job.on_clock,
            recorded_prompts=job.protocol == "recorded",
        )
        # Scoring runs in parallel with the model, except when the model's time is measured.
        steps = _ticking(tick, steps if job.on_clock else prefetched(steps))
        gallery = _keep(steps, outcome, recording, job) if last else _only_score(steps, outcome)
        if budget:
            curve.append(outcome.point(budget, job.rules))
    write_rows(job.folder / "scores.csv", sorted(outcome.scorer.rows, key=lambda row: (row.frame, row.object)), Row)
    write_rows(job.folder / "timing.csv", outcome.timings, Timing)
    if positions := outcome.position_rows():
        write_rows(job.folder / "positions.csv", positions, PositionRow)
    sheet = gallery.sheet()
    if sheet is not None:
        write_picture(job.folder / "sheet.jpg", sheet, cv2.IMWRITE_JPEG_QUALITY, SHEET_QUALITY)
    return _result(job, recording, outcome, tuple(curve))


def _passes(job: Job, recording: Recording) -> Iterator[tuple[int, ObjectTracker, User | None, bool]]:
    """For each pass over the recording: how many frames may be clicked, the tracker, the user, is it the last."""
    if job.protocol in FIRST_PROMPTS:
        yield 0, job.setup.tracker(), FirstFrame(job.protocol), True
    elif job.protocol == "recorded":
        yield 0, job.setup.tracker(), None, True
    elif job.protocol == "offline":
        tracker, offline = job.setup.tracker(), Offline(job.clicks)
        yield 1, tracker, offline, max(job.budgets) == 1
        for number in range(2, max(job.budgets) + 1):
            offline = offline.revise(recording, tracker)
            yield number, tracker, offline, number == max(job.budgets)
    else:
        method = job.protocol.partition("-")[2] or "click"
        for budget in sorted(job.budgets):
            segmenter = job.setup.tracker() if method == "sam" else None
            online = Online(method, job.clicks, budget, segmenter)
            yield budget, job.setup.tracker(), online, budget == max(job.budgets)


def _ticking(tick: Callable[[], object], items: Iterable[T]) -> Iterator[T]:
    for item in items:
        yield item
        tick()


def _only_score(steps: Iterator[Step], outcome: Outcome) -> Gallery:
    for step in steps:
        outcome.add(step)
    return Gallery()


def _keep(steps: Iterator[Step], outcome: Outcome, recording: Recording, job: Job) -> Gallery:
    """Score the steps, write their label images, and choose pictures for the report."""
    gallery, labels, written = Gallery(), recordings.LabelWriter(job.folder / "labels"), []
    for step in steps:
        rows = outcome.add(step)
        known = [row.j for row in rows if not np.isnan(row.j) and not row.absent]
        gallery.offer(step, float(np.mean(known)) if known else float("nan"), outcome.scorer.values())
        picture = label_image(step.tracks, step.moment.frame.size)
        written.append(labels.write(picture, recording.stem(step.moment.index)))
    # The true object of a track may become known long after its first image.
    _renumber(written, outcome.scorer.values(), labels)
    return gallery


def _renumber(paths: Iterable[Path], values: Mapping[int, int], writer: recordings.LabelWriter) -> None:
    """Write label images of the tracker's ids once more with ``values`` in their place."""
    if all(number == value for number, value in values.items()):
        return
    table = np.arange(MAX_OBJECT_ID + 1)
    table[list(values)] = list(values.values())
    kind = np.uint16 if max(values.values()) > MAX_MONO8_ID else np.uint8
    for path in paths:
        writer.write(table[recordings.read_labels(path)].astype(kind), path.stem)


def _result(job: Job, recording: Recording, outcome: Outcome, curve: tuple[CurvePoint, ...]) -> SequenceResult:
    objects = tuple(one.result(RULES[job.rules]) for one in outcome.scorer.objects())
    timings = outcome.timings
    return SequenceResult(
        name=recording.name,
        folder=job.folder.name,
        path=str(job.path),
        protocol=job.protocol,
        frames=len(timings),
        tracked=sum(not timing.dropped for timing in timings),
        annotated=len({row.frame for row in outcome.scorer.rows if not np.isnan(row.j)}),
        objects=objects,
        positions=position_results(outcome.position_rows()),
        summary=summary(objects) if objects else None,
        latency=latencies(timings),
        prompted_frames=sum(bool(timing.prompted) for timing in timings),
        clicks=sum(timing.clicks for timing in timings),
        curve=curve,
        names=outcome.scorer.names(),
        unprompted=tuple(outcome.scorer.unprompted()),
        refused=tuple(outcome.refused),
        lost=tuple(recording.lost),
        timings=tuple(timings),
    )


def _evaluate_images(job: Job, recording: Recording, tick: Callable[[], object]) -> SequenceResult:
    moments = _ticking(tick, prefetched(moments_of(recording)))
    found = segment_images(moments, job.setup.tracker(), every=job.every)
    return SequenceResult(
        recording.name,
        job.folder.name,
        str(job.path),
        protocol="images",
        frames=recording.frames or 0,
        tracked=recording.frames or 0,
        annotated=found.images,
        image_iou=found.mean,
        image_objects=len(found.iou),
        lost=tuple(recording.lost),
    )


def _settled(protocol: str, recording: Recording) -> str:
    """The protocol that "auto" means; InvalidInput when a recording cannot be evaluated by it."""
    if isinstance(recording, Bag) and recording.unclear_truths:
        raise InvalidInput(
            f"{recording.path} has several topics of ground truth that may be of "
            f"{recording.image_topic}: {', '.join(recording.unclear_truths)}; choose with --truth-topic"
        )
    if protocol == "auto":
        protocol = "recorded" if recording.has_prompts else "mask"
    if protocol == "recorded":
        refuse_unclear_nodes(recording)
    if protocol == "recorded" and not recording.has_prompts:
        raise InvalidInput(f"{recording.path} holds no prompts; choose how its objects are prompted")
    if protocol != "recorded" and not recording.has_truth and recording.has_prompts:
        raise InvalidInput(
            f"{recording.path} has no ground truth, which --prompt {protocol} needs; "
            "evaluate it with the prompts in it: --prompt recorded"
        )
    if protocol != "recorded" and not recording.has_truth:
        raise InvalidInput(
            f"{recording.path} has neither prompts nor ground truth to make them from; record the "
            "prompts, or follow it with: sam2_ros track"
        )
    return protocol
