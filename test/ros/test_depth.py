"""Depth beside the images: paired, measured, published; and what it must not disturb."""

import importlib.util
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from fakes import RED, ColourModel
from geometry.test_pairing import TABLE, pairs_of
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from outputs_3d_bench import Published
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from ros_bench import MILLISECOND, ON_RED, SCENE, SIZE, image_message, scene, set_stamp, stamp_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from waiting import wait_until

from sam2_ros.geometry.cloud import POINT
from sam2_ros.messages import fill_image
from sam2_ros.msg import TrackedObject
from sam2_ros.ros import depth as depth_module
from sam2_ros.ros import pacing
from sam2_ros.ros.node import UPDATE

FOCAL = 100.0
#: Seconds that depth may be late: this machine may be slow.
PATIENT = 5.0
assert hasattr(TrackedObject(), "has_position"), "the messages changed: install again"


# -- pairing -------------------------------------------------------------------------------------


@pytest.fixture
def filters(monkeypatch):
    path = Path(__file__).parent / "stand_ins" / "message_filters.py"
    spec = importlib.util.spec_from_file_location("message_filters", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(depth_module, "message_filters", module)
    return module


@pytest.mark.parametrize("name", TABLE)
def test_message_filters_makes_the_pairs_of_the_same_table(filters, name):
    arrivals, pairs = TABLE[name]
    assert pairs_of(arrivals, depth_module.Synchronizer) == pairs


def test_message_filters_is_used_where_it_is_installed(filters):
    assert isinstance(depth_module.pairs(print, 1), depth_module.Synchronizer)


def test_message_filters_lets_images_wait_for_late_depth_and_keeps_few_depth_images(filters):
    late = " ".join(f"i{33 * number}" for number in range(100)) + " d0 d3267"
    early = " ".join(f"d{40 * number}" for number in range(12)) + " i0 i80"
    assert pairs_of(late, depth_module.Synchronizer) == [(0, 0), (3267, 3267)]
    assert pairs_of(early, depth_module.Synchronizer) == [(80, 80)]


def test_without_it_our_own_rule_is_used(monkeypatch):
    monkeypatch.setattr(depth_module, "message_filters", None)
    assert isinstance(depth_module.pairs(print, 1), depth_module.Pairing)


def test_equal_stamps_are_a_pair_without_any_tolerance(filters):
    found = []
    for make in (depth_module.Synchronizer, depth_module.Pairing):
        pairing = make(lambda image, depth: found.append((image, depth)), 0)
        pairing.image(5), pairing.depth(5, "depth"), pairing.image(7), pairing.depth(8, "other")
    assert found == [(5, "depth")] * 2


# -- a node with depth ---------------------------------------------------------------------------


class DepthCamera:
    """Publishes camera_info, and depth of a wall with the red square in front of it."""

    def __init__(self, bench, kind=Image, topic="/depth"):
        self.bench = bench
        self.info = bench.ros.create_publisher(CameraInfo, "/camera_info", 10)
        self.depth = bench.ros.create_publisher(kind, topic, qos_profile_sensor_data)

    def picture(self, metres=1.0, size=SIZE):
        depth = np.full(size, 2000, np.uint16)
        x, y = SCENE[RED]
        across, down = size[1] / SIZE[1], size[0] / SIZE[0]
        depth[round(y * down) : round((y + 16) * down), round(x * across) : round((x + 16) * across)] = metres * 1000
        return depth

    def message(self, stamp, depth, frame_id="camera"):
        message = fill_image(Image(), depth)
        message.encoding = "16UC1"
        set_stamp(message.header, stamp, frame_id)
        return message

    def calibrate(self, size=SIZE):
        height, width = size
        k = [FOCAL, 0.0, (width - 1) / 2, 0.0, FOCAL, (height - 1) / 2, 0.0, 0.0, 1.0]
        info = CameraInfo(width=width, height=height, k=k, d=[], distortion_model="plumb_bob")
        set_stamp(info.header, 1, "camera")
        self.info.publish(info)


@pytest.fixture(scope="module")
def cameras(shared):
    camera = DepthCamera(shared)
    subscribed(camera)
    camera.calibrate()
    set_timeout(shared, PATIENT)
    return camera


def subscribed(camera):
    wait_until(lambda: camera.depth.get_subscription_count(), "the node to subscribe to depth")
    wait_until(lambda: camera.info.get_subscription_count(), "the node to subscribe to camera_info")


def set_timeout(bench, seconds):
    """How late depth may be."""
    bench.node.set_parameters([Parameter("depth_timeout", value=seconds)])
    wait_until(lambda: bench.node.depth._locator._settings.depth_timeout == seconds, "the parameter to be taken")


@pytest.fixture
def impatient(bench):
    """Seconds that depth may be late in one test."""
    set_timeout(bench, 0.05)
    yield 0.05
    set_timeout(bench, PATIENT)


@pytest.fixture
def parameter(bench):
    """Sets parameters for one test."""
    before = {}

    def change(name, value):
        before[name] = bench.node.get_parameter(name)
        assert bench.node.set_parameters([Parameter(name, value=value)])[0].successful

    yield change
    bench.node.set_parameters(list(before.values()))


@pytest.fixture
def camera(bench, cameras):
    """The depth camera of a node that tracks one object, whose first position is known."""
    bench.start()
    shown_with(bench, cameras, cameras.picture())  # from the first depth on images wait for theirs
    return cameras


def test_depth_that_nobody_waits_for_is_counted_and_costs_the_executor_no_turn(bench, camera, monkeypatch):
    located(bench, shown_with(bench, camera, camera.picture()))
    turns, spend = [], pacing.Pace.spend
    monkeypatch.setattr(pacing.Pace, "spend", lambda pace: turns.append(pace) or spend(pace))
    received = bench.node.depth.received
    for number in range(1, 31):
        camera.depth.publish(camera.message(bench.clock + number, camera.picture()))
        time.sleep(0.033)
    wait_until(lambda: bench.node.depth.received > received + 10, "the depth to be counted")
    assert bench.node.depth._pulled._pace not in turns


def test_depth_that_comes_after_the_masks_is_read_at_once(bench, camera, monkeypatch):
    monkeypatch.setattr(bench.node.depth, "update", lambda: None)  # it is not only found in the next look at all topics
    for metres in (1.1, 1.2):
        stamp = shown_with(bench, camera, camera.picture(metres), before=False)
        assert located(bench, stamp).position.z == pytest.approx(metres, abs=0.005)


def first(result):
    return result.objects[0]


def shown_with(bench, camera, depth, before=True, frame_id="camera"):
    """Show an image and publish depth of its stamp before or after; the stamp."""
    bench.clock += 33 * MILLISECOND
    message = camera.message(bench.clock, depth, frame_id) if isinstance(depth, np.ndarray) else depth
    if before:
        received = bench.node.depth.received
        camera.depth.publish(message)
        wait_until(lambda: bench.node.depth.received > received, "the depth to arrive")
    bench.show(scene(), bench.clock)
    if not before:
        camera.depth.publish(message)
    return bench.clock


def located(bench, stamp):
    """The object of a stamp once its position is there."""

    def found():
        results = of_stamp(bench, stamp)
        return next((first(one) for one in results if one.objects and first(one).has_position), None)

    return wait_until(found, "a position")


def of_stamp(bench, stamp):
    """The results for one image: a second one may have the position."""
    return [one for one in bench.results if stamp_of(one) == stamp]


@pytest.mark.parametrize("before", [True, False])
def test_an_object_has_a_position_whichever_comes_first(bench, camera, before):
    one = located(bench, shown_with(bench, camera, camera.picture(0.8), before))
    x, y = ((8 + 7.5 - 63.5) / FOCAL * 0.8, (8 + 7.5 - 47.5) / FOCAL * 0.8)
    # The model of the tests sees the square with one of its coarse pixels more or less.
    assert (one.position.x, one.position.y) == pytest.approx((x, y), abs=0.02)
    assert one.position.z == pytest.approx(0.8)
    assert one.position_age == 0 and one.depth_share > 0.6 and one.depth_pixels > 30
    assert one.oriented_box_size.x == pytest.approx((one.box.x1 - one.box.x0 + 1) / FOCAL * 0.8, abs=0.017)
    assert one.extent_low.z == pytest.approx(0.8) and not one.has_velocity


def test_masks_come_without_depth_and_the_last_position_grows_older(bench, camera):
    stamp = shown_with(bench, camera, camera.picture())
    located(bench, stamp)
    later = first(bench.show_next())
    assert later.area and not later.has_position and later.position_age == pytest.approx(0.033, abs=1e-4)
    assert later.position.z == pytest.approx(1.0, abs=0.005)


def test_a_hidden_object_keeps_its_position(bench, camera):
    located(bench, shown_with(bench, camera, camera.picture()))
    bench.clock += 33 * MILLISECOND
    camera.depth.publish(camera.message(bench.clock, camera.picture(2.0)))
    hidden = first(bench.show(scene({}), bench.clock))
    assert hidden.occluded and not hidden.has_position
    assert hidden.position_age > 0 and hidden.position.z == pytest.approx(1.0, abs=0.005)


def test_depth_of_half_the_size_is_used(bench, camera):
    half = camera.picture(0.9, (SIZE[0] // 2, SIZE[1] // 2))
    assert located(bench, shown_with(bench, camera, half)).position.z == pytest.approx(0.9)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda camera, stamp: camera.message(stamp, camera.picture(), "other"), "in the frame 'other'"),
        (lambda camera, stamp: camera.message(stamp, camera.picture(1.0, (50, 128))), "does not show the same"),
        (lambda camera, stamp: image_message(scene(), stamp), "'rgb8' is not one of 16UC1"),
    ],
    ids=["of another frame", "of other proportions", "a picture"],
)
def test_depth_that_cannot_be_used_is_named_and_masks_go_on(bench, camera, damage, words):
    bench.node.depth._throttle.clear()
    stamp = bench.clock + 33 * MILLISECOND
    shown_with(bench, camera, damage(camera, stamp))
    assert first(bench.result(stamp)).area and not first(bench.result(stamp)).has_position
    bench.says("no positions in 3-D", words)


