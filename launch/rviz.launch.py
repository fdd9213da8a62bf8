r"""RViz on a running node: its overlay, its masks and, with a depth camera, the Publish Point tool.

    ros2 launch sam2_ros rviz.launch.py image:=/camera/camera/color/image_raw \
        depth:=/camera/camera/aligned_depth_to_color/image_raw

A point is published where RViz shows something in 3-D: without depth, click in rqt_image_view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

if TYPE_CHECKING:
    from launch import Action, LaunchContext

CONFIGURATION = PathJoinSubstitution([FindPackageShare("sam2_ros"), "config", "track.rviz"])

#: Topics of the node that the configuration shows.
SHOWN = ("overlay", "masks", "markers", "points")

ARGUMENTS = [
    DeclareLaunchArgument("node", default_value="/sam2_ros", description="full name of the tracking node"),
    DeclareLaunchArgument("image", default_value="/image", description="image topic, for the depth cloud"),
    DeclareLaunchArgument("depth", default_value="/depth", description="depth topic, registered to the image"),
    DeclareLaunchArgument(
        "depth_info", default_value="", description="its camera_info; by default beside the depth topic"
    ),
    DeclareLaunchArgument("frame", default_value="camera_color_optical_frame", description="fixed frame"),
]


def rviz(context: LaunchContext) -> list[Action]:
    """RViz, whose depth cloud asks for the camera_info beside "/depth" whatever that is remapped to."""
    if "rviz2" not in get_packages_with_prefixes():
        raise RuntimeError("rviz2 is not installed; install ros-$ROS_DISTRO-rviz2 on the machine with the screen")
    depth, depth_info = (LaunchConfiguration(name).perform(context) for name in ("depth", "depth_info"))
    node = LaunchConfiguration("node")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["--display-config", CONFIGURATION, "--fixed-frame", LaunchConfiguration("frame")],
            remappings=[
                *((f"/sam2_ros/{topic}", [node, f"/{topic}"]) for topic in SHOWN),
                ("/image", LaunchConfiguration("image")),
                ("/depth", depth),
                ("/camera_info", depth_info or depth.rpartition("/")[0] + "/camera_info"),
            ],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=rviz)])
