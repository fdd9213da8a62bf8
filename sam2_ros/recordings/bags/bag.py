"""A rosbag2 bag as a recording: which topic means what, and its messages as events.

The bytes come from a ``Source`` (``recordings`` makes one with the rosbags library); messages
are read by shape.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from sam2_ros import decoding, messages
from sam2_ros.errors import InvalidImage, InvalidInput, RecordingError, Sam2RosError
from sam2_ros.ranges import Range
from sam2_ros.recordings.bags.compressed_depth import depth_from
from sam2_ros.recordings.labels import holds_ids, labels_of_grey
from sam2_ros.recordings.recording import (
    CameraEvent,
    DepthEvent,
    Event,
    PromptEvent,
    Recording,
    RemovalEvent,
    StoredMessage,
    Truth,
)
from sam2_ros.types import Frame

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
PROMPT = "sam2_ros/msg/Prompt"
OBJECTS = "sam2_ros/msg/TrackedObjectArray"
#: End of the topic on which a node repeats the prompts that it applied, whatever road they came by.
APPLIED = "/applied"
#: Images by whose times a bag's rate is estimated.
RATE_IMAGES = 30
#: Topics that an error lists at most.
MOST_LISTED = 20
#: Parts of topic names that are not a camera's: results, truth and a transport; nor are names with "depth" in them.
_NO_CAMERA = {"masks", "overlay", "truth", "ground_truth", "labels", "theora"}
_TRUTH = {"truth", "ground_truth"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a bag and how many messages it holds."""

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.type.rsplit('/', 1)[-1]}, {self.count} messages)"


class Source(Protocol):
    """Where a bag's messages come from."""

    topics: list[Topic]

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[StoredMessage]:
        """The messages on the ``wanted`` topics in the order of their recording; losses go into ``lost``."""