def test_depth_with_the_stamps_of_no_images_is_named_and_masks_go_on(bench, camera):
    bench.node.depth._throttle.clear()
    for _ in range(depth_module.UNPAIRED + 1):
        message = camera.message(bench.clock + 50 * MILLISECOND, camera.picture())
        shown_with(bench, camera, message)
    assert first(bench.results[-1]).area and not first(bench.results[-1]).has_position
    bench.says("no positions in 3-D", "no depth image has the stamp of an image, not even within 0.015 s")


def test_depth_that_stops_is_named_and_used_when_it_comes_again(bench, camera, parameter):
    bench.node.depth._throttle.clear()
    located(bench, shown_with(bench, camera, camera.picture()))
    bench.show_next()
    parameter("silence_after", 0.3)
    bench.says("no positions in 3-D", "depth has stopped, so the last known positions get older")
    later = first(bench.show_next())
    assert later.area and not later.has_position and later.position_age == pytest.approx(0.066, abs=1e-3)
    assert located(bench, shown_with(bench, camera, camera.picture(1.2))).position.z == pytest.approx(1.2)


def test_depth_that_is_switched_off_has_not_stopped(bench, camera, parameter):
    located(bench, shown_with(bench, camera, camera.picture()))
    bench.show_next()
    parameter("depth_transport", "off")
    wait_until(lambda: not bench.node.depth.topic, "the node to subscribe to depth no more")
    said = len(bench.log)
    bench.node.depth._throttle.clear()
    parameter("silence_after", 0.3)
    time.sleep(0.3 + 2 * UPDATE)
    assert first(bench.show_next()).area
    assert not [line for line in bench.log[said:] if "depth has stopped" in line]
    bench.node.set_parameters([Parameter("depth_transport", value="auto")])
    wait_until(lambda: bench.node.depth.topic and camera.depth.get_subscription_count(), "the node to subscribe again")


