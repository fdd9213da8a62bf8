import math
import time
from contextlib import nullcontext
from types import SimpleNamespace as Shape

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage

from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.parameters import NodeSettings

RAW, COMPRESSED = "/image", "/image/compressed"


class Queue(nullcontext):
    """What waits in the middleware for a subscription."""

    def __init__(self, waiting) -> None:
        super().__init__()
        self.waiting = waiting

    def take_message(self, kind, raw):
        if not self.waiting:
            return None
        one = self.waiting.pop(0)
        if isinstance(one, Exception):
            raise one
        frame, came = one
        return Shape(header=Shape(frame_id=frame)), {"received_timestamp": came}


class Graph:
    """What a CameraSubscriber asks of a node: who publishes what, and subscriptions."""

    executor = None

    def __init__(self, image="image") -> None:
        self.image = image
        self.subscribed = []
        self.offers: dict[str, list[ReliabilityPolicy]] = {}
        self.types: dict[str, str] = {}
        self.durabilities: dict[str, list[DurabilityPolicy]] = {}
        self.waiting: list = []  # messages with the times when they came, or errors
        self.errors: list[str] = []
        self.context = Shape(ok=lambda: True)

    def get_logger(self):
        return Shape(error=lambda text, **_: self.errors.append(text))

    def resolve_topic_name(self, name):
        return f"/{(self.image if name == 'image' else name).lstrip('/')}"

    def get_publishers_info_by_topic(self, topic):
        kind = self.types.get(topic) or f"sensor_msgs/msg/{'CompressedImage' if topic == COMPRESSED else 'Image'}"
        offers = self.offers.get(topic, [])
        durabilities = self.durabilities.get(topic, [DurabilityPolicy.VOLATILE] * len(offers))
        return [
            Shape(qos_profile=Shape(reliability=reliability, durability=durability), topic_type=kind)
            for reliability, durability in zip(offers, durabilities)
        ]

    def has_parameter(self, name):
        return True

    def create_subscription(self, kind, topic, callback, qos: QoSProfile, **_):
        self.subscribed.append((kind, topic))
        self.durability = qos.durability
        return Shape(qos_profile=qos, handle=Queue(self.waiting), msg_type=kind, raw=False)

    def destroy_subscription(self, subscription):
        pass


def made(image="image", on_image=print, **settings):
    graph = Graph(image)
    return graph, CameraSubscriber(graph, Shape(node=NodeSettings(**settings)), on_image)


def fixed(on_image):
    """A subscription that is there from the start."""
    return made(on_image=on_image, image_transport="raw", image_reliability="reliable")


@pytest.mark.parametrize("reliability", ["auto", "reliable", "best_effort"])
def test_a_compressed_topic_that_is_found_first_is_not_preferred_to_the_raw_one(reliability):
    graph, camera = made(image_reliability=reliability)
    graph.offers[COMPRESSED] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    assert camera.reliable is None
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    assert camera.topic == RAW and camera.reliable is (reliability != "best_effort")


def test_a_camera_that_only_compresses_is_heard_at_the_second_look():
    graph, camera = made()
    graph.offers[COMPRESSED] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    camera.update()
    assert camera.topic == COMPRESSED and camera.reliable


def test_what_the_settings_fix_is_subscribed_to_before_anybody_publishes():
    _, camera = made(image_transport="compressed", image_reliability="best_effort")
    assert camera.topic == COMPRESSED and camera.reliable is False


def test_a_topic_of_something_else_is_not_subscribed_to_and_its_type_is_known():
    graph, camera = made()
    graph.offers[RAW], graph.types[RAW] = [ReliabilityPolicy.RELIABLE], "std_msgs/msg/String"
    camera.update()
    camera.update()
    assert camera.reliable is None and camera.publishers() == []
    assert camera.other_type() == "std_msgs/msg/String"


def test_a_compressed_topic_of_any_name_is_subscribed_to_by_its_type():
    graph, camera = made()
    graph.offers[RAW], graph.types[RAW] = [ReliabilityPolicy.BEST_EFFORT], "sensor_msgs/msg/CompressedImage"
    camera.update()
    assert camera.other_type() == "", "it will be, at the next look"
    camera.update()
    assert camera.topic == RAW and camera.reliable is False and len(camera.publishers()) == 1
    assert graph.subscribed == [(CompressedImage, RAW)]


