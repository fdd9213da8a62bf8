"""A bag with new results beside what was recorded: the command ``sam2_ros replay``.

    sam2_ros replay kitchen.mcap --out replayed             every image, as fast as it goes, the same each time
    sam2_ros replay kitchen.mcap --out replayed --on-clock  as a robot would have had time for

Recorded prompts are given again and removed objects forgotten, each at its place.  All messages
of the recording are copied unchanged, also those that cannot be read.  Masks and objects are those
that the node publishes, with the header of their image; images of a folder or a video become messages.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tqdm import tqdm

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.evaluation.trackers import Choice, positive, settings_from
from sam2_ros.messages import fill_image, seconds_and_rest
from sam2_ros.model import checkpoint
from sam2_ros.ranges import AUTO, HELP
from sam2_ros.recordings import LabelWriter, Recording
from sam2_ros.recordings.bags import IMAGE, OBJECTS, Bag, Source, refuse_unclear_nodes, refuse_without_bag
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.stream.replay import Step, prefetched, replay
from sam2_ros.types import Track, label_image

#: Where results go: where the node publishes, or beside its own results and those of former replays.
NODE, BESIDE = "/sam2_ros", "/sam2_ros_replay"


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


def write_results(
    steps: Iterable[Step], recording: Recording, writer: BagWriter, labels: LabelWriter | None = None
) -> Written:
    """Write the recording and the results of ``steps`` into a bag, and label images.

    On the clock a result is stamped when it was ready; offline when its image came, so that two
    replays write the same bytes.
    """
    prefix = _free_prefix(recording)
    camera = recording.image_topic if isinstance(recording, Bag) else "/camera/image"
    frame_id, lately, written = "camera", 0, Written()
    original = _Original(recording.source, writer, written.lost) if isinstance(recording, Bag) else None
    for step in steps:
        if original is not None:
            original.copy(_ready(step))
        else:
            writer.write(camera, IMAGE, step.moment.arrival, _image(step.moment.frame.image, step, frame_id))
        written.images += 1
        written.dropped += step.dropped
        written.prompts += len(step.given)
        written.refused += step.refused
        lately += step.dropped
        if not step.dropped:
            _write_step(step, writer, prefix, frame_id, lately)
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


def _write_step(step: Step, writer: BagWriter, prefix: str, frame_id: str, dropped: int) -> None:
    ready = _ready(step)
    header = _header(step, frame_id)
    masks = _image(label_image(step.tracks, step.moment.frame.size), step, frame_id)
    objects = SimpleNamespace(
        header=header,
        objects=[object_message(track, header) for track in step.tracks],
        dropped_frames=dropped,
        processing_time=(step.track_ms + step.prompt_ms) / 1e3 if step.timed else 0.0,
    )
    writer.write(f"{prefix}/masks", IMAGE, ready, masks)
    writer.write(f"{prefix}/objects", OBJECTS, ready, objects)


def object_message(track: Track, header: Any) -> SimpleNamespace:
    """A track with the fields of a sam2_ros/TrackedObject."""
    fields = {
        name: getattr(track, name)
        for name in (
            "id",
            "name",
            "state",
            "occluded",
            "object_score",
            "predicted_iou",
            "object_pointer",
            "area",
            "frames_since_seen",
            "prompted_frames",
        )
    }
    message = SimpleNamespace(header=header, object_probability=track.probability, **fields)
    box = track.box
    if box is not None:
        message.box = SimpleNamespace(**dict(zip(("x0", "y0", "x1", "y1"), box)))
        message.centroid = SimpleNamespace(**dict(zip("xy", track.centroid)))
    return message


def _image(image: Any, step: Step, frame_id: str) -> Any:
    return fill_image(SimpleNamespace(header=_header(step, frame_id)), image)


def _header(step: Step, frame_id: str) -> SimpleNamespace:
    """The header of the step's image."""
    event = next((event for event in step.moment.events if event.content is step.moment.frame), None)
    if event is not None and event.stored is not None:
        return event.stored.decode().header
    seconds, rest = seconds_and_rest(step.moment.frame.stamp)
    return SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest), frame_id=frame_id)


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


def main(arguments: Sequence[str]) -> int:
    """``sam2_ros replay``."""
    parser = argparse.ArgumentParser(
        prog="sam2_ros replay",
        description="Run the tracker over a recording again.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recording", type=Path, metavar="BAG|FOLDER|VIDEO", help="with prompts in it, if objects are to be followed")
    add("--out", type=Path, required=True, metavar="BAG", help="folder of the new bag")
    add("--labels", type=Path, metavar="DIR", help="also write label images")
    add("--on-clock", action="store_true", help="drop the images that this machine is too slow for")
    add("--model", default="embedded", help="a known name or the path of a checkpoint (%(default)s)")
    add("--device", default="auto", help="cpu, cuda, ...; auto = a GPU if there is one")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the tracker; repeatable")
    add(
        "--threads", type=positive, default=os.cpu_count() or 1, metavar="N", help="of the model on a CPU (%(default)s)"
    )
    add("--image-topic", default="", metavar="TOPIC", help="the camera's topic in a bag")
    add(
        "--node", default="", metavar="NAME", help="whose prompts in a bag are given, where several nodes were prompted"
    )
    add("--image-range", default=AUTO, metavar="RANGE", help=HELP)
    parsed = parser.parse_args(arguments)
    recording = recordings.open(
        parsed.recording, image_topic=parsed.image_topic, node=parsed.node, image_range=parsed.image_range
    )
    refuse_without_bag(recording, image_topic=parsed.image_topic, node=parsed.node)
    refuse_unclear_nodes(recording)
    checkpoint.use_threads(parsed.threads)
    choice = Choice(parsed.model, parsed.device, tuple(settings_from(parsed.set).items()))
    steps = replay(recording, choice.tracker(), on_clock=parsed.on_clock)
    if not parsed.on_clock:
        steps = prefetched(steps)  # writing goes on beside the model
    with contextlib.closing(steps):  # the thread that reads ahead must end before the process does
        first = next(steps)  # a recording without a readable image makes no bag
        bar = tqdm(
            itertools.chain([first], steps), total=recording.frames, unit="image", disable=not sys.stderr.isatty()
        )
        with _new_bag(parsed.out) as writer:
            labels = LabelWriter(parsed.labels) if parsed.labels else None
            written = write_results(bar, recording, writer, labels)
    for sentence in dict.fromkeys((*recording.lost, *written.lost, *written.refused)):
        print(sentence)
    if recording.reduced:
        print(
            f"the images of {parsed.recording} have more than 8 bits; "
            "the bag holds them in the 8 bits that were tracked"
        )
    if not written.prompts:
        print("no prompt was given, so nothing was followed")
    print(f"{written.images} images, {written.dropped} dropped, {written.prompts} prompts; results in {parsed.out}")
    return 0