def test_depth_that_is_computed_for_a_second_updates_the_last_known_position(bench, camera):
    said = len(bench.log)
    bench.node.depth._throttle.clear()
    late, shown = 25, [bench.clock - 33 * MILLISECOND * number for number in range(30, 0, -1)]
    for _ in range(60):
        bench.show_next()
        shown.append(bench.clock)
        camera.depth.publish(camera.message(shown[-1 - late], camera.picture(1.3)))
    wait_until(lambda: first(bench.show_next()).position.z == pytest.approx(1.3, abs=0.005), "the late position")
    newest = first(bench.results[-1])
    assert not newest.has_position and 0.7 < newest.position_age < 1.2
    time.sleep(2 * UPDATE)
    assert not [line for line in bench.log[said:] if "no depth image has the stamp" in line]


def test_depth_that_comes_too_late_is_named_and_not_used(bench, camera, impatient):
    bench.node.depth._throttle.clear()
    located(bench, shown_with(bench, camera, camera.picture()))
    bench.show_next()
    time.sleep(2 * impatient)
    camera.depth.publish(camera.message(bench.clock, camera.picture(2.0)))
    bench.says("no positions in 3-D", "depth came later than 0.05 s after the masks of its image")
    later = first(bench.show_next())
    assert later.area and not later.has_position and later.position_age == pytest.approx(0.066, abs=1e-3)
    assert later.position.z == pytest.approx(1.0, abs=0.005)


