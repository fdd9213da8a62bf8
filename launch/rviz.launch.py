"""RViz on a running node: its overlay, its masks and the Publish Point tool.

    ros2 launch sam2_ros rviz.launch.py image:=/camera/color/image_raw
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

CONFIGURATION = PathJoinSubstitution([FindPackageShare("sam2_ros"), "config", "track.rviz"])


def generate_launch_description():
    node = LaunchConfiguration("node")
    return LaunchDescription([
        DeclareLaunchArgument("node", default_value="/sam2_ros", description="full name of the tracking node"),
        DeclareLaunchArgument("image", default_value="/image", description="image topic, for the depth cloud"),
        DeclareLaunchArgument("depth", default_value="/depth", description="registered depth topic, for the depth cloud"),
        DeclareLaunchArgument("frame", default_value="camera_color_optical_frame", description="fixed frame"),
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["--display-config", CONFIGURATION, "--fixed-frame", LaunchConfiguration("frame")],
            remappings=[
                ("/sam2_ros/overlay", [node, "/overlay"]),
                ("/sam2_ros/masks", [node, "/masks"]),
                ("/image", LaunchConfiguration("image")),
                ("/depth", LaunchConfiguration("depth")),
            ],
            output="screen",
        ),
    ])
