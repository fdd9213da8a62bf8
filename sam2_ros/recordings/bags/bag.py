"""A rosbag2 bag as a recording: its messages as images, ground truth, prompts and removals.

The bytes come from a ``Source``, usually a ``reader.BagReader``; messages are read by their fields.
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
from sam2_ros.recordings.bags.compressed_depth import decompressed
from sam2_ros.recordings.bags.topics import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    OBJECTS,
    PROMPT,
    Topic,
    cameras_in,
    depth_base_of,
    listed,
    node_of,
    one_transport_of,
    prompts_in,
    truths_of,
)
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

#: The rate of a bag is estimated from this many images.
RATE_IMAGES = 30


class Source(Protocol):
    """Gives the messages of a bag."""

    topics: list[Topic]

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[StoredMessage]:
        """The messages on the ``wanted`` topics in the order of recording; sentences on losses go into ``lost``."""


@dataclass
class Bag(Recording):
    """One bag.

    image_topic: of the camera, sensor_msgs/Image or CompressedImage; when empty, the only one that can be meant.
    truth_topic: of label images (mono8, mono16 or PNG); when empty, one whose name ends in "truth" or
        "ground_truth", first in the namespace of the camera.
    node: whose prompts and removals are read, such as "/sam2_ros"; needed when several nodes were prompted.
    depth_topic: of depth that is registered to the camera's images, with or without its transport; when empty, the only
        one that can be meant, see ``depth_topics``.  camera_info_topic: when empty, the one beside the images.
    more_topics: other topics to read, for example camera_info and depth; "*" means all.
    unclear_nodes: the prompted nodes, when there are several and none was named; then no prompts are read.
    unclear_truths: the topics of ground truth, when several may belong to the camera; then none is read.
    Raises RecordingError for a topic that is not in the bag, and lists those that are.
    """

    source: Source = field(kw_only=True)
    image_topic: str = ""
    truth_topic: str = ""
    node: str = ""
    depth_topic: str = ""
    camera_info_topic: str = ""
    more_topics: Iterable[str] = ()
    unclear_nodes: tuple[str, ...] = field(default=(), init=False)
    unclear_truths: tuple[str, ...] = field(default=(), init=False)
    _grey: Range = field(default_factory=Range, init=False, repr=False)
    _skipped: dict[str, tuple[int, str]] = field(default_factory=dict, repr=False)
    _listed: dict[str, set[str]] = field(default_factory=dict, repr=False)  # names of the objects, by topic
    _prompts: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # topics that are read; their nodes

    def __post_init__(self) -> None:
        topics = self.source.topics
        self._check_depth(topics)
        self.image_topic = self._checked(self.image_topic) or self._only_camera(topics)
        truths = [self._checked(self.truth_topic)] if self.truth_topic else truths_of(self.image_topic, topics)
        self.truth_topic, self.unclear_truths = (truths[0], ()) if len(truths) == 1 else ("", tuple(truths))
        prompts = {name: node_of(name) for name in prompts_in(topics)}
        nodes = sorted(set(prompts.values()))
        self.node = f"/{self.node.strip('/')}" if self.node else ""
        if self.node and self.node not in nodes:
            raise RecordingError(
                f"{self.path} holds no prompts of a node {self.node}; it holds those of: {', '.join(nodes) or 'none'}"
            )
        self.unclear_nodes = tuple(nodes) if len(nodes) > 1 and not self.node else ()
        if not self.unclear_nodes:
            self._prompts = {name: node for name, node in prompts.items() if self.node in ("", node)}
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
        return bool(prompts_in(self.source.topics))

    @property
    def prompted_node(self) -> str:
        """The node whose prompts are read; "" when there is none, or several and none was named."""
        return next(iter(self._prompts.values()), "")

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        self._skipped.clear()
        self._grey = Range(self.image_range)
        topics = self.source.topics
        listings = [topic.name for topic in topics if topic.type == OBJECTS]
        self._listed = {name: set() for name in listings if name.removesuffix("/objects") in self._prompts.values()}
        more = {topic.name for topic in topics if "*" in self.more_topics or topic.type in (PROMPT, OBJECTS)}
        wanted = {self.image_topic, self.truth_topic, *more, *self.more_topics} - {""}
        count = 0
        for message in self.source.messages(wanted, self.lost):
            try:
                content = self._content(message) if message.type != PROMPT or message.topic in self._prompts else None
            except (Sam2RosError, AttributeError, ValueError) as error:  # the bag may define a type differently
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
        """The content of a message for an ``Event``; None for a type that is not read here."""
        known = {self.image_topic, self.truth_topic, *self._listed}
        named_depth = self.depth_topic and stored.topic.startswith(depth_base_of(self.depth_topic))
        is_depth = (named_depth or "depth" in stored.topic.lower()) and stored.type in (IMAGE, COMPRESSED)
        if stored.topic not in known and stored.type not in (PROMPT, CAMERA_INFO) and not is_depth:
            return None
        message = stored.decode()
        if stored.topic == self.image_topic:
            read = messages.frame_from if stored.type == IMAGE else messages.frame_from_compressed
            frame = read(message, self._grey)
            # PyTorch warns of memory that it cannot write to, such as the bytes of a bag.
            image = frame.image if frame.image.flags.writeable else frame.image.copy()
            # The time of recording stands for a stamp that the camera did not set.
            return Frame(image, frame.stamp or stored.time, frame.frame_id)
        if stored.topic == self.truth_topic:
            stamp = messages.nanoseconds(message.header.stamp) or stored.time
            return Truth.from_labels(labels_from(message, lambda: self._truth_holds_ids), stamp)
        if stored.type == PROMPT:
            return PromptEvent(*messages.prompt_from(_Older(message)))
        if stored.topic in self._listed:
            return self._removal(stored.topic, message)
        if stored.type == CAMERA_INFO:
            return _camera_event(message)
        return _depth_event(message)

    @functools.cached_property
    def _truth_holds_ids(self) -> bool:
        """Whether some label image of the bag holds other values than 0 and 255."""
        return any(map(_holds_ids, self.source.messages({self.truth_topic}, [])))

    def _removal(self, topic: str, message: Any) -> RemovalEvent | None:
        """The objects that the node does not list any more: they were removed, by a service call that no bag holds.

        A prompt with ``replace`` keeps the name in the list, with another id.
        """
        names = {found.name for found in message.objects}
        gone, self._listed[topic] = self._listed[topic] - names, names
        return RemovalEvent(tuple(sorted(gone)), messages.nanoseconds(message.header.stamp)) if gone else None

    def _skip(self, topic: str, reason: str) -> None:
        count, first = self._skipped.get(topic, (0, reason))
        self._skipped[topic] = count + 1, first

    def _checked(self, name: str) -> str:
        known = [topic for topic in self.source.topics if topic.has_images]
        if name and name not in [topic.name for topic in known]:
            raise RecordingError(f"{self.path} has no image topic {name}; its image topics: {listed(known)}")
        return name

    def _check_depth(self, topics: list[Topic]) -> None:
        """RecordingError for a depth or a camera_info topic that was named and is not in the bag."""
        images = [topic for topic in topics if topic.has_images]
        if self.depth_topic and depth_base_of(self.depth_topic) not in {depth_base_of(topic.name) for topic in images}:
            raise RecordingError(f"{self.path} has no depth {self.depth_topic}; its image topics: {listed(images)}")
        infos = [topic for topic in topics if topic.type == CAMERA_INFO]
        if self.camera_info_topic and self.camera_info_topic not in {topic.name for topic in infos}:
            raise RecordingError(
                f"{self.path} has no camera_info on {self.camera_info_topic}; its camera_info topics: {listed(infos)}"
            )

    def _only_camera(self, topics: list[Topic]) -> str:
        known = [topic for topic in topics if topic.has_images]
        if not known:
            raise RecordingError(f"{self.path} holds no images; its topics: {listed(topics)}")
        depth = depth_base_of(self.depth_topic)
        cameras = one_transport_of({name for name in cameras_in(topics) if not depth or depth_base_of(name) != depth})
        if len(cameras) != 1:
            what = "several image topics" if cameras else "no topic that is clearly a camera's"
            raise RecordingError(f"{self.path} has {what}; name the image topic (--image-topic): {listed(known)}")
        return cameras[0]


def _holds_ids(stored: StoredMessage) -> bool:
    try:
        return holds_ids(labels_from(stored.decode(), lambda: True))
    except (Sam2RosError, AttributeError, ValueError):  # reported when this image is read
        return False


def refuse_unclear_nodes(recording: Recording) -> None:
    """InvalidInput if several nodes were prompted and none was named: each node counts its objects from 1."""
    nodes = recording.unclear_nodes if isinstance(recording, Bag) else ()
    if nodes:
        raise InvalidInput(f"{recording.path} holds prompts of several nodes: {', '.join(nodes)}; choose with --node")


def refuse_without_bag(recording: Recording, **options: str) -> None:
    """InvalidInput for options of bags that were given for another kind of recording."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given and not isinstance(recording, Bag):
        raise InvalidInput(f"{' and '.join(given)} would be ignored: {recording.path} is not a bag; leave it out")


