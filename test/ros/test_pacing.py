"""A topic of 300 messages a second costs the executor a few turns, or none."""

import time

import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Point  # noqa: E402
from rclpy.subscription import Subscription  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402

from ros_bench import Bench, wait_until  # noqa: E402
from sam2_ros.ros import pacing  # noqa: E402
from sam2_ros.ros.pacing import BURST, RATE  # noqa: E402

COUNT = 300


@pytest.fixture
def turns(monkeypatch):
    """How often the executor has turned to each topic, subscriptions without pace left out."""
    counted = {}
    begin = pacing.Paced.beginning_execution

    def count(group, entity):
        if isinstance(entity, Subscription):
            counted[entity.topic_name] = counted.get(entity.topic_name, 0) + 1
        return begin(group, entity)

    monkeypatch.setattr(pacing.Paced, "beginning_execution", count)
    return counted


@pytest.fixture
def bench(turns):
    one = Bench("-p", "use_sim_time:=true")
    yield one.connect()
    one.close()


def flood(bench, kind, topic, fill=lambda message, number: None):
    """Publish ``COUNT`` messages in a second; the seconds that it took."""
    publisher = bench.ros.create_publisher(kind, topic, 10)
    wait_until(publisher.get_subscription_count, f"somebody who subscribes to {topic}")
    start = time.monotonic()
    for number in range(1, COUNT + 1):
        message = kind()
        fill(message, number)
        publisher.publish(message)
        time.sleep(max(start + number / COUNT - time.monotonic(), 0))
    return time.monotonic() - start


def test_a_fast_topic_gets_few_turns_and_its_newest_message_is_handled(bench, turns):
    def fill(message, number):
        message.x, message.y = float(number), 1.0

    clicked = []
    bench.node.clicks._on_click = lambda x, y, stamp: clicked.append(x)
    seconds = flood(bench, Point, "/image_mouse_left", fill)
    wait_until(lambda: clicked[-1:] == [COUNT], "the newest click")
    assert turns["/image_mouse_left"] <= BURST + RATE * (seconds + 1)
    assert clicked == sorted(set(clicked))  # in order, and none twice
    assert clicked[:5] == [1, 2, 3, 4, 5]  # the first ones are handled at once


def test_a_fast_clock_gets_few_turns_and_is_followed(bench, turns):
    def fill(message, number):
        message.clock.sec = number

    seconds = flood(bench, Clock, "/clock", fill)
    wait_until(lambda: bench.node.get_clock().now().nanoseconds == COUNT * 10**9, "the newest time")
    assert turns["/clock"] <= BURST + RATE * (seconds + 1)


def test_camera_info_is_read_when_a_click_needs_it_and_not_before(bench, turns):
    def fill(message, number):
        message.width = number

    flood(bench, CameraInfo, "/camera_info", fill)
    assert "/camera_info" not in turns
    infos = bench.node.clicks._infos
    assert wait_until(infos.take, "camera_info")[-1].width == COUNT
    assert infos.take() == []


def test_every_subscription_of_the_node_but_that_of_images_is_paced_or_read_on_demand(bench):
    groups = {one.topic_name: type(one.callback_group).__name__ for one in bench.node.subscriptions}
    assert {topic for topic, group in groups.items() if group not in ("Paced", "_Never")} <= {"/image"}
    assert {"/clock", "/clicked_point", "/sam2_ros/prompt", "/image_mouse_left"} <= groups.keys()


def test_a_topic_that_was_fast_is_handled_at_once_again_after_a_quiet_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    tokens = pacing._Tokens()
    for _ in range(int(BURST)):
        assert tokens.left() >= 1
        tokens.spend()
    assert tokens.left() < 1
    now[0] += 1.01 / RATE
    assert tokens.left() >= 1
    now[0] += 1000
    assert tokens.left() == BURST
