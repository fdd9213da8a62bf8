"""Markers, frames and points by their fields; a stand-in for the class Marker, which not every wheel set has."""

from types import SimpleNamespace as Shape

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry.analytic import box, camera, plane, render
from sensor_msgs.msg import PointField

from sam2_ros.geometry.cloud import POINT
from sam2_ros.geometry.positions import Position
from sam2_ros.geometry.surface import surfaces
from sam2_ros.ros.outputs import header_of
from sam2_ros.ros.outputs_3d import frames, markers, point_cloud
from sam2_ros.types import State, Track

HEADER = header_of(5 * 10**9, "optical")


class Marker(Shape):
    """A visualization_msgs/Marker by its fields, with the numbers of its definition."""

    ADD, DELETEALL, CUBE, TEXT_VIEW_FACING = 0, 3, 1, 9

    def __init__(self, **fields):
        pose = Shape(position=Shape(x=0.0, y=0.0, z=0.0), orientation=Shape(x=0.0, y=0.0, z=0.0, w=1.0))
        super().__init__(pose=pose, scale=Shape(x=0.0, y=0.0, z=0.0), color=Shape(r=0.0, g=0.0, b=0.0, a=0.0), **fields)


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
