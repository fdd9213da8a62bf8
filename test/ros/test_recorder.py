"""What a recorder subscribes to, and how: with a stand-in for its node."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy")

import rclpy.event_handler
import rclpy.subscription
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from sam2_ros.errors import RecordingError, UnknownType
from sam2_ros.ros import recorder, topics

STRING = "std_msgs/msg/String"
RELIABLE = QoSProfile(depth=1)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Graph:
    """A node among others; ``offers`` are those of the publishers by topic."""

    def __init__(self, **offers):
        self.offers = {f"/{name}": offer for name, offer in offers.items()}
        self.subscriptions, self.said, self.counts_losses = [], [], True

    def get_topic_names_and_types(self):
        return [(topic, [STRING]) for topic in self.offers]

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(qos_profile=offer) for offer in self.offers[topic]]

    def create_subscription(self, kind, topic, callback, quality, raw, event_callbacks=None):
        if event_callbacks is not None and not self.counts_losses:
            raise rclpy.event_handler.UnsupportedEventTypeError("message lost")
        self.subscriptions.append(SimpleNamespace(topic=topic, callback=callback, quality=quality))
        return self.subscriptions[-1]

    def destroy_subscription(self, subscription):
        self.subscriptions = [one for one in self.subscriptions if one is not subscription]

    def create_timer(self, *_, **__):
        return SimpleNamespace(cancel=lambda: None)

    def get_logger(self):
        return SimpleNamespace(warning=self.said.append)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=42))


@pytest.fixture
def start():
    """Starts recorders that write into ``written``, and ends them."""
    running = []

    def begin(graph, module=recorder):
        written = []
        one = module.Recorder(graph, lambda *message: written.append(message), list(graph.offers))
        running.append(one)
        return one, written

    yield begin
    for one in running:
        one.close()


def test_a_topic_is_heard_before_somebody_publishes_and_anew_when_that_offers_less(start):
    graph = Graph(camera=[])
    one, _ = start(graph)
    assert graph.subscriptions[0].quality.reliability == ReliabilityPolicy.RELIABLE
    graph.offers["/camera"] = [BEST_EFFORT]
    one.update()
    (subscription,) = graph.subscriptions
    assert subscription.quality.reliability == ReliabilityPolicy.BEST_EFFORT
    graph.offers["/camera"] = []
    one.update()
    assert graph.subscriptions == [subscription] and graph.said == [], "nothing was heard, nothing can be missing"


def test_another_quality_of_a_topic_that_was_heard_is_said(start):
    graph = Graph(camera=[RELIABLE])
    one, _ = start(graph)
    graph.subscriptions[0].callback(b"x", {"received_timestamp": 7})
    one.update()
    assert graph.said == []
    graph.offers["/camera"] = [RELIABLE, BEST_EFFORT]
    one.update()
    assert [found.quality.reliability for found in graph.subscriptions] == [ReliabilityPolicy.BEST_EFFORT]
    assert len(graph.said) == 1 and "/camera is now published with another quality of service" in graph.said[0]


def test_a_latched_topic_is_written_as_such_though_its_publisher_came_later(start):
    graph = Graph(before=[LATCHED], after=[], plain=[LATCHED, RELIABLE])
    one, written = start(graph)
    assert [found.quality.durability == DurabilityPolicy.TRANSIENT_LOCAL for found in graph.subscriptions] == [
        True,
        False,
        False,
    ]
    graph.offers["/after"] = [LATCHED]
    for found in graph.subscriptions:
        found.callback(b"x", {"received_timestamp": 7})
    one.update()
    assert {found.topic: found.quality.durability for found in graph.subscriptions}["/after"] == LATCHED.durability
    one.close()
    assert written == [
        ("/before", STRING, 7, b"x", True),
        ("/after", STRING, 7, b"x", True),
        ("/plain", STRING, 7, b"x", False),
    ]


def test_a_middleware_that_counts_no_losses_is_recorded_all_the_same(start):
    graph = Graph(camera=[RELIABLE])
    graph.counts_losses = False
    start(graph)
    assert len(graph.subscriptions) == 1


def test_what_nobody_publishes_is_said_once_soon_after_the_start(start, monkeypatch):
    graph = Graph(camera=[], robot=[RELIABLE], camera_2=[RELIABLE])
    one, _ = start(graph)
    assert graph.said == [], "publishers take a while to be seen"
    monkeypatch.setattr(recorder, "DISCOVERY", 0.0)
    for _ in range(3):
        one.update()
    assert graph.said == ["nobody publishes /camera yet; it is recorded as soon as somebody does (there is /camera_2)"]


@pytest.fixture
def humble(monkeypatch):
    """The recorder as it is with the rclpy of ROS 2 Humble."""
    monkeypatch.setitem(sys.modules, "rclpy.qos_event", rclpy.event_handler)
    for name in ("rclpy.event_handler", "rclpy.parameter_client"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, topics.__name__)  # is imported anew, too
    monkeypatch.delattr(rclpy.subscription.Subscription, "CallbackType")
    spec = importlib.util.spec_from_file_location("recorder_of_humble", recorder.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_humble_records_with_the_time_of_its_own_clock(start, humble):
    graph = Graph(camera=[RELIABLE])
    one, written = start(graph, humble)
    graph.subscriptions[0].callback(b"x")
    one.close()
    assert written == [("/camera", STRING, 42, b"x", False)]


def test_humble_says_once_that_it_records_no_parameters(humble):
    graph = Graph()
    assert humble.parameter_client(graph, "/sam2_ros") is None and humble.parameter_client(graph, "") is None
    (sentence,) = graph.said
    assert "the parameters of /sam2_ros are not recorded" in sentence


def failing(graph, error):
    def write(topic, *_):
        if topic == "/odd":
            raise error
        written.append(topic)

    written = []
    one = recorder.Recorder(graph, write, list(graph.offers))
    for topic in ("/odd", "/other", "/odd"):
        one._put(topic, STRING, 1, b"")
    one.close()
    return one, written


def test_a_topic_whose_type_has_no_definition_here_is_left_out_and_the_others_go_on():
    graph = Graph(odd=[RELIABLE], other=[RELIABLE])
    one, written = failing(graph, UnknownType("the message type odd/msg/Odd is not known here"))
    assert written == ["/other"] and one.failure is None
    assert one.unreadable == {"/odd": STRING} and len(graph.said) == 1 and "/odd is not recorded" in graph.said[0]


def test_a_writer_that_fails_in_any_way_ends_recording_and_says_so():
    one, written = failing(Graph(odd=[RELIABLE], other=[RELIABLE]), OSError("input/output error"))
    assert written == [] and isinstance(one.failure, RecordingError)
    assert "recording /odd failed unexpectedly: OSError('input/output error')" in str(one.failure)
    assert one.lost == {"/odd": 2, "/other": 1}