@dataclass
class Bag(Recording):
    """One bag.

    image_topic: the camera's, sensor_msgs/Image or CompressedImage; chosen when empty and only one
        topic can be meant.  truth_topic: label images (mono8, mono16 or PNG); one whose name ends
        in "truth" or "ground_truth" when empty, that of the camera's own namespace before others.
    node: whose prompts and removals are the recording's, such as "/sam2_ros"; needed when several nodes were prompted.
    more_topics: others that are wanted as well, camera_info and depth among them; "*" means all.
    unclear_nodes: those of several prompted nodes when none was named; then no prompt is read.
    unclear_truths: those of several truth topics that may equally well be the camera's; then none is read.
    Raises RecordingError when there is no such topic, and lists those that there are.
    """

    source: Source = field(kw_only=True)
    image_topic: str = ""
    truth_topic: str = ""
    node: str = ""
    more_topics: Iterable[str] = ()
    unclear_nodes: tuple[str, ...] = field(default=(), init=False)
    unclear_truths: tuple[str, ...] = field(default=(), init=False)
    _holds_ids: bool | None = field(default=None, init=False, repr=False)
    _grey: Range = field(default_factory=Range, init=False, repr=False)
    _skipped: dict[str, tuple[int, str]] = field(default_factory=dict, repr=False)
    _listed: dict[str, set[str]] = field(default_factory=dict, repr=False)  # names of the objects, by topic

    def __post_init__(self) -> None:
        topics = self.source.topics
        self.image_topic = self._checked(self.image_topic) or self._only_camera(topics)
        truths = [self._checked(self.truth_topic)] if self.truth_topic else self._truths_of_camera(topics)
        self.truth_topic, self.unclear_truths = (truths[0], ()) if len(truths) == 1 else ("", tuple(truths))
        nodes = sorted(map(_node_of, self._prompts_in_bag()))
        self.node = f"/{self.node.strip('/')}" if self.node else ""
        if self.node and self.node not in nodes:
            raise RecordingError(
                f"{self.path} holds no prompts of a node {self.node}; it holds those of: {', '.join(nodes) or 'none'}"
            )
        self.unclear_nodes = tuple(nodes) if len(nodes) > 1 and not self.node else ()
        self.frames = next(topic.count for topic in topics if topic.name == self.image_topic)

    @functools.cached_property
    def rate(self) -> float | None:
        """By the times at which the first images were recorded; None when they make no sense."""
        first = itertools.islice(self.source.messages({self.image_topic}, []), RATE_IMAGES)
        times = [message.time for message in first]
        rate = (len(times) - 1) * 1e9 / max(times[-1] - times[0], 1) if times else 0.0
        rate = float(f"{rate:.3g}")  # a video file takes no rate of more digits
        return rate if 0.01 <= rate < 1000 else None

    @property
    def has_truth(self) -> bool:
        return bool(self.truth_topic)

    @property
    def has_prompts(self) -> bool:
        return bool(self._prompts_in_bag())

    @property
    def prompted_node(self) -> str:
        """The node whose prompts are read; "" when there is none, or several and none was named."""
        return next(iter({_node_of(name) for name in self._prompt_topics()}), "")

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        self._skipped.clear()
        self._grey = Range(self.image_range)
        self._listed = {topic: set() for topic in self._listings()}
        ours = {topic.name for topic in self.source.topics if topic.type in (PROMPT, OBJECTS)}
        prompts = self._prompt_topics()
        all_topics = {topic.name for topic in self.source.topics}
        more = all_topics if "*" in self.more_topics else set(self.more_topics)
        wanted = {self.image_topic, self.truth_topic, *ours, *more} - {""}
        count = 0
        for message in self.source.messages(wanted, self.lost):
            try:
                content = self._content(message) if message.type != PROMPT or message.topic in prompts else None
            except (Sam2RosError, AttributeError, ValueError) as error:  # the bag's own idea of a type may differ
                self._skip(message.topic, str(error))
                continue
            count += isinstance(content, Frame)
            yield Event(message.time, message.topic, content, message)
        self.lost.extend(
            f"{number} messages on {topic} could not be read; the first: {reason}"
            for topic, (number, reason) in self._skipped.items()
        )
        if not count:
            raise RecordingError(
                f"no image on {self.image_topic} of {self.path} can be read"
                + (f": {'; '.join(self.lost)}" if self.lost else "")
            )

    def _content(self, stored: StoredMessage) -> Any:
        """A message as what it means in this recording; None when only whoever wants it knows how to read it."""
        known = stored.topic in (self.image_topic, self.truth_topic, *self._listed) or stored.type in (
            PROMPT,
            CAMERA_INFO,
        )
        if not known and not stored.topic.endswith("compressedDepth"):
            return None
        message = stored.decode()
        if stored.topic == self.image_topic:
            read = messages.frame_from if stored.type == IMAGE else messages.frame_from_compressed
            frame = read(message, self._grey)
            # PyTorch complains of memory that it could not write to, such as that of a bag.
            image = frame.image if frame.image.flags.writeable else frame.image.copy()
            # A camera that gives no time is known by the time of its recording.
            return Frame(image, frame.stamp or stored.time, frame.frame_id)
        if stored.topic == self.truth_topic:
            stamp = messages.nanoseconds(message.header.stamp) or stored.time
            return Truth.from_labels(labels_from(message, self._among_ids), stamp)
        if stored.type == PROMPT:
            return PromptEvent(*messages.prompt_from(_Older(message)))
        if stored.topic in self._listed:
            return self._removal(stored.topic, message)
        if stored.type == CAMERA_INFO:
            return _camera_event(message)
        return DepthEvent(messages.nanoseconds(message.header.stamp), depth_from(message))

    def _among_ids(self) -> bool:
        """Whether some label image of the bag holds more than 0 and 255; looked up once."""
        if self._holds_ids is None:
            self._holds_ids = any(map(_holds_ids, self.source.messages({self.truth_topic}, [])))
        return self._holds_ids

    def _prompt_topics(self) -> set[str]:
        """Where prompts are read: on the topic of the one node that is meant."""
        found = self._prompts_in_bag()
        return set() if self.unclear_nodes else {name for name in found if self.node in ("", _node_of(name))}

    def _prompts_in_bag(self) -> set[str]:
        """Topics of prompts: of those that nodes applied where that was recorded, else of those they were asked for."""
        prompts = {topic.name for topic in self.source.topics if topic.type == PROMPT and topic.count}
        return {name for name in prompts if name.endswith(APPLIED)} or prompts

    def _listings(self) -> set[str]:
        """Where the nodes that were prompted list all their objects."""
        nodes = {_node_of(name) for name in self._prompt_topics()}
        return {
            topic.name
            for topic in self.source.topics
            if topic.type == OBJECTS and topic.name.removesuffix("/objects") in nodes
        }

    def _removal(self, topic: str, message: Any) -> RemovalEvent | None:
        """Removing and resetting are service calls, which no bag holds; but what is listed no more was removed.

        A prompt with ``replace`` leaves the name in the list, under another id.
        """
        names = {found.name for found in message.objects}
        gone, self._listed[topic] = self._listed[topic] - names, names
        return RemovalEvent(tuple(sorted(gone)), messages.nanoseconds(message.header.stamp)) if gone else None

    def _skip(self, topic: str, reason: str) -> None:
        count, first = self._skipped.get(topic, (0, reason))
        self._skipped[topic] = count + 1, first

    def _checked(self, name: str) -> str:
        known = [topic for topic in self.source.topics if topic.type in (IMAGE, COMPRESSED)]
        if name and name not in [topic.name for topic in known]:
            raise RecordingError(f"{self.path} has no image topic {name}; its image topics: {_listed(known)}")
        return name

    def _truths_of_camera(self, topics: list[Topic]) -> list[str]:
        """The truth topics in the camera's nearest namespace, else those that are in no other camera's."""
        spaces = {
            topic.name: _truth_namespace(topic.name)
            for topic in topics
            if topic.type in (IMAGE, COMPRESSED) and topic.count
        }
        near = [space for space in spaces.values() if space and self.image_topic.startswith(space)]
        if near:
            found = [name for name, space in spaces.items() if space == max(near, key=len)]
        else:
            found = [
                name
                for name, space in spaces.items()
                if space and not any(camera.startswith(space) for camera in _cameras(topics))
            ]
        return [name for name in found if name.rpartition("/")[0] not in found]  # not "compressed" beside raw ones

    def _only_camera(self, topics: list[Topic]) -> str:
        """The one camera topic; of the raw and the compressed one of a camera the raw one."""
        known = [topic for topic in topics if topic.type in (IMAGE, COMPRESSED)]
        names = _cameras(topics)
        cameras = [
            name
            for name in names
            if name.removesuffix("/compressed") == name or name.removesuffix("/compressed") not in names
        ]
        if not known:
            raise RecordingError(f"{self.path} holds no images; its topics: {_listed(topics)}")
        if len(cameras) != 1:
            what = "several image topics" if cameras else "no topic that is clearly a camera's"
            raise RecordingError(f"{self.path} has {what}; name the image topic (--image-topic): {_listed(known)}")
        return cameras[0]


