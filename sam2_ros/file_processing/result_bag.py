"""Writes a bag with the recorded messages and new results; ``commands/replay.py`` says what is in it."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tqdm import tqdm

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.geometry.fields import empty, fill_position
from sam2_ros.geometry.positions import Position
from sam2_ros.messages import fill_image, fill_object, seconds_and_rest
from sam2_ros.model import checkpoint
from sam2_ros.recordings import LabelWriter, Recording
from sam2_ros.recordings.bags.bag import Bag, Source, refuse_unclear_nodes, refuse_without_bag
from sam2_ros.recordings.bags.notes import note
from sam2_ros.recordings.bags.topics import IMAGE, OBJECTS
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.moments import prefetched
from sam2_ros.stream.recorded_setup import as_recorded
from sam2_ros.stream.replay import ReplaySettings, Step, replay
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.types import Track, label_image

#: Where results go: where the node publishes, or beside its own results and those of former replays.
NODE, BESIDE = "/sam2_ros", "/sam2_ros_replay"
#: Behind it, the note on the model and on what computed it.
ABOUT = "/about"


@dataclass
class Written:
    """What went into a bag: images, those of them that were dropped, prompts.

    refused: sentences on prompts that were refused.  lost: on what could not be copied.
    """

    images: int = 0
    dropped: int = 0
    prompts: int = 0
    refused: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def replay_into_bag(
    path: Path,
    chosen: TrackerSetup,
    out: Path,
    tell: Callable[[str], object],
    *,
    threads: int,
    on_clock: bool = False,
    labels: Path | None = None,
    **topics: str,
) -> Written:
    """Replay the recording at ``path`` into the bag ``out``, with the model and the settings that it was made with.

    chosen: goes before what was recorded.  tell: called with each sentence that a user of the bag must know.
    threads: of the model on a CPU.  topics: image_topic, depth_topic, camera_info_topic and node of a bag.
    Raises RecordingError, CheckpointError and InvalidInput; then no bag is left.
    """
    recording = recordings.open(path, **topics)
    refuse_without_bag(recording, **topics)
    refuse_unclear_nodes(recording)
    checkpoint.use_threads(threads)
    setup, sentences = as_recorded(chosen, recording)
    for sentence in sentences:
        tell(sentence)
    settings = setup.session()
    recording.image_range = settings.image_range
    tracker, model = setup.tracker(), {**setup.identity(), "engine": setup.computed_by()}
    steps = replay(recording, tracker, settings=ReplaySettings(settings, setup.depth()), on_clock=on_clock)
    if not on_clock:
        steps = prefetched(steps)  # writing goes on beside the model
    with contextlib.closing(steps):  # the thread that reads ahead must end before the process does
        first = next(steps)  # a recording without a readable image makes no bag
        bar = tqdm(itertools.chain([first], steps), total=recording.frames, unit="image", disable=None)
        with _new_bag(out) as writer:
            written = write_results(bar, recording, writer, LabelWriter(labels) if labels else None, {"model": model})
    for sentence in _sentences_on(written, recording):
        tell(sentence)
    return written


def _sentences_on(written: Written, recording: Recording) -> Iterator[str]:
    """Sentences for a user of the bag: what is not in it, and why."""
    yield from dict.fromkeys((*recording.lost, *written.lost, *written.refused))
    if recording.reduced:
        yield f"the images of {recording.path} have more than 8 bits; the bag holds the 8 bits that were tracked"
    if not written.prompts:
        yield "no prompt was given, so nothing was followed"


def write_results(
    steps: Iterable[Step],
    recording: Recording,
    writer: BagWriter,
    labels: LabelWriter | None = None,
    about: Mapping[str, Any] | None = None,
) -> Written:
    """Write the recording and the results of ``steps`` into a bag, and label images; about: noted beside the first.

    On the clock a result is stamped when it was ready; offline when its image came, so that two
    replays write the same bytes.
    """
    prefix = _free_prefix(recording)
    camera = recording.image_topic if isinstance(recording, Bag) else "/camera/image"
    lately, written = 0, Written()
    original = _Original(recording.source, writer, written.lost) if isinstance(recording, Bag) else None
    for step in steps:
        if original is not None:
            original.copy(_ready(step))
        else:
            writer.write(camera, IMAGE, step.moment.arrival, _image(step.moment.frame.image, step))
        if about is not None:
            note(writer, prefix + ABOUT, about, _ready(step))
            about = None
        written.images += 1
        written.dropped += step.dropped
        written.prompts += len(step.given)
        written.refused += step.refused
        lately += step.dropped
        if not step.dropped:
            _write_step(step, writer, prefix, lately)
            lately = 0
        if labels is not None:
            name = recording.stem(step.moment.index)
            labels.write(label_image(step.tracks, step.moment.frame.size), name)
    if original is not None:
        original.copy(math.inf)
    return written


def _free_prefix(recording: Recording) -> str:
    """Under which results go that shall not mix with others."""
    topics = {topic.name for topic in recording.source.topics} if isinstance(recording, Bag) else set()
    prefixes = itertools.chain((NODE, BESIDE), (f"{BESIDE}_{number}" for number in itertools.count(2)))
    return next(prefix for prefix in prefixes if not topics & {f"{prefix}/objects", f"{prefix}/masks"})


class _Original:
    """Copies a bag into another one, in step with the results.

    It is read a second time beside the images: of what comes between two of them nothing waits in
    memory, however much that is.
    """

    def __init__(self, source: Source, writer: BagWriter, lost: list[str]) -> None:
        self._writer = writer
        self._messages = source.messages({topic.name for topic in source.topics}, lost)
        self._next = next(self._messages, None)

    def copy(self, until: float) -> None:
        """Copy what was recorded up to this time, nanoseconds."""
        while self._next is not None and self._next.time <= until:
            self._writer.copy(self._next)
            self._next = next(self._messages, None)


def _ready(step: Step) -> int:
    """When a result is stamped: on the clock when it was ready, offline when its image came."""
    return step.moment.arrival + (round(step.delay_ms * 1e6) if step.timed else 0)


def _write_step(step: Step, writer: BagWriter, prefix: str, dropped: int) -> None:
    ready = _ready(step)
    header = _header(step)
    masks = _image(label_image(step.tracks, step.moment.frame.size), step)
    objects = SimpleNamespace(
        header=header,
        objects=[_object(track, header, step.located.positions.get(track.id)) for track in step.tracks],
        dropped_frames=dropped,
        processing_time=(step.track_ms + step.prompt_ms) / 1e3 if step.timed else 0.0,
    )
    writer.write(f"{prefix}/masks", IMAGE, ready, masks)
    writer.write(f"{prefix}/objects", OBJECTS, ready, objects)


def _object(track: Track, header: Any, position: Position | None) -> Any:
    """A track with the fields of a sam2_ros/TrackedObject."""
    message = SimpleNamespace(header=header, box=SimpleNamespace(), centroid=SimpleNamespace(), **empty())
    return fill_position(fill_object(message, track), position)


def _image(image: Any, step: Step) -> Any:
    return fill_image(SimpleNamespace(header=_header(step)), image)


def _header(step: Step) -> Any:
    """The header of the step's image."""
    event = next((event for event in step.moment.events if event.content is step.moment.frame), None)
    if event is not None and event.stored is not None:
        return event.stored.decode().header
    seconds, rest = seconds_and_rest(step.moment.frame.stamp)
    return SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest), frame_id="camera")


@contextlib.contextmanager
def _new_bag(out: Path) -> Iterator[BagWriter]:
    """A bag that is whole in the end or gone: half a replay is of no use, and the next try would be refused for it."""
    writer = BagWriter(out)
    try:
        with writer:
            yield writer
    except BaseException as error:
        shutil.rmtree(writer.path, ignore_errors=True)
        if isinstance(error, RecordingError):
            raise RecordingError(f"{error}; the bag was removed again, because it was not whole") from error
        raise
