from types import SimpleNamespace as Shape

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import ReliabilityPolicy

from sam2_ros.ros.image_topics import AT_ONCE, IN_ALL, WINDOW, ImageTopicSearch

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class Graph:
    """A node that sees topics, and publishes nothing on them."""

    def __init__(self, topics, unpublished=()):
        self.topics, self.unpublished, self.subscribed = topics, unpublished, {}

    def get_fully_qualified_name(self):
        return "/sam2_ros"

    def get_topic_names_and_types(self):
        return [(topic, [kind]) for topic, kind in self.topics.items()]

    def count_publishers(self, topic):
        return topic not in self.unpublished

    def resolve_topic_name(self, topic):
        return "/nowhere" if topic == "/remapped" else topic

    def get_publishers_info_by_topic(self, topic):
        return [Shape(qos_profile=Shape(reliability=ReliabilityPolicy.RELIABLE))]

    def create_subscription(self, kind, topic, callback, qos, **options):
        assert options["raw"], "nobody needs the pixels"
        assert qos.reliability == ReliabilityPolicy.RELIABLE, "as it is offered: large best-effort images are lost"
        self.subscribed[topic] = callback
        return Shape(topic=topic)

    def destroy_subscription(self, subscription):
        del self.subscribed[subscription.topic]


def made(graph):
    now = [10.0]
    return ImageTopicSearch(graph, lambda: now[0]), now


def test_image_topics_of_others_are_listed_with_type_and_rate_and_each_is_counted_once(monkeypatch):
    graph = Graph(
        {
            "/head": IMAGE,
            "/depth": IMAGE,
            "/jpg": COMPRESSED,
            "/sam2_ros/masks": IMAGE,
            "/tf": "tf2_msgs/msg/TFMessage",
            "/image": IMAGE,
            "/remapped": IMAGE,
        },
        unpublished=("/image",),
    )
    search, now = made(graph)
    assert search.update() is None and set(graph.subscribed) == {"/head", "/depth", "/jpg"}
    for time in (0.0, 0.1, 0.2):
        monkeypatch.setattr("time.monotonic", lambda time=time: time)
        graph.subscribed["/head"](b"")
    now[0] += WINDOW
    assert [str(found) for found in search.update()] == [
        "/head (Image, 10/s)",
        "/jpg (CompressedImage, 0/s)",
        "/remapped (Image)",
        "/depth (Image, 0/s)",
    ]
    assert not graph.subscribed and search.update() is not None and not graph.subscribed
    search.stop()
    assert search.update() is None


def test_the_work_has_a_bound_however_many_topics_there_are():
    graph = Graph({f"/camera_{number}": IMAGE for number in range(100)})
    search, now = made(graph)
    most = 0
    while (found := search.update()) is None:
        most = max(most, len(graph.subscribed))
        now[0] += WINDOW
    assert (most, len(found)) == (AT_ONCE, IN_ALL) and not graph.subscribed
    search.update()
    search.stop()
    assert not graph.subscribed
