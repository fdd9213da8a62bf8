"""The node on one camera.

ros2 launch sam2_ros track.launch.py image:=/camera/camera/color/image_raw model:=embedded
ros2 launch sam2_ros track.launch.py image:=/camera/camera/color/image_raw record:=kitchen
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

from sam2_ros.ros import launching

if TYPE_CHECKING:
    from launch import Action, LaunchContext

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("sam2_ros"), "config", "track.yaml"])

#: Parameters of the node that have an argument here; an empty argument leaves params_file's value.
PARAMETERS = {
    "model": "name or path of the weights",
    "image_side": "side of the square to which images are scaled, pixels; 0 = the model's own",
    "device": "cpu, cuda, cuda:1, ...; auto = a GPU if there is one",
    "engine": "auto, torch, openvino or openvino_int8: what computes the model",
    "image_transport": "auto, raw or compressed",
    "image_reliability": "auto, reliable or best_effort",
    "autostart": "false = a lifecycle manager configures and activates the node",
}

#: Topics of the node that an argument remaps.
TOPICS = ("image", "depth", "camera_info", "clicked_point", "detections")

ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="image", description="image topic, without /compressed"),
    DeclareLaunchArgument("depth", default_value="depth", description="depth that is registered to the image"),
    DeclareLaunchArgument(
        "camera_info", default_value="camera_info", description="its camera_info; by default beside the image topic"
    ),
    DeclareLaunchArgument("clicked_point", default_value="/clicked_point", description="where RViz publishes clicks"),
    DeclareLaunchArgument("detections", default_value="detections", description="boxes of a detector"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("name", default_value="sam2_ros", description="name of the node"),
    DeclareLaunchArgument("params_file", default_value=DEFAULT_PARAMETERS, description="YAML file of parameters"),
    DeclareLaunchArgument("record", default_value="", description="a new bag for camera, prompts and results"),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
    *(DeclareLaunchArgument(name, default_value="", description=text) for name, text in PARAMETERS.items()),
]
NAMES = [argument.name for argument in ARGUMENTS]


def launched(context: LaunchContext) -> list[Action]:
    """The node and, with record:=, the recorder; bad arguments are refused before either of them is started."""
    check_names(context)
    warnings = [LogInfo(msg=sentence) for sentence in launching.misspelt(context.launch_configurations, NAMES)]
    node, record = tracking_node(context), recorder(context)
    if record is None:
        return [*warnings, node]
    return [*warnings, node, record, ends_with(node, record), ends_with(record, node)]


def check_names(context: LaunchContext) -> None:
    """Refuse names that ROS would refuse only in the node, after the recorder was started."""
    launching.check_node(*(LaunchConfiguration(key).perform(context) for key in ("name", "namespace")))
    for topic in TOPICS:
        launching.check_topic(topic, LaunchConfiguration(topic).perform(context))


def tracking_node(context: LaunchContext) -> Node:
    """The node, with the given parameters, which are known only when the launch file runs."""
    value = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    given: dict[str, ParameterValue | int | bool] = {
        name: ParameterValue(text, value_type=str) for name, text in value.items() if text
    }
    if value["image_side"]:
        given["image_side"] = launching.whole_number("image_side", value["image_side"], "side in pixels")
    if value["autostart"]:
        given["autostart"] = launching.true_or_false("autostart", value["autostart"])
    given["use_sim_time"] = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return Node(
        package="sam2_ros",
        executable="sam2_ros",
        arguments=["node"],
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[params_file(context), given],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS],
        output="screen",
        emulate_tty=True,
    )


def params_file(context: LaunchContext) -> str:
    """The path of the parameters; without the file launch_ros would continue with the defaults."""
    path = Path(LaunchConfiguration("params_file").perform(context)).expanduser()
    if not path.is_file():
        raise RuntimeError(f"there is no file {path}; give params_file:= the path of a YAML file of parameters")
    launching.check_parameters(path)
    return str(path)


def recorder(context: LaunchContext) -> ExecuteProcess | None:
    """Our recorder, with record:=, for the topics of the node, its parameters and its model."""
    out, namespace, name = (LaunchConfiguration(key).perform(context) for key in ("record", "namespace", "name"))
    if not out:
        return None
    bag = Path(out).expanduser()  # no shell expands the ~ of record:=~/trial
    launching.check_new_bag(bag)
    pushed = "" if namespace.startswith("/") else LaunchConfiguration("ros_namespace", default="").perform(context)
    node = "/".join(["", *filter(None, f"{pushed}/{namespace}".split("/")), name])
    return ExecuteProcess(
        cmd=[ExecutableInPackage("sam2_ros", "sam2_ros"), "record", "--out", str(bag), "--node", node], output="screen"
    )


def ends_with(one: Action, other: Action) -> RegisterEventHandler:
    """End ``other`` when ``one`` has ended: alone it has no use.  Other launched processes go on."""
    end = EmitEvent(event=ShutdownProcess(process_matcher=matches_action(other)))
    return RegisterEventHandler(OnProcessExit(target_action=one, on_exit=[end]))


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=launched)])
