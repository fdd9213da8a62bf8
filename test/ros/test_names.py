"""Names are those that ROS would make of them, or are refused."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from sam2_ros.errors import InvalidInput
from sam2_ros.ros.names import full_node, full_topic

NODE = SimpleNamespace(get_name=lambda: "recorder", get_namespace=lambda: "/")


@pytest.mark.parametrize(
    "name, full",
    [
        ("camera/image", "/camera/image"),
        ("/camera/image", "/camera/image"),
        ("tf", "/tf"),
        ("~/about", "/recorder/about"),
    ],
)
def test_a_relative_topic_is_taken_as_ros_takes_it(name, full):
    assert full_topic(name, NODE) == full


@pytest.mark.parametrize("name", ["", "/camera/", "/a//b", "my camera", "/1st", "/{wrong}"])
def test_a_topic_that_cannot_be_is_refused_by_its_name(name):
    with pytest.raises(InvalidInput, match="not a valid name of a topic"):
        full_topic(name, NODE)


def test_a_node_is_named_in_full_or_refused():
    assert [full_node(name) for name in ("sam2_ros", "/sam2_ros", "arm/sam2_ros")] == [
        "/sam2_ros",
        "/sam2_ros",
        "/arm/sam2_ros",
    ]
    for name in ("/my node", "/arm/", "/", "/1st/sam2_ros"):
        with pytest.raises(InvalidInput, match="not a valid name of a node"):
            full_node(name)
