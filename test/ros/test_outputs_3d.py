"""Markers, frames and points by their fields, and when they are published; see ``outputs_3d_bench``."""

from types import SimpleNamespace as Shape

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from geometry.analytic import box, camera, plane, render
from outputs_3d_bench import FRAMES, MARKERS, Marker, Published
from ros_bench import labels_in
from sensor_msgs.msg import Image, PointCloud2, PointField
from waiting import wait_until

from sam2_ros.geometry.cloud import POINT
from sam2_ros.geometry.locator import Located, Locator
from sam2_ros.geometry.positions import Position
from sam2_ros.geometry.surface import surfaces
from sam2_ros.msg import TrackedObjectArray
from sam2_ros.ros.outputs import Outputs, header_of
from sam2_ros.ros.outputs_3d import frames, markers, point_cloud
from sam2_ros.stream.session import View
from sam2_ros.stream.worker import Result
from sam2_ros.types import Frame, State, Track

HEADER = header_of(5 * 10**9, "optical")


@pytest.fixture(scope="module")
def surface():
    labels, depth = render([box((0.1, 0.0, 1.0), (0.3, 0.1, 0.02)), plane((0, 0, 1), (0, 0, 2.0))])
    return surfaces(np.where(labels == 1, 1, 0).astype(np.uint8), depth, camera())[1]


def track(one, name):
    return Track(one, name, State.VISIBLE, False, np.zeros((2, 2), bool), 1.0, 1.0, np.zeros(1, np.float32), 0, 1)


def test_each_object_with_a_position_has_a_box_and_a_name(surface):
    tracks = [track(1, "cup"), track(2, "new")]
    first, cube, name = markers(Marker, HEADER, tracks, {1: Position(surface)})
    assert first.action == Marker.DELETEALL and (cube.action, name.action) == (Marker.ADD, Marker.ADD)
    assert (cube.ns, cube.id, cube.type) == ("box", 1, Marker.CUBE) and cube.header is HEADER
    assert (cube.scale.x, cube.scale.y) == pytest.approx((0.3, 0.1), abs=0.01) and cube.scale.z > 0
    assert cube.pose.position.x == pytest.approx(0.1, abs=0.005)
    assert name.text == "cup" and name.pose.position.y < -0.05 and name.color.a == 1


def test_an_earlier_position_is_faint_and_says_how_old_it_is(surface):
    _, now, _ = markers(Marker, HEADER, [track(1, "cup")], {1: Position(surface)})
    _, before, name = markers(Marker, HEADER, [track(1, "cup")], {1: Position(surface, 2.04)})
    assert 0 < before.color.a < now.color.a and name.text == "cup (2.0 s ago)"


def test_only_what_was_measured_on_this_image_is_a_frame(surface):
    (transform,) = frames(HEADER, {1: Position(surface), 2: Position(surface, 0.5)})
    assert transform.header == HEADER and transform.child_frame_id == "optical/object/1"
    assert transform.transform.translation.z == pytest.approx(0.99, abs=0.005)
    assert transform.transform.rotation.w == 1.0


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_points_are_described_as_they_lie_in_memory(shape):
    points = np.zeros(shape, POINT)
    points["z"], points["label"] = 1.5, 7
    cloud = point_cloud(HEADER, points)
    assert (cloud.height, cloud.width) == (1, 6) if len(shape) == 1 else (2, 3)
    assert cloud.is_dense == (len(shape) == 1) and cloud.row_step == cloud.width * cloud.point_step
    assert len(cloud.data) == cloud.height * cloud.row_step
    z, label = (next(field for field in cloud.fields if field.name == name) for name in ("z", "label"))
    data = bytes(cloud.data)
    assert z.datatype == PointField.FLOAT32 and np.frombuffer(data, "<f4", 1, z.offset)[0] == 1.5
    assert label.datatype == PointField.UINT32 and np.frombuffer(data, "<u4", 1, label.offset)[0] == 7


# -- publishers ------------------------------------------------------------------------------------


class World(Published):
    """The outputs in 3-D, and their parameters."""

    def __init__(self, monkeypatch, missing=()):
        self.settings, self.stamp = Shape(object_frames=False, organized_points=False), 0
        super().__init__(monkeypatch, Shape(node=self.settings), missing)

    def publish(self, tracks, positions):
        self.publish_again(self.stamp + 10**9, tracks, positions)

    def publish_again(self, stamp, tracks, positions):
        self.stamp = stamp
        frame = Frame(np.zeros((2, 2, 3), np.uint8), stamp, "optical")
        self.outputs.publish(frame, tracks, header_of(stamp, "optical"), Located(positions))


