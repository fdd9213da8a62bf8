"""Publishes tracks as messages.

Every message has the stamp and the frame id of its camera image.  Pictures are made only while they
have a subscriber.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from rclpy.node import Node as RosNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from sam2_ros.drawing import overlay
from sam2_ros.geometry.fields import fill_position
from sam2_ros.geometry.positions import Position, distances
from sam2_ros.messages import fill_compressed, fill_object, seconds_and_rest
from sam2_ros.msg import Box, TrackedObject, TrackedObjectArray
from sam2_ros.msg import Prompt as PromptMessage
from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.outputs_3d import Outputs3D
from sam2_ros.ros.outputs_masks import MaskOutputs, mask_image
from sam2_ros.ros.outputs_vision import VisionOutputs
from sam2_ros.ros.parameters import Parameters
from sam2_ros.stream.session import Applied, View
from sam2_ros.stream.worker import Result
from sam2_ros.types import Frame, Prompt, Track, label_image

#: Applied prompts that are kept for a slow subscriber; a detector finds many objects at once.
PROMPTS = 50


def header_of(stamp: int, frame_id: str) -> Header:
    """The header of the image of a stamp in nanoseconds."""
    seconds, rest = seconds_and_rest(stamp)
    return Header(stamp=Time(sec=seconds, nanosec=rest), frame_id=frame_id)


def tracked_object(track: Track, header: Header, position: Position | None = None) -> TrackedObject:
    """A track as a message; box and centroid are zeros while the object is not seen."""
    return fill_position(fill_object(TrackedObject(header=header), track), position)


def prompt_message(prompt: Prompt, name: str, header: Header, bridge: Bridge = Bridge()) -> PromptMessage:
    """A prompt for the object ``name`` on the image of ``header``."""
    message = PromptMessage(
        header=header,
        name=name,
        replace=prompt.replace,
        labels=prompt.labels.tolist(),
        points=[Point(x=float(x), y=float(y)) for x, y in prompt.points],
    )
    if prompt.box is not None:
        message.box = [Box(**dict(zip(("x0", "y0", "x1", "y1"), prompt.box)))]
    if prompt.mask is not None:
        message.mask = mask_image(prompt.mask, header, bridge)
    return message


class Outputs:
    """The publishers of one node."""

    def __init__(self, node: RosNode, parameters: Parameters, bridge: Bridge = Bridge()) -> None:
        self._parameters = parameters
        self._bridge = bridge
        # Reliable reaches every kind of subscriber, RViz and recorders included.
        self._qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._objects = self._publisher(node, TrackedObjectArray, "~/objects")
        self._applied = node.create_publisher(PromptMessage, "~/prompt/applied", QoSProfile(depth=PROMPTS))
        self._masks = self._publisher(node, Image, "~/masks")
        self._packed_masks = self._publisher(node, CompressedImage, "~/masks/compressed")
        self._overlay = self._publisher(node, Image, "~/overlay")
        self._packed_overlay = self._publisher(node, CompressedImage, "~/overlay/compressed")
        self._in_3d = Outputs3D(node, parameters)
        self._of_vision = VisionOutputs(node)
        self._single_masks = MaskOutputs(node, parameters, bridge)

    def publish_prompt(self, prompt: Prompt, applied: Applied) -> None:
        """Publish an applied prompt with its object's name and its image, so that it can be recorded.

        Clicks, detections and service calls can be replayed only from this.
        """
        header = header_of(applied.stamp, applied.frame_id)
        self._applied.publish(prompt_message(prompt, applied.track.name, header, self._bridge))

    @property
    def masks_topic(self) -> str:
        """Fully qualified, for log lines."""
        return self._masks.topic_name

    def publish_masks(self, view: View) -> None:
        """Publish the masks of an image, each topic only while it has a subscriber."""
        if view.frame is None:
            return  # no image has come yet
        header = header_of(view.frame.stamp, view.frame.frame_id)
        self._publish_labels(view.frame, view.tracks, header)
        self._single_masks.publish(view.tracks, header)

    def publish(self, result: Result) -> None:
        """Publish the rest of a result: the objects always, everything else only while it has a subscriber."""
        frame, tracks, positions = result.view.frame, result.view.tracks, result.located.positions
        if frame is None:
            return  # no image has come yet
        header = header_of(frame.stamp, frame.frame_id)
        self._objects.publish(
            TrackedObjectArray(
                header=header,
                objects=[tracked_object(track, header, positions.get(track.id)) for track in tracks],
                processing_time=result.seconds,
                dropped_frames=result.dropped,
            )
        )
        self._publish_overlay(frame, tracks, header, positions)
        self._in_3d.publish(frame, tracks, header, result.located)
        self._of_vision.publish(tracks, header, positions)

    def _publish_labels(self, frame: Frame, tracks: Sequence[Track], header: Header) -> None:
        plain, packed = _wanted(self._masks), _wanted(self._packed_masks)
        if not plain and not packed:
            return
        labels = label_image(tracks, frame.size)
        if plain:
            self._masks.publish(self._bridge.fill(Image(header=header), labels))
        if packed:  # never JPEG: it invents ids along the edges
            self._packed_masks.publish(fill_compressed(CompressedImage(header=header), labels))

    def _publish_overlay(
        self, frame: Frame, tracks: Sequence[Track], header: Header, positions: Mapping[int, Position]
    ) -> None:
        plain, packed = _wanted(self._overlay), _wanted(self._packed_overlay)
        if not plain and not packed:
            return
        picture = overlay(frame.image, tracks, notes=distances(positions))
        if plain:
            self._overlay.publish(self._bridge.fill(Image(header=header), picture))
        if packed:
            quality = self._parameters.node.overlay_jpeg_quality
            self._packed_overlay.publish(fill_compressed(CompressedImage(header=header), picture, quality))

    def _publisher(self, node: RosNode, kind: type, topic: str) -> Publisher:
        return node.create_publisher(
            kind, topic, self._qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )


def _wanted(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0