def test_between_depth_images_of_a_lower_rate_the_last_position_grows_older(bench, camera):
    for metres in (1.0, 1.1):
        assert located(bench, shown_with(bench, camera, camera.picture(metres))).position.z == pytest.approx(metres)
        between = [first(bench.show_next()) for _ in range(2)]
        assert all(one.area and not one.has_position for one in between)
        assert [one.position_age for one in between] == pytest.approx([0.033, 0.066], abs=1e-3)
        assert between[-1].position.z == pytest.approx(metres, abs=0.005)


def test_of_depth_images_at_a_higher_rate_that_of_the_image_is_used(bench, camera):
    located(bench, shown_with(bench, camera, camera.picture()))
    received = bench.node.depth.received
    for later in (11, 22):
        camera.depth.publish(camera.message(bench.clock + later * MILLISECOND, camera.picture(2.0)))
    wait_until(lambda: bench.node.depth.received == received + 2, "the depth between the images")
    assert located(bench, shown_with(bench, camera, camera.picture(1.2))).position.z == pytest.approx(1.2)


def test_objects_have_positions_on_every_image_of_a_tracker_that_skips_many(bench, camera, monkeypatch):
    encode = ColourModel.encode_image
    monkeypatch.setattr(ColourModel, "encode_image", lambda model, images: time.sleep(0.5) or encode(model, images))
    first_stamp = bench.clock + 33 * MILLISECOND
    for _ in range(60):
        bench.clock += 33 * MILLISECOND
        bench.images.publish(image_message(scene(), bench.clock))
        camera.depth.publish(camera.message(bench.clock, camera.picture()))
        time.sleep(0.033)
    bench.result(bench.clock)
    stamps = {stamp_of(one) for one in bench.results if stamp_of(one) >= first_stamp}
    assert len(stamps) >= 3
    for stamp in stamps:
        located(bench, stamp)


def test_after_a_pause_of_the_camera_ages_count_from_the_stamps(bench, camera):
    located(bench, shown_with(bench, camera, camera.picture()))
    qos, results = bench.images.qos_profile, len(bench.results)
    bench.ros.destroy_publisher(bench.images)
    wait_until(lambda: not bench.node.camera.publishers(), "the node to miss the camera")
    received = bench.node.depth.received
    camera.depth.publish(camera.message(bench.clock + 33 * MILLISECOND, camera.picture(2.0)))
    wait_until(lambda: bench.node.depth.received > received, "depth without an image")
    bench.images = bench.ros.create_publisher(Image, "/image", qos)
    wait_until(lambda: bench.images.get_subscription_count(), "the node to subscribe again")
    assert len(bench.results) == results
    bench.clock += 20_000 * MILLISECOND
    later = first(bench.show_next())
    assert later.area and not later.has_position and later.position_age == pytest.approx(20.033, abs=1e-3)
    assert later.position.z == pytest.approx(1.0, abs=0.005)
    one = located(bench, shown_with(bench, camera, camera.picture(1.2)))
    assert one.position_age == 0 and one.position.z == pytest.approx(1.2)


def shown_until(bench, camera, done, what):
    """Show images with depth until ``done`` is true of their object."""

    def again():
        return done(first(bench.result(shown_with(bench, camera, camera.picture()))))

    wait_until(again, what)