def test_markers_are_published_only_while_somebody_subscribes(monkeypatch, surface):
    world = World(monkeypatch)
    world.publish([track(1, "cup")], {1: Position(surface)})
    assert world.topics["~/markers"] == []
    world.topics["~/markers"].subscribers = 1
    world.publish([track(1, "cup"), track(2, "new")], {1: Position(surface)})
    (array,) = world.topics["~/markers"]
    assert [one.action for one in array.markers] == [Marker.DELETEALL, Marker.ADD, Marker.ADD]
    assert [one.text for one in array.markers if one.action == Marker.ADD and one.ns == "name"] == ["cup"]
    assert all(one.header == header_of(world.stamp, "optical") for one in array.markers)


def test_boxes_that_were_shown_are_deleted_when_no_object_is_left(monkeypatch):
    world = World(monkeypatch)
    world.topics["~/markers"].subscribers = 1
    world.publish([], {})
    assert [one.action for one in world.topics["~/markers"][0].markers] == [Marker.DELETEALL]


def test_frames_are_published_only_with_the_parameter(monkeypatch, surface):
    world = World(monkeypatch)
    world.publish([track(1, "cup")], {1: Position(surface)})
    assert "/tf" not in world.topics
    world.settings.object_frames = True
    world.publish([track(1, "cup")], {})
    assert "/tf" not in world.topics
    for _ in range(2):
        world.publish([track(1, "cup"), track(2, "can")], {1: Position(surface), 2: Position(surface, 0.5)})
    first, _ = world.topics["/tf"]
    (transform,) = first.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("optical", "optical/object/1")
    world.settings.object_frames = False
    world.publish([track(1, "cup")], {1: Position(surface)})
    assert len(world.topics["/tf"]) == 2


def test_an_image_that_is_published_again_sends_only_the_frames_that_are_new(monkeypatch, surface):
    world = World(monkeypatch)
    world.settings.object_frames = True
    world.publish([track(1, "cup")], {1: Position(surface)})
    world.publish_again(world.stamp, [track(1, "cup"), track(2, "can")], {1: Position(surface), 2: Position(surface)})
    world.publish_again(world.stamp, [track(1, "cup"), track(2, "can")], {1: Position(surface), 2: Position(surface)})
    sent = [[one.child_frame_id for one in message.transforms] for message in world.topics["/tf"]]
    assert sent == [["optical/object/1"], ["optical/object/2"]]


def test_without_the_packages_there_are_points_only(monkeypatch, surface):
    world = World(monkeypatch, missing=MARKERS + FRAMES)
    world.settings.object_frames = True
    world.publish([track(1, "cup")], {1: Position(surface)})
    assert list(world.topics) == ["~/points"]


def test_a_thousand_objects_with_positions_are_published_at_once(node, monkeypatch):
    """Over real topics; markers are not among the wheels."""
    row, column = np.indices((240, 320))
    cells = row // 8 * 40 + column // 8
    cells = np.where(cells < 1000, cells + 1, 0).astype(np.uint16)
    tracks = [
        Track(one, f"object {one}", State.VISIBLE, False, cells == one, 1.0, 1.0, np.zeros(4, np.float32), 0, 1)
        for one in range(1, 1001)
    ]
    locator = Locator()
    locator.camera = camera()
    locator.put(5 * 10**9, lambda: (1000 + cells).astype(np.uint16))
    located = locator.locate(5 * 10**9, tracks, cells.shape)

    settings = Shape(object_frames=False, organized_points=False, mask_topics=False)
    outputs = Outputs(node, Shape(node=settings))
    beside = World(monkeypatch)
    beside.topics["~/markers"].subscribers = 1
    came = {}
    for kind, name in ((TrackedObjectArray, "objects"), (Image, "masks"), (PointCloud2, "points")):
        topic = f"/{node.get_name()}/{name}"
        node.create_subscription(kind, topic, lambda message, name=name: came.update({name: message}), 1)
    wait_until(lambda: outputs._in_3d._points.get_subscription_count(), "the subscription to points")
    wait_until(lambda: outputs._masks.get_subscription_count(), "the subscription to masks")
    wait_until(lambda: outputs._objects.get_subscription_count(), "the subscription to objects")

    frame = Frame(np.zeros((*cells.shape, 3), np.uint8), 5 * 10**9, "optical")
    outputs.publish_masks(View(frame, tracks))
    outputs.publish(Result(View(frame, tracks), 0.1, 0, located))
    beside.publish(tracks, located.positions)
    wait_until(lambda: rclpy.spin_once(node, timeout_sec=0.1) or len(came) == 3, "the three messages")

    objects = came["objects"].objects
    assert len(objects) == 1000 and all(one.has_position and one.position_age == 0 for one in objects)
    assert [objects[one - 1].position.z for one in (1, 500, 1000)] == pytest.approx([1.001, 1.5, 2.0], abs=1e-3)
    assert (labels_in(came["masks"]) == cells).all()
    points = np.frombuffer(came["points"].data, POINT)
    assert len(points) == np.count_nonzero(cells) and len(set(points["label"])) == 1000
    assert len(beside.topics["~/markers"][0].markers) == 1 + 2 * 1000