def _node_of(prompts: str) -> str:
    """The node whose topic of prompts, asked for or applied, this is."""
    return prompts.removesuffix(APPLIED).removesuffix("/prompt")


def _cameras(topics: list[Topic]) -> set[str]:
    """Topics whose images are a camera's, by their names."""
    return {
        topic.name
        for topic in topics
        if topic.type in (IMAGE, COMPRESSED)
        and topic.count
        and not _NO_CAMERA & set(topic.name.split("/"))
        and "depth" not in topic.name.lower()
    }


def _truth_namespace(topic: str) -> str:
    """What comes before "truth" or "ground_truth" in a name that ends so, or so and one more part; "" for others."""
    parts = topic.split("/")
    place = next((place for place in range(max(len(parts) - 2, 0), len(parts)) if parts[place] in _TRUTH), None)
    return "" if place is None else "/".join(parts[:place]) + "/"


def _holds_ids(stored: StoredMessage) -> bool:
    try:
        return holds_ids(labels_from(stored.decode(), lambda: True))
    except (Sam2RosError, AttributeError, ValueError):  # whoever wants this very image will say so
        return False


def refuse_unclear_nodes(recording: Recording) -> None:
    """InvalidInput where several nodes were prompted and none was named: two nodes count their objects from one."""
    nodes = recording.unclear_nodes if isinstance(recording, Bag) else ()
    if nodes:
        raise InvalidInput(f"{recording.path} holds prompts of several nodes: {', '.join(nodes)}; choose with --node")


def refuse_without_bag(recording: Recording, **options: str) -> None:
    """InvalidInput for options of bags, by their names, that were given for another kind of recording."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given and not isinstance(recording, Bag):
        raise InvalidInput(f"{' and '.join(given)} would be ignored: {recording.path} is no bag; leave it out")


def labels_from(message: Any, among_ids: Callable[[], bool] = lambda: False) -> np.ndarray:
    """A label image message (mono8, mono16, their OpenCV names, or a compressed PNG) as (H, W) ids.

    among_ids: see ``labels_of_grey``.  Raises InvalidImage.
    """
    if hasattr(message, "format"):
        labels = decoding.decode(message.data, cv2.IMREAD_UNCHANGED)
        if labels.ndim != 2:
            raise InvalidImage(f"a compressed label image is a PNG of one channel, not {message.format!r}")
        return labels_of_grey(labels, among_ids)
    if message.encoding not in ("mono8", "8UC1", "mono16", "16UC1"):
        raise InvalidImage(f"label images are mono8 or mono16, got {message.encoding!r}")
    return labels_of_grey(messages.values_from(message), among_ids)


class _Older:
    """A message of an older definition: fields that it does not have yet are empty."""

    _EMPTY = {"name": "", "points": (), "labels": (), "box": (), "replace": False}

    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name == "mask" and not hasattr(self._message, "mask"):
            return _Older(None)
        if name == "data" and self._message is None:
            return b""
        return getattr(self._message, name, self._EMPTY[name]) if name in self._EMPTY else getattr(self._message, name)


def _camera_event(message: Any) -> CameraEvent:
    return CameraEvent(
        messages.nanoseconds(message.header.stamp),
        (message.height, message.width),
        np.array(message.k, np.float64).reshape(3, 3),
        np.array(message.d, np.float64),
        message.header.frame_id,
    )


def _listed(topics: list[Topic]) -> str:
    rest = f" and {len(topics) - MOST_LISTED} more" if len(topics) > MOST_LISTED else ""
    return (", ".join(map(str, topics[:MOST_LISTED])) or "none") + rest
