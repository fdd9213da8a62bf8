"""Objects as detections of vision_msgs, which has no wheel: its messages are built by their fields."""

from types import SimpleNamespace as Shape

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry.analytic import box, camera, plane, render
from geometry_msgs.msg import Pose, Vector3

from sam2_ros.geometry.positions import Position
from sam2_ros.geometry.surface import surfaces
from sam2_ros.ros import outputs_vision
from sam2_ros.ros.outputs import header_of
from sam2_ros.ros.outputs_vision import TYPES, VisionOutputs, detections, detections_3d, label_info
from sam2_ros.types import State, Track

HEADER = header_of(5 * 10**9, "optical")


class Message(Shape):
    """A message by its fields; of the boxes and hypotheses those that vision_msgs 4.1 fills in."""


def flat(**fields):
    centre = Message(position=Message(x=0.0, y=0.0), theta=0.0)
    return Message(bbox=Message(center=centre, size_x=0.0, size_y=0.0), **fields)


def solid(**fields):
    return Message(bbox=Message(center=Pose(), size=Vector3()), **fields)


def hypothesis():
    return Message(hypothesis=Message(class_id="", score=0.0), pose=Message(pose=Pose()))


KINDS = dict.fromkeys(TYPES, Message)
KINDS |= {"Detection2D": flat, "Detection3D": solid, "ObjectHypothesisWithPose": hypothesis}


def track(one, name, corners=None, score=2.0):
    mask = np.zeros((60, 80), bool)
    if corners:
        x0, y0, x1, y1 = corners
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    state = State.VISIBLE if corners else State.OCCLUDED
    return Track(one, name, state, not corners, mask, score, 1.0, np.zeros(1, np.float32), 0, 1)


def test_each_object_that_is_seen_is_a_box_with_its_id_its_name_and_its_probability():
    array = detections(KINDS, HEADER, [track(3, "cup", (10, 20, 19, 24)), track(4, "hidden", score=-3.0)])
    (one,) = array.detections
    assert array.header == one.header == HEADER and one.id == "3"
    place, (guess,) = one.bbox.center.position, one.results
    assert (place.x, place.y, one.bbox.size_x, one.bbox.size_y) == (14.5, 22.0, 10.0, 5.0)
    assert guess.hypothesis.class_id == "cup" and guess.hypothesis.score == pytest.approx(0.8808, abs=1e-4)


def test_an_image_without_objects_is_an_empty_array():
    assert detections(KINDS, HEADER, []).detections == [] == detections_3d(KINDS, HEADER, [], {}).detections


def test_the_box_of_vision_msgs_3_keeps_its_centre_without_a_position():
    old = {**KINDS, "Detection2D": lambda **fields: Message(bbox=Message(center=Message(x=0.0, y=0.0)), **fields)}
    (one,) = detections(old, HEADER, [track(3, "cup", (10, 20, 19, 24))]).detections
    assert (one.bbox.center.x, one.bbox.center.y) == (14.5, 22.0)


def test_only_what_was_measured_on_this_image_is_a_box_in_metres():
    labels, depth = render([box((0.1, 0.0, 1.0), (0.3, 0.1, 0.02)), plane((0, 0, 1), (0, 0, 2.0))])
    surface = surfaces(np.where(labels == 1, 1, 0).astype(np.uint8), depth, camera())[1]
    positions = {1: Position(surface, 0.0), 2: Position(surface, 1.5)}
    array = detections_3d(KINDS, HEADER, [track(1, "book"), track(2, "cup"), track(3, "pen")], positions)
    (one,) = array.detections
    assert one.id == "1" and one.results[0].hypothesis.class_id == "book"
    assert one.bbox.center.position.z == pytest.approx(surface.box_centre[2])
    assert one.results[0].pose.pose.position.x == pytest.approx(surface.position[0])
    assert one.bbox.size.x == pytest.approx(0.3, abs=0.03)


def test_names_of_ids_are_those_of_the_label_image():
    info = label_info(KINDS, HEADER, [(1, "cup"), (2, "book")])
    assert [(one.class_id, one.class_name) for one in info.class_map] == [(1, "cup"), (2, "book")]


class Publisher(list):
    def __init__(self, kind, topic, qos):
        self.topic, self.qos, self.subscribers = topic, qos, 0

    def publish(self, message):
        self.append(message)

    def get_subscription_count(self):
        return self.subscribers


def opened(monkeypatch, missing=None):
    made = {}

    def create(*arguments):
        made[arguments[1]] = Publisher(*arguments)
        return made[arguments[1]]

    monkeypatch.setattr(
        outputs_vision, "message_class", lambda kind: None if kind == missing else KINDS[kind.rpartition("/")[2]]
    )
    return VisionOutputs(Shape(create_publisher=create)), made


def test_detections_are_made_only_for_subscribers_and_labels_when_they_change(monkeypatch):
    outputs, made = opened(monkeypatch)
    cup, book = track(1, "cup", (1, 1, 5, 5)), track(2, "book", (10, 10, 15, 15))
    for tracks in ([], [cup], [cup], [cup, book], [book]):
        outputs.publish(tracks, HEADER, {})
    assert [[one.class_name for one in info.class_map] for info in made["~/label_info"]] == [
        [],
        ["cup"],
        ["cup", "book"],
        ["book"],
    ]
    assert made["~/label_info"].qos.durability.name == "TRANSIENT_LOCAL"
    assert made["~/detections"] == made["~/detections_3d"] == []
    made["~/detections"].subscribers = made["~/detections_3d"].subscribers = 1
    outputs.publish([cup], HEADER, {})
    assert len(made["~/detections"]) == len(made["~/detections_3d"]) == 1


def test_without_vision_msgs_there_are_no_such_topics(monkeypatch):
    outputs, made = opened(monkeypatch, missing="vision_msgs/msg/LabelInfo")
    outputs.publish([track(1, "cup", (1, 1, 5, 5))], HEADER, {})
    assert made == {}
