from types import SimpleNamespace as Shape

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402

from sam2_ros.ros.camera import Camera  # noqa: E402
from sam2_ros.ros.parameters import NodeSettings  # noqa: E402

RAW, COMPRESSED = "/image", "/image/compressed"


class Graph:
    """What a Camera asks of a node: who publishes what, and subscriptions."""

    def __init__(self) -> None:
        self.offers: dict[str, list[ReliabilityPolicy]] = {}
        self.types: dict[str, str] = {}

    def resolve_topic_name(self, name):
        return f"/{name.lstrip('/')}"

    def get_publishers_info_by_topic(self, topic):
        kind = self.types.get(topic) or f"sensor_msgs/msg/{'CompressedImage' if topic == COMPRESSED else 'Image'}"
        return [Shape(qos_profile=Shape(reliability=offer), topic_type=kind) for offer in self.offers.get(topic, [])]

    def has_parameter(self, name):
        return True

    def create_subscription(self, kind, topic, callback, qos: QoSProfile, **_):
        return Shape(qos_profile=qos)

    def destroy_subscription(self, subscription):
        pass


def made(**settings):
    graph = Graph()
    return graph, Camera(graph, Shape(node=NodeSettings(**settings)), print)


@pytest.mark.parametrize("reliability", ["auto", "reliable", "best_effort"])
def test_a_compressed_topic_that_is_found_first_is_not_preferred_to_the_raw_one(reliability):
    graph, camera = made(image_reliability=reliability)
    graph.offers[COMPRESSED] = [ReliabilityPolicy.RELIABLE]
    camera.look()
    assert camera.reliable is None
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE]
    camera.look()
    assert camera.topic == RAW and camera.reliable is (reliability != "best_effort")


def test_a_camera_that_only_compresses_is_heard_at_the_second_look():
    graph, camera = made()
    graph.offers[COMPRESSED] = [ReliabilityPolicy.RELIABLE]
    camera.look()
    camera.look()
    assert camera.topic == COMPRESSED and camera.reliable


def test_what_the_settings_fix_is_subscribed_to_before_anybody_publishes():
    _, camera = made(image_transport="compressed", image_reliability="best_effort")
    assert camera.topic == COMPRESSED and camera.reliable is False


def test_a_topic_of_something_else_is_not_subscribed_to_and_its_type_is_known():
    graph, camera = made()
    graph.offers[RAW], graph.types[RAW] = [ReliabilityPolicy.RELIABLE], "sensor_msgs/msg/CompressedImage"
    camera.look()
    assert camera.reliable is None and camera.publishers() == []
    assert camera.other_type() == "sensor_msgs/msg/CompressedImage"


def test_a_camera_is_looked_for_on_the_topic_that_is_wished_for():
    graph, camera = made(image_transport="compressed")
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE]
    camera.look()
    assert camera.topic == COMPRESSED and camera.publishers() == [] and camera.other_type() == ""


def test_one_best_effort_publisher_makes_the_subscription_best_effort():
    graph, camera = made()
    graph.offers[RAW] = [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
    camera.look()
    assert camera.reliable is False
