"""Clicks in other frames, with a stand-in for tf2_ros that has no wheel: see stand_ins/tf2_ros.py."""

import importlib.util
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import PointStamped, Transform
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_bench import MILLISECOND, Bench, set_stamp, wait_until
from sensor_msgs.msg import CameraInfo, MultiDOFJointState

from sam2_ros.ros import transforms

#: Nanoseconds between two messages of /tf.
PERIOD = 10**9 // 300


@pytest.fixture(scope="module")
def tf2_ros():
    spec = importlib.util.spec_from_file_location("tf2_ros", Path(__file__).parent / "stand_ins" / "tf2_ros.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(monkeypatch, tf2_ros):
    """A node with tf2, and what publishes on /tf, /tf_static, clicked_point and camera_info."""
    monkeypatch.setattr(transforms, "tf2_ros", tf2_ros)
    tf2_ros.unpacked = 0
    one = Bench()
    one.clicked = []
    one.node.clicks._on_click = lambda x, y, stamp: one.clicked.append((x, y))
    one.tf = one.ros.create_publisher(MultiDOFJointState, "/tf", 1000)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    one.tf_static = one.ros.create_publisher(MultiDOFJointState, "/tf_static", latched)
    one.clicks = one.ros.create_publisher(PointStamped, "/clicked_point", 10)
    one.infos = one.ros.create_publisher(CameraInfo, "/camera_info", 10)
    for publisher in (one.tf, one.tf_static, one.clicks, one.infos):
        wait_until(publisher.get_subscription_count, publisher.topic)
    info = CameraInfo(k=[100.0, 0.0, 64.0, 0.0, 100.0, 48.0, 0.0, 0.0, 1.0])
    info.header.frame_id = "optical"
    one.infos.publish(info)
    one.tf_static.publish(moved(0, {"base>optical": 0.0}))
    yield one.connect()
    one.close()


def moved(stamp, shifts):
    """A message of /tf: how far each "parent>child" is shifted along x, in metres, and 18 wheels that turn."""
    shifts = {**shifts, **{f"base>wheel_{number}": 0.0 for number in range(18)}}
    message = MultiDOFJointState(joint_names=list(shifts), transforms=[Transform() for _ in shifts])
    for transform, x in zip(message.transforms, shifts.values()):
        transform.translation.x, transform.rotation.w = x, 1.0
    set_stamp(message.header, stamp, "")
    return message


def click(bench, stamp, frame="map"):
    """Click the point 1 m in front of where the camera began; its pixel."""
    bench.clicked.clear()
    message = PointStamped()
    set_stamp(message.header, stamp, frame)
    message.point.z = 1.0
    bench.clicks.publish(message)
    return wait_until(lambda: bench.clicked, "the pixel")[0]


def drive(bench, count, start=10**12, speed=0.001):
    """The robot goes ``speed`` metres a message to the left, 300 messages a second; the last stamp."""
    for number in range(count):
        bench.tf.publish(moved(start + number * PERIOD, {"map>base": -number * speed}))
    return start + (count - 1) * PERIOD


def topic(bench):
    return bench.node.clicks._transforms._topics.passing()[0]


def arrived(bench, count):
    wait_until(lambda: len(list(topic(bench).messages())) >= count, f"{count} messages of /tf")


def test_nothing_of_tf_is_read_while_nobody_clicks(bench, tf2_ros):
    turned = []
    bench.node.clicks._transforms._topics.passing()[0].subscription.callback = turned.append
    drive(bench, 300)
    arrived(bench, 300)
    bench.show_next()
    assert (tf2_ros.unpacked, turned) == (0, [])


def test_a_click_is_seen_from_where_the_camera_was_at_its_stamp(bench, tf2_ros):
    last = drive(bench, 300)
    arrived(bench, 300)
    assert click(bench, last - 100 * PERIOD) == pytest.approx((64.0 + 19.9, 48.0))
    assert tf2_ros.unpacked < 120  # from the newest back to the stamp


def test_a_click_after_the_newest_transform_or_without_a_stamp_takes_the_newest(bench, tf2_ros):
    last = drive(bench, 300)
    arrived(bench, 300)
    assert click(bench, last + 20 * MILLISECOND) == pytest.approx((64.0 + 29.9, 48.0))
    assert click(bench, 0) == pytest.approx((64.0 + 29.9, 48.0))
    assert tf2_ros.unpacked < 10


def test_a_link_that_is_rarely_published_is_found_behind_many_messages_of_others(bench):
    bench.tf.publish(moved(10**12, {"map>odom": 0.1, "odom>base": -0.3}))
    for number in range(1, 400):
        bench.tf.publish(moved(10**12 + number * PERIOD, {"odom>base": -0.3}))
    arrived(bench, 400)
    assert click(bench, 0) == pytest.approx((64.0 + 20.0, 48.0))


def test_after_the_clock_has_gone_back_transforms_of_the_former_round_are_not_the_newest(bench):
    drive(bench, 100, start=2 * 10**12)
    last = drive(bench, 50, start=10**12)
    arrived(bench, 150)
    assert click(bench, last) == pytest.approx((64.0 + 4.9, 48.0))
    assert click(bench, 0) == pytest.approx((64.0 + 4.9, 48.0))


def test_a_frame_that_nothing_leads_to_is_refused_in_plain_words_and_read_once(bench, tf2_ros):
    last = drive(bench, 50)
    arrived(bench, 50)
    for _ in range(3):
        message = PointStamped()
        set_stamp(message.header, last, "moon")
        message.point.z = 1.0
        bench.clicks.publish(message)
    bench.says("there is no transform from frame 'moon' to 'optical': no transform names one of them")
    bench.show_next()
    assert tf2_ros.unpacked <= 52


def test_before_anything_has_arrived_the_topic_is_named(bench, monkeypatch):
    monkeypatch.setattr(transforms._Topics, "arrived", lambda topics: False)
    message = PointStamped()
    message.header.frame_id, message.point.z = "map", 1.0
    bench.clicks.publish(message)
    bench.says("nothing has arrived on /tf and /tf_static")


def test_the_node_offers_no_service_of_tf2_in_its_namespace(bench):
    assert not [name for name, _ in bench.ros.get_service_names_and_types() if name.endswith("tf2_frames")]
