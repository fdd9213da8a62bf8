import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

from sam2_ros.ros.topics import message_class


def test_a_type_is_found_by_its_name_and_one_that_is_not_installed_is_none():
    assert message_class("std_msgs/msg/String") is String
    assert [message_class(kind) for kind in ("std_msgs/msg/Nothing", "nobody_msgs/msg/String")] == [None, None]
