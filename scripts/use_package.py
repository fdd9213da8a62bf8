"""Check what an installed package must do, with the ROS that it was built for or without: python use_package.py."""

import importlib.util
from pathlib import Path

import sam2_ros
from sam2_ros.installation import prefixes
from sam2_ros.recordings.bags.message_types import known_types


def share() -> Path:
    """share/sam2_ros, where colcon or pip has put it."""
    return next(path for prefix in prefixes() if (path := prefix / "share" / "sam2_ros").is_dir())


assert "site-packages" in sam2_ros.__file__ or "dist-packages" in sam2_ros.__file__, sam2_ros.__file__
expected = ["config/track.yaml", "config/fastdds_large_images.xml", "msg/Prompt.msg", "srv/Remove.srv"]
assert "sam2_ros/msg/TrackedObjectArray" in known_types().fielddefs

if importlib.util.find_spec("rclpy"):
    from rclpy.serialization import deserialize_message, serialize_message

    from sam2_ros.msg import Prompt, TrackedObjectArray
    from sam2_ros.srv import List, Remove

    messages = (Prompt(name="cup", labels=[1]), TrackedObjectArray(dropped_frames=3), Remove.Request(), List.Response())
    for message in messages:
        assert deserialize_message(serialize_message(message), type(message)) == message
    expected += ["launch/track.launch.py", "config/track.rviz"]

for name in expected:
    assert (share() / name).is_file(), name
