"""What is missing of an installation is said in a sentence."""

import pytest

from sam2_ros.installation import what_is_missing


@pytest.mark.parametrize(
    "message, words",
    [
        ("", "cannot load rclpy: ImportError; is ROS sourced"),
        (
            "librcl.so: cannot open shared object file\nmore",
            "cannot load rclpy: librcl.so: cannot open shared object file;",
        ),
    ],
)
def test_a_module_that_cannot_be_loaded_is_named_also_by_an_error_without_a_message(message, words):
    assert what_is_missing(ImportError(message, name="rclpy")).startswith(words)
