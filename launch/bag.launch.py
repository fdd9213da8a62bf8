"""Play a bag into the node, on the bag's clock.

    ros2 launch sam2_ros bag.launch.py bag:=/data/run_7 image:=/camera/color/image_raw
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, TimerAction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir
from launch_ros.substitutions import ExecutableInPackage

#: Arguments of track.launch.py that are handed on.
PASSED_ON = {"image": "image", "camera_info": "camera_info", "image_transport": "", "model": "", "device": ""}


def generate_launch_description():
    track = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/track.launch.py"]),
        launch_arguments={"use_sim_time": "true", **{name: LaunchConfiguration(name) for name in PASSED_ON}}.items(),
    )
    # Unlike ros2 bag play it leaves recorded results out, and plays recorded prompts.
    play = ExecuteProcess(
        cmd=[ExecutableInPackage("sam2_ros", "sam2_ros"), "play", LaunchConfiguration("bag"), "--rate", LaunchConfiguration("rate")],
        output="screen",
    )
    return LaunchDescription([
        DeclareLaunchArgument("bag", description="folder or file of the bag"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed; 1 = as recorded"),
        DeclareLaunchArgument("delay", default_value="5.0", description="seconds for the model to load"),
        *(DeclareLaunchArgument(name, default_value=default, description="as in track.launch.py")
          for name, default in PASSED_ON.items()),
        track,
        TimerAction(period=LaunchConfiguration("delay"), actions=[play]),
    ])