@pytest.mark.parametrize(
    "wish, published, type_of_raw, unwanted",
    [
        ("compressed", RAW, "sensor_msgs/msg/Image", "/image (Image)"),
        ("raw", RAW, "sensor_msgs/msg/CompressedImage", "/image (CompressedImage)"),
        ("raw", COMPRESSED, "", "/image/compressed (CompressedImage)"),
        ("auto", RAW, "sensor_msgs/msg/Image", ""),
    ],
)
def test_images_that_the_transport_excludes_are_known(wish, published, type_of_raw, unwanted):
    graph, camera = made(image_transport=wish)
    graph.offers[published], graph.types[RAW] = [ReliabilityPolicy.RELIABLE], type_of_raw
    camera.update()
    assert camera.unwanted() == unwanted


def test_a_camera_may_be_named_by_its_compressed_topic():
    graph, camera = made(image=COMPRESSED)
    assert camera.topics == {"raw": RAW, "compressed": COMPRESSED}
    graph.offers[RAW] = graph.offers[COMPRESSED] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    camera.update()
    assert camera.topic == COMPRESSED


def test_silence_is_counted_from_the_moment_that_somebody_publishes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    graph, camera = made()
    now[0] += 60
    camera.update()
    assert camera.silence == 60
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    now[0] += 1
    camera.update()
    assert camera.silence == 1 and not camera.arrived
    camera._receive(Shape(header=Shape(frame_id="camera")), now[0])
    now[0] += 2
    assert camera.silence == 2 and camera.arrived


def test_a_camera_is_looked_for_on_the_topic_that_is_wished_for():
    graph, camera = made(image_transport="compressed")
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE]
    camera.update()
    assert camera.topic == COMPRESSED and camera.publishers() == [] and camera.other_type() == ""


def test_one_best_effort_publisher_makes_the_subscription_best_effort():
    graph, camera = made()
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
    camera.update()
    assert camera.reliable is False


LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


@pytest.mark.parametrize(
    "offered, wanted", [([VOLATILE], VOLATILE), ([LATCHED], LATCHED), ([LATCHED, VOLATILE], VOLATILE)]
)
def test_earlier_images_are_asked_for_where_every_publisher_keeps_them(offered, wanted):
    graph, camera = made()
    graph.offers[RAW], graph.durabilities[RAW] = [ReliabilityPolicy.RELIABLE] * len(offered), offered
    camera.update()
    assert graph.durability == wanted


def test_a_latched_camera_that_goes_away_does_not_change_the_subscription():
    graph, camera = made(image_transport="raw", image_reliability="reliable")
    graph.offers[RAW], graph.durabilities[RAW] = [ReliabilityPolicy.RELIABLE], [LATCHED]
    camera.update()
    graph.offers[RAW] = []
    camera.update()
    assert len(graph.subscribed) == 2 and graph.durability == LATCHED


def test_pulling_hands_over_what_waits_in_its_order_with_the_time_when_it_came():
    got = []
    graph, camera = fixed(lambda message, came: got.append((message.header.frame_id, came)))
    time.sleep(0.03)
    now, clock = time.monotonic(), time.time_ns()
    graph.waiting[:] = [("a", clock - 10**7), ("b", 0), ("c", clock - 10**13)]
    camera.pull()
    (_, a), (_, b), (_, c) = got
    assert [name for name, _ in got] == ["a", "b", "c"] and camera.received == 3 and camera.frame_id == "c"
    assert a == pytest.approx(now - 0.01, abs=0.005)
    assert b >= now, "the middleware does not say when it came: now"
    assert now - 5 < c < a, "a clock that was set makes no image older than the last pull"


@pytest.mark.parametrize("ok", [True, False])
def test_a_message_that_cannot_be_deserialised_is_logged_unless_ros_is_shutting_down(ok):
    got = []
    graph, camera = fixed(lambda message, came: got.append(message.header.frame_id))
    graph.context = Shape(ok=lambda: ok)
    graph.waiting[:] = [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), ("b", 0)]
    camera.pull()
    camera.pull()
    assert got == ["b"] and len(graph.errors) == ok
    assert all("could not be received" in text and "invalid start byte" in text for text in graph.errors)


def test_images_are_told_at_a_bounded_rate_and_pulled_in_between():
    told = []
    _, camera = fixed(print)
    for _ in range(100):
        if camera.listen(lambda: told.append("an image")) == math.inf:
            assert not camera._pulled._noticed.beginning_execution(Subscription.__new__(Subscription))
    assert 10 <= len(told) < 20
    assert 0 < camera.listen(print) < 0.1


def test_lost_images_are_counted_though_the_tracker_is_always_busy():
    _, camera = fixed(print)
    group, event = camera._pulled._noticed, object()
    group.beginning_execution(Subscription.__new__(Subscription))
    assert not group.can_execute(event)
    camera.update()
    assert group.can_execute(event) and group.beginning_execution(event)
