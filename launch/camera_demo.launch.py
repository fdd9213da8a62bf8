"""A USB camera, the node and RViz.

    ros2 launch sam2_ros camera_demo.launch.py video_device:=/dev/video0
"""

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

#: Camera drivers that publish image_raw and camera_info, the first that is installed is used.
DRIVERS = {"v4l2_camera": "v4l2_camera_node", "usb_cam": "usb_cam_node_exe"}

PROFILE = PathJoinSubstitution([FindPackageShare("sam2_ros"), "config", "fastdds_large_images.xml"])


def camera():
    """The driver, or a sentence that says which package is needed."""
    installed = get_packages_with_prefixes()
    for package, executable in DRIVERS.items():
        if package in installed:
            return Node(package=package, executable=executable, namespace="camera", name="driver",
                        parameters=[{"video_device": LaunchConfiguration("video_device")}], output="screen")
    return LogInfo(msg=f"no camera driver is installed; install one of {', '.join(DRIVERS)}, or start your own "
                       "and use track.launch.py")


def included(file, **arguments):
    source = PythonLaunchDescriptionSource([ThisLaunchFileDir(), f"/{file}"])
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())


def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("video_device", default_value="/dev/video0", description="device file of the camera"),
        DeclareLaunchArgument("model", default_value="", description="name or path of the weights"),
        # Images of the driver are too large for Fast DDS's default transports.  The first
        # name is read by Fast DDS 2 and the second by Fast DDS 3; what the user set stays.
        *(SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=PROFILE))
          for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")),
        camera(),
        included("track.launch.py", image="/camera/image_raw", camera_info="/camera/camera_info",
                 model=LaunchConfiguration("model")),
        included("rviz.launch.py"),
    ])
