"""A simulated operator: clicks one object, draws a box around a second, and corrects the one with the worst mask.

The operator knows the ground truth, in place of a person who sees the camera image and the masks.
It uses only the node's own topics and services.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sam2_ros import simulated_user
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.messages import nanoseconds, seconds_and_rest
from sam2_ros.msg import Box, TrackedObject, TrackedObjectArray
from sam2_ros.msg import Prompt as PromptMessage
from sam2_ros.srv import Prompt as PromptService


@dataclass(slots=True)
class Seen:
    """What the node said about one image."""

    labels: np.ndarray | None = None  # (H, W) ids
    objects: dict[str, TrackedObject] = field(default_factory=dict)  # by name
    latency: float = 0.0  # seconds from the image's stamp to the mask's arrival

    def mask(self, number: int) -> np.ndarray:
        """(H, W) bool: the pixels of one object."""
        return np.asarray(self.labels == number)


@dataclass(slots=True)
class Operator:
    """Talks to a node called ``sam2_ros``.

    truth: masks of the recording by object name and image index, {name: (frames, H, W) bool}.
    """

    node: Node
    truth: dict[str, np.ndarray]
    names: list[str]
    start: int = 0  # stamp of image 0 and nanoseconds between images, once the camera runs
    period: int = 1
    seen: dict[int, Seen] = field(default_factory=dict)  # by image index
    said: list[str] = field(default_factory=list)
    corrected: int | None = None  # image index of the correction
    _client: Client = field(init=False)  # of the node's service

    def __post_init__(self) -> None:
        self._client = self.node.create_client(PromptService, "sam2_ros/prompt")
        self.node.create_subscription(Image, "sam2_ros/masks", self._on_masks, QoSProfile(depth=50))
        self.node.create_subscription(TrackedObjectArray, "sam2_ros/objects", self._on_objects, QoSProfile(depth=50))

    def ready(self) -> bool:
        """Whether the node answers."""
        return bool(self._client.service_is_ready())

    def select(self) -> None:
        """On image 0: one click for the first object, a box for the second."""
        clicked, boxed = self.names[:2]
        self._click(clicked, 0, simulated_user.first_click(self.truth[clicked][0]))
        x0, y0, x1, y1 = simulated_user.box_around(self.truth[boxed][0])
        self._ask(boxed, 0, PromptMessage(name=boxed, box=[Box(x0=x0, y0=y0, x1=x1, y1=y1)]), "box")

    def correct_if_due(self, due: int) -> None:
        """Once, from image ``due`` on: a click where the worst of the tracked objects is most wrong."""
        index = max((i for i, seen in self.seen.items() if seen.labels is not None and seen.objects), default=-1)
        if self.corrected is not None or index < due:
            return
        newest = self.seen[index]
        found = {name: newest.mask(tracked.id) for name, tracked in newest.objects.items()}
        visible = [name for name in found if self.truth[name][index].any()]
        if not visible:
            return
        worst = min(visible, key=lambda name: region_similarity(found[name], self.truth[name][index]))
        click = simulated_user.next_click(self.truth[worst][index], found[worst])
        if click is not None:
            self.corrected = index
            self._click(worst, index, click)

    def _click(self, name: str, index: int, click: simulated_user.Click) -> None:
        (x, y), label = click
        message = PromptMessage(name=name, points=[Point(x=float(x), y=float(y))], labels=[label])
        self._ask(name, index, message, "click" if label else "negative click")

    def _ask(self, name: str, index: int, message: PromptMessage, kind: str) -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = seconds_and_rest(self.start + index * self.period)
        future: Any = self._client.call_async(PromptService.Request(prompt=message))
        future.add_done_callback(
            lambda done: self.said.append(f"image {index}: {kind} for {name}: {done.result().message}")
        )

    # -- what the node says --------------------------------------------------------------------

    def _at(self, header: Header) -> Seen:
        index = round((nanoseconds(header.stamp) - self.start) / self.period)
        return self.seen.setdefault(index, Seen())

    def _on_masks(self, message: Image) -> None:
        kind = np.uint16 if message.encoding == "mono16" else np.uint8
        seen = self._at(message.header)
        first = seen.labels is None
        seen.labels = np.frombuffer(message.data, kind).reshape(message.height, -1)[:, : message.width]
        if first:
            seen.latency = (Clock().now().nanoseconds - nanoseconds(message.header.stamp)) / 1e9

    def _on_objects(self, message: TrackedObjectArray) -> None:
        self._at(message.header).objects = {tracked.name: tracked for tracked in message.objects}
