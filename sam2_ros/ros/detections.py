"""Boxes of a detector: vision_msgs/Detection2DArray on ``detections``, where that package is installed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import qos_profile_sensor_data

from sam2_ros.messages import nanoseconds
from sam2_ros.ros.diagnosis import WEAK
from sam2_ros.ros.parameters import Parameters
from sam2_ros.stream.association import Box
from sam2_ros.stream.session import Detection

try:
    from vision_msgs.msg import Detection2DArray
except ImportError:  # there is no wheel of it
    Detection2DArray = None

TOPIC = "detections"
NO_NUMBER, NO_SIZE = "with a box that is not finite", "with a box without a size"
NO_SCORE = "with a score that is not a number"


@dataclass(slots=True)
class Tally:
    """How many detections have come since the start, and how many were left out, by reason."""

    boxes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def subscribe(
    node: RosNode,
    parameters: Parameters,
    on_detections: Callable[[list[Detection], int], None],
    tally: Tally | None = None,
) -> bool:
    """Pass detections and the stamp of their image (nanoseconds) on; False if vision_msgs is not installed."""
    tally = tally or Tally()
    if Detection2DArray is None:
        return False

    def on_message(message: Any) -> None:
        found = read(message, parameters.node.detection_score, tally)
        if found:
            on_detections(found, nanoseconds(message.header.stamp))

    # This QoS receives from every publisher.
    node.create_subscription(Detection2DArray, TOPIC, on_message, qos_profile_sensor_data)
    return True


def read(message: Any, least_score: float, tally: Tally | None = None) -> list[Detection]:
    """The detections of a vision_msgs/Detection2DArray whose best score is at least ``least_score``.

    A rotated box becomes the upright box around it.  Boxes without a finite positive size are
    left out; a detection without any hypothesis counts as certain.  tally: counts all of them.
    """
    tally = tally or Tally()
    detections = []
    for detection in message.detections:
        best = max((result.hypothesis for result in detection.results), key=lambda guess: guess.score, default=None)
        box = _upright(detection.bbox)
        score = 1.0 if best is None else best.score
        tally.boxes += 1
        if box is None:
            tally.left_out[_fault(detection.bbox)] += 1
        elif not score >= least_score:
            tally.left_out[NO_SCORE if math.isnan(score) else WEAK] += 1
        else:
            detections.append(Detection(box, name=detection.id, label=best.class_id if best else ""))
    return detections


def centre_of(box: Any) -> Any:
    """What has x and y of the centre of a vision_msgs/BoundingBox2D: vision_msgs 3 keeps them in the centre itself."""
    return getattr(box.center, "position", box.center)


def _fault(box: Any) -> str:
    """Why a box cannot be used."""
    centre = centre_of(box)
    numbers = (centre.x, centre.y, box.center.theta, box.size_x, box.size_y)
    return NO_SIZE if all(map(math.isfinite, numbers)) else NO_NUMBER


def _upright(box: Any) -> Box | None:
    centre = centre_of(box)
    if not math.isfinite(box.center.theta):
        return None
    cosine, sine = abs(math.cos(box.center.theta)), abs(math.sin(box.center.theta))
    width, height = cosine * box.size_x + sine * box.size_y, sine * box.size_x + cosine * box.size_y
    corners = (centre.x - width / 2, centre.y - height / 2, centre.x + width / 2, centre.y + height / 2)
    valid = all(map(math.isfinite, corners)) and width > 0 and height > 0
    return corners if valid else None
