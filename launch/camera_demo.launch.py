"""A USB camera, the node, and a window to click in: tick its mouse button, then click on an object.

ros2 launch sam2_ros camera_demo.launch.py video_device:=/dev/video0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir
from launch_ros.actions import Node

from sam2_ros.ros.fastdds_profile import make_room

if TYPE_CHECKING:
    from launch import Action, LaunchContext
    from launch.events.process import ProcessExited

#: Camera drivers that publish image_raw and camera_info; the first one that is installed is used.
DRIVERS = {"v4l2_camera": "v4l2_camera_node", "usb_cam": "usb_cam_node_exe"}
WINDOW = "rqt_image_view"


def camera_and_window(context: LaunchContext) -> list[Action]:
    """The driver and the window; RuntimeError for a missing package, before anything is started."""
    installed = get_packages_with_prefixes()
    package = next((name for name in DRIVERS if name in installed), None)
    if package is None:
        raise RuntimeError(
            f"no camera driver is installed; install one of {', '.join(DRIVERS)}, or start your own "
            "and use track.launch.py"
        )
    if WINDOW not in installed:
        raise RuntimeError(f"{WINDOW} is not installed; install it, or use track.launch.py")
    driver = Node(
        package=package,
        executable=DRIVERS[package],
        namespace="camera",
        name="driver",
        parameters=[{"video_device": LaunchConfiguration("video_device")}],
        output="screen",
    )
    window = Node(package=WINDOW, executable=WINDOW, arguments=["/sam2_ros/overlay"], output="screen")
    return [RegisterEventHandler(OnProcessExit(on_exit=end)), driver, window]


def end(event: ProcessExited, _: LaunchContext) -> list[Action]:
    """When one of the three processes ends, all end."""
    return [Shutdown(reason=f"{event.process_name} has ended")]


def generate_launch_description() -> LaunchDescription:
    make_room()  # for the driver, whose images are too large for Fast DDS's default transports
    return LaunchDescription(
        [
            DeclareLaunchArgument("video_device", default_value="/dev/video0", description="device file of the camera"),
            DeclareLaunchArgument("model", default_value="", description="name or path of the weights"),
            OpaqueFunction(function=camera_and_window),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/track.launch.py"]),
                launch_arguments={
                    "image": "/camera/image_raw",
                    "camera_info": "/camera/camera_info",
                    "model": LaunchConfiguration("model"),
                }.items(),
            ),
        ]
    )