def test_camera_info_of_another_size_is_named_and_masks_go_on(bench, camera, monkeypatch):
    monkeypatch.setattr(depth_module, "INFO", 0.0)
    bench.node.depth._throttle.clear()
    camera.calibrate((SIZE[0] // 2, SIZE[1] // 2))
    sentence = "camera_info is for images of 64x48, but they are 128x96"
    shown_until(bench, camera, lambda one: any(sentence in line for line in bench.log), "the other camera_info")
    bench.says("no positions in 3-D", sentence)
    stamp = shown_with(bench, camera, camera.picture())
    assert all(one.area and not one.has_position for one in map(first, of_stamp(bench, stamp)))
    camera.calibrate()
    shown_until(bench, camera, lambda one: one.has_position, "the right camera_info")


def test_depth_without_camera_info_is_named_and_masks_go_on(bench, cameras):
    for label in ("deactivate", "cleanup", "configure", "activate"):  # this forgets camera_info
        assert bench.call(ChangeState, "change_state", transition=Transition(label=label)).success
    bench.connect()
    subscribed(cameras)
    bench.start()
    stamp = shown_with(bench, cameras, cameras.picture())
    bench.says("no positions in 3-D", "depth comes, but no camera_info")
    assert all(one.area and not one.has_position for one in map(first, of_stamp(bench, stamp)))
    cameras.calibrate()
    shown_until(bench, cameras, lambda one: one.has_position, "camera_info")


def test_compressed_depth_is_taken_where_there_is_no_raw_one(bench, cameras):
    bench.node.set_parameters([Parameter("depth_transport", value="compressed")])
    packed = DepthCamera(bench, CompressedImage, "/depth/compressedDepth")
    wait_until(lambda: packed.depth.get_subscription_count(), "the node to subscribe")
    bench.start()
    bench.clock += 33 * MILLISECOND
    data = b"\0" * 12 + cv2.imencode(".png", packed.picture(0.7))[1].tobytes()
    message = CompressedImage(format="16UC1; compressedDepth png", data=data)
    set_stamp(message.header, bench.clock, "camera")
    packed.depth.publish(message)
    bench.show(scene(), bench.clock)
    assert located(bench, bench.clock).position.z == pytest.approx(0.7)
    bench.ros.destroy_publisher(packed.depth)
    bench.node.set_parameters([Parameter("depth_transport", value="auto")])
    wait_until(cameras.depth.get_subscription_count, "the node to subscribe to raw depth again")


def test_points_are_made_for_those_who_look(bench, camera):
    clouds = []
    subscription = bench.ros.create_subscription(PointCloud2, "/sam2_ros/points", clouds.append, 10)
    wait_until(lambda: bench.node.outputs._in_3d._points.get_subscription_count(), "the node to see the subscriber")
    shown_with(bench, camera, camera.picture(0.8))
    cloud = wait_until(lambda: clouds and clouds[-1], "points")
    bench.ros.destroy_subscription(subscription)
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u4")]
    points = np.frombuffer(cloud.data, np.dtype(kinds))
    assert cloud.height == 1 and cloud.width == len(points) > 50 and cloud.is_dense
    assert [(field.name, field.offset) for field in cloud.fields] == [
        (name, 4 * n) for n, (name, _) in enumerate(kinds)
    ]
    on_square = points["z"] == np.float32(0.8)
    assert on_square.mean() > 0.6 and (points["rgb"][on_square] == 0xFF0000).all() and len(set(points["label"])) == 1


def test_organized_points_are_as_many_as_the_pixels_of_the_depth(bench, camera, parameter):
    clouds = []
    subscription = bench.ros.create_subscription(PointCloud2, "/sam2_ros/points", clouds.append, 10)
    wait_until(lambda: bench.node.outputs._in_3d._points.get_subscription_count(), "the node to see the subscriber")
    parameter("organized_points", True)
    stamp = shown_with(bench, camera, camera.picture(0.8))
    cloud = wait_until(lambda: next((one for one in clouds if stamp_of(one) == stamp), None), "points")
    bench.ros.destroy_subscription(subscription)
    assert (cloud.height, cloud.width) == SIZE and not cloud.is_dense
    points = np.frombuffer(cloud.data, POINT).reshape(SIZE)
    on_object, (x, y) = points["label"] > 0, ON_RED
    assert on_object[y, x] and points["z"][y, x] == np.float32(0.8) and 50 < on_object.sum() < on_object.size
    assert all(np.isnan(points[axis][~on_object]).all() for axis in "xyz")


def test_markers_and_frames_show_the_objects_of_the_node(bench, camera, parameter, monkeypatch):
    published = Published(monkeypatch, bench.node.parameters)
    monkeypatch.setattr(bench.node.outputs, "_in_3d", published.outputs)
    published.topics["~/markers"].subscribers = 1
    parameter("object_frames", True)
    stamp = shown_with(bench, camera, camera.picture(0.8))
    one = located(bench, stamp)

    def box():
        marked = [marker for array in published.topics["~/markers"] for marker in array.markers]
        return next((found for found in marked if stamp_of(found) == stamp and getattr(found, "ns", "") == "box"), None)

    marker = wait_until(box, "a box")
    assert marker.id == one.id and marker.pose.position.z == pytest.approx(0.8, abs=0.005)
    assert marker.scale.x == pytest.approx(max(one.oriented_box_size.x, one.oriented_box_size.y))

    def frame():
        sent = [transform for message in published.topics.get("/tf", ()) for transform in message.transforms]
        return next((found for found in sent if stamp_of(found) == stamp), None)

    transform = wait_until(frame, "a frame")
    assert transform.child_frame_id == f"camera/object/{one.id}"
    place = transform.transform.translation
    assert (place.x, place.y, place.z) == (one.position.x, one.position.y, one.position.z)


def test_depth_that_came_too_late_before_a_pause_is_not_named_after_it(bench):
    bench.node.locator.late += 1
    bench.says("depth came later than")
    bench.node.trigger_deactivate()
    bench.node.trigger_activate()
    assert bench.node.locator.late and not bench.node.depth.fault
    bench.node.depth._log_unused()
    assert not bench.node.depth.fault
