"""Finds the purpose of the topics of a bag by their types and names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sam2_ros.files import some_of

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
PROMPT = "sam2_ros/msg/Prompt"
OBJECTS = "sam2_ros/msg/TrackedObjectArray"
#: Ends of topics with depth, by the transport of their images.
DEPTH_TRANSPORTS = {"raw": "", "compressed": "/compressedDepth"}
#: End of the topic on which a node publishes every prompt that it applied: messages, clicks and service calls.
APPLIED = "/applied"
#: An error lists at most this many topics.
MOST_LISTED = 20
#: Parts of topic names that no camera has: results, ground truth and a transport.  Nor has it "depth" in its name.
_NO_CAMERA = {"masks", "overlay", "truth", "ground_truth", "labels", "theora"}
_TRUTH = {"truth", "ground_truth"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a bag and its number of messages."""

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.type.rsplit('/', 1)[-1]}, {self.count} messages)"

    @property
    def has_images(self) -> bool:
        """Whether its type is that of images, compressed or not."""
        return self.type in (IMAGE, COMPRESSED)


def listed(topics: Sequence[Topic]) -> str:
    """Topics for an error message."""
    return some_of(topics, MOST_LISTED) or "none"


def cameras_in(topics: Iterable[Topic]) -> set[str]:
    """The topics with images of a camera, raw and compressed ones."""
    return {
        topic.name
        for topic in topics
        if topic.has_images
        and topic.count
        and not _NO_CAMERA & set(topic.name.split("/"))
        and "depth" not in topic.name.lower()
    }


def one_transport_of(cameras: set[str]) -> list[str]:
    """One topic for each camera: the raw one where there is a raw and a compressed one."""
    return [
        name for name in cameras if not name.endswith("/compressed") or name.removesuffix("/compressed") not in cameras
    ]


def depth_base_of(topic: str) -> str:
    """The name of a depth topic without its transport."""
    return topic.removesuffix(DEPTH_TRANSPORTS["compressed"])


def truths_of(camera: str, topics: Sequence[Topic]) -> list[str]:
    """The topics with ground truth of a camera: in its nearest namespace, else in none of another camera."""
    spaces = {topic.name: _truth_namespace(topic.name) for topic in topics if topic.has_images and topic.count}
    near = [space for space in spaces.values() if space and camera.startswith(space)]
    if near:
        found = [name for name, space in spaces.items() if space == max(near, key=len)]
    else:
        cameras = cameras_in(topics)
        found = [
            name for name, space in spaces.items() if space and not any(other.startswith(space) for other in cameras)
        ]
    return [name for name in found if name.rpartition("/")[0] not in found]  # not "compressed" beside the raw one


def _truth_namespace(topic: str) -> str:
    """What comes before "truth" or "ground_truth" as the last or second last part of a name; "" for other names."""
    parts = topic.split("/")
    place = next((place for place in range(max(len(parts) - 2, 0), len(parts)) if parts[place] in _TRUTH), None)
    return "" if place is None else "/".join(parts[:place]) + "/"


def prompts_in(topics: Iterable[Topic]) -> set[str]:
    """The topics with prompts: those that nodes applied if they were recorded, else those that nodes received."""
    prompts = {topic.name for topic in topics if topic.type == PROMPT and topic.count}
    return {name for name in prompts if name.endswith(APPLIED)} or prompts


def node_of(prompts: str) -> str:
    """The node that a topic of prompts belongs to."""
    return prompts.removesuffix(APPLIED).removesuffix("/prompt")
