"""Which topics of a bag hold the depth of its camera's images, and their camera_info."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sam2_ros.errors import RecordingError
from sam2_ros.messages import DEPTH_TYPES
from sam2_ros.recordings.bags.topics import CAMERA_INFO, DEPTH_TRANSPORTS, depth_base_of

if TYPE_CHECKING:
    from sam2_ros.recordings.bags.bag import Bag


class DepthTopics(NamedTuple):
    """Of the depth images, and of camera_info, "" where there is none; info: its first message, None without any."""

    depth: str
    camera_info: str
    info: Any


def depth_topics_of(bag: Bag, transport: str = "auto") -> DepthTopics | None:
    """The topics of depth that belongs to the camera's images; None where the bag holds none.

    As in the node, raw depth goes before compressed depth, unless ``transport`` names one of them, and depth in
    another frame than the images does not count where there is a choice.  Raises RecordingError where several topics
    may be meant.
    """
    depth = _depth_topic(bag, transport)
    if not depth:
        return None
    camera_info = _camera_info_topic(bag, depth)
    return DepthTopics(depth, camera_info, _first(bag, camera_info) if camera_info else None)


def _depth_topic(bag: Bag, transport: str) -> str:
    frames = {topic.name: "" for topic in bag.source.topics if topic.has_images and topic.count}
    bases = {depth_base_of(bag.depth_topic)}
    if not bag.depth_topic:
        frames = {name: frame for name in frames if (frame := _frame_of_depth(bag, name)) is not None}
        bases = {depth_base_of(name) for name in frames}
    if len(bases) > 1:
        expected = _frame_of(_first(bag, bag.image_topic))
        bases = {depth_base_of(name) for name, frame in frames.items() if frame in ("", expected)} or bases
    ends = DEPTH_TRANSPORTS.values() if transport == "auto" else (DEPTH_TRANSPORTS[transport],)
    there = [next((base + end for end in ends if base + end in frames), "") for base in sorted(bases)]
    found = [name for name in there if name]
    if len(found) > 1:
        raise RecordingError(
            f"{bag.path} holds several depth images that may be those of {bag.image_topic}: {', '.join(found)}; "
            "choose with --depth-topic"
        )
    return found[0] if found else ""


def _camera_info_topic(bag: Bag, depth: str) -> str:
    """Beside the images, beside the depth that is registered to them, or the only one."""
    there = [topic.name for topic in bag.source.topics if topic.type == CAMERA_INFO and topic.count]
    beside = [_beside(bag.image_topic.removesuffix("/compressed")), _beside(depth_base_of(depth))]
    only = there if len(there) == 1 else []
    return next((name for name in (bag.camera_info_topic, *beside, *only) if name in there), "")


def _frame_of_depth(bag: Bag, topic: str) -> str | None:
    """The frame of a topic with depth; None for other images, such as a picture of depth for people."""
    if "depth" not in topic.lower() or topic in (bag.image_topic, bag.truth_topic):
        return None
    message = _first(bag, topic)
    if getattr(message, "encoding", "") in DEPTH_TYPES or "compressedDepth" in getattr(message, "format", ""):
        return _frame_of(message)
    return None


def _first(bag: Bag, topic: str) -> Any:
    """The first message of a topic that can be read; None without any."""
    for stored in bag.source.messages({topic}, []):
        try:
            return stored.decode()
        except RecordingError:
            continue
    return None


def _frame_of(message: Any) -> str:
    return str(message.header.frame_id).lstrip("/") if message is not None else ""


def _beside(topic: str) -> str:
    return f"{topic.rpartition('/')[0]}/camera_info"
