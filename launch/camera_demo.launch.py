"""A USB camera, the node, and a window to click in: tick its mouse button, then click on an object.

    ros2 launch sam2_ros camera_demo.launch.py video_device:=/dev/video0
"""

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir
from launch_ros.actions import Node

from sam2_ros.large_images import make_room

#: Camera drivers that publish image_raw and camera_info, the first that is installed is used.
DRIVERS = {"v4l2_camera": "v4l2_camera_node", "usb_cam": "usb_cam_node_exe"}


def camera():
    """The driver, or a sentence that says which package is needed."""
    installed = get_packages_with_prefixes()
    for package, executable in DRIVERS.items():
        if package in installed:
            return Node(package=package, executable=executable, namespace="camera", name="driver",
                        parameters=[{"video_device": LaunchConfiguration("video_device")}], output="screen")
    return LogInfo(msg=f"no camera driver is installed; install one of {', '.join(DRIVERS)}, or start your own "
                       "and use track.launch.py")


def generate_launch_description():
    make_room()  # for the driver, whose images are too large for Fast DDS's default transports
    return LaunchDescription([
        DeclareLaunchArgument("video_device", default_value="/dev/video0", description="device file of the camera"),
        DeclareLaunchArgument("model", default_value="", description="name or path of the weights"),
        camera(),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/track.launch.py"]),
            launch_arguments={"image": "/camera/image_raw", "camera_info": "/camera/camera_info",
                              "model": LaunchConfiguration("model")}.items()),
        Node(package="rqt_image_view", executable="rqt_image_view", arguments=["/sam2_ros/overlay"], output="screen"),
    ])
