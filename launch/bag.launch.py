"""Play a bag into the node, on the bag's clock.

    ros2 launch sam2_ros bag.launch.py bag:=/data/run_7 image:=/camera/color/image_raw

A node that was recorded under another name than /sam2_ros gets its prompts under that name: name:=left namespace:=arm
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

from sam2_ros.ros import launching

if TYPE_CHECKING:
    from launch import Action, LaunchContext
    from launch.events.process import ProcessExited

#: Arguments that are passed on to track.launch.py, with their defaults there.
PASSED_ON = {
    "image": "image",
    "depth": "depth",
    "camera_info": "camera_info",
    "clicked_point": "/clicked_point",
    "detections": "detections",
    "namespace": "",
    "name": "sam2_ros",
    "record": "",
    "model": "",
    "image_side": "",
    "device": "",
    "engine": "",
    "image_transport": "",
    "image_reliability": "",
    "autostart": "",
    "params_file": PathJoinSubstitution([FindPackageShare("sam2_ros"), "config", "track.yaml"]),
}


def player(context: LaunchContext) -> list[Action]:
    """The player, some seconds after the node; RuntimeError if there is no bag to play."""
    bag = Path(LaunchConfiguration("bag").perform(context)).expanduser()  # no shell expands the ~ of bag:=~/run_7
    if not bag.exists():
        raise RuntimeError(f"there is no bag {bag}; give bag:= the folder or the file of one")
    launching.check_number("rate", LaunchConfiguration("rate").perform(context), "speed above 0", above=True)
    launching.check_number("delay", LaunchConfiguration("delay").perform(context), "number of seconds")
    # Unlike ros2 bag play it leaves out recorded results, and plays recorded prompts.
    play = ExecuteProcess(
        cmd=[ExecutableInPackage("sam2_ros", "sam2_ros"), "play", str(bag), "--rate", LaunchConfiguration("rate")],
        output="screen",
    )

    def end(event: ProcessExited, _: LaunchContext) -> list[Action]:
        """When a process ends, all end; but after a whole bag the node goes on, so that results can be looked at."""
        played = event.action is play and event.returncode == 0
        return [] if played else [Shutdown(reason=f"{event.process_name} has ended")]

    return [
        RegisterEventHandler(OnProcessExit(on_exit=end)),
        TimerAction(period=LaunchConfiguration("delay"), actions=[play]),
    ]


def generate_launch_description() -> LaunchDescription:
    track = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), "/track.launch.py"]),
        launch_arguments={"use_sim_time": "true", **{name: LaunchConfiguration(name) for name in PASSED_ON}}.items(),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="folder or file of the bag"),
            DeclareLaunchArgument("rate", default_value="1.0", description="speed; 1 = as recorded"),
            DeclareLaunchArgument("delay", default_value="5.0", description="seconds for the model to load"),
            *(
                DeclareLaunchArgument(name, default_value=default, description="as in track.launch.py")
                for name, default in PASSED_ON.items()
            ),
            OpaqueFunction(function=player),  # first: it may refuse before the node is started
            track,
        ]
    )