def labels_from(message: Any, white_is_void: Callable[[], bool] = lambda: False) -> np.ndarray:
    """A label image message (mono8, mono16, their OpenCV names, or a compressed PNG) as (H, W) ids.

    white_is_void: see ``labels_of_grey``.  Raises InvalidImage.
    """
    if hasattr(message, "format"):
        labels = decoding.decode(message.data, cv2.IMREAD_UNCHANGED)
        if labels.ndim != 2:
            raise InvalidImage(f"a compressed label image is a PNG of one channel, not {message.format!r}")
        return labels_of_grey(labels, white_is_void)
    if message.encoding not in ("mono8", "8UC1", "mono16", "16UC1"):
        raise InvalidImage(f"label images are mono8 or mono16, got {message.encoding!r}")
    return labels_of_grey(messages.values_from(message), white_is_void)


class _Older:
    """A Prompt message of an older definition; newer fields are empty."""

    _EMPTY = {"name": "", "points": (), "labels": (), "box": (), "replace": False}

    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name == "mask" and not hasattr(self._message, "mask"):
            return _Older(None)
        if name == "data" and self._message is None:
            return b""
        return getattr(self._message, name, self._EMPTY[name]) if name in self._EMPTY else getattr(self._message, name)


def _depth_event(message: Any) -> DepthEvent | None:
    """The depth of an image, raw or compressed; None for a picture of it, which viewers publish."""
    if hasattr(message, "encoding") and message.encoding in messages.DEPTH_TYPES:
        depth = messages.values_from(message, messages.DEPTH_TYPES)
    elif "compressedDepth" in getattr(message, "format", ""):
        depth = decompressed(message)
    else:
        return None
    return DepthEvent(messages.nanoseconds(message.header.stamp), depth, message.header.frame_id)


def _camera_event(message: Any) -> CameraEvent:
    return CameraEvent(
        messages.nanoseconds(message.header.stamp),
        (message.height, message.width),
        np.array(message.k, np.float64).reshape(3, 3),
        np.array(message.d, np.float64),
        message.header.frame_id,
        message,
    )
