"""The launch files, run against stand-ins for launch and launch_ros, which no wheel brings.

The stand-ins record what a launch file constructs; the test then asks whether the
executables, files, arguments and parameters that it names exist.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

from sam2_ros.errors import InvalidInput

pytest.importorskip("rclpy", reason="the launch files ask ROS which names are valid")

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))

MODULES = {
    "launch": ["LaunchDescription"],
    "launch.actions": [
        "DeclareLaunchArgument",
        "EmitEvent",
        "ExecuteProcess",
        "IncludeLaunchDescription",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
        "Shutdown",
        "TimerAction",
    ],
    "launch.event_handlers": ["OnProcessExit"],
    "launch.events": ["matches_action"],
    "launch.events.process": ["ShutdownProcess"],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": ["LaunchConfiguration", "PathJoinSubstitution", "ThisLaunchFileDir"],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
    "launch_ros.substitutions": ["ExecutableInPackage", "FindPackageShare"],
    "ament_index_python": [],
    "ament_index_python.packages": [],
}


class Recorded:
    """Any class of launch: remembers how it was constructed."""

    #: Names of the launch configurations that functions of a launch file have looked up.
    looked_up: set[str] = set()

    def __init__(self, *arguments, **keywords) -> None:
        self.kind, self.arguments, self.keywords = type(self).__name__, arguments, keywords

    @property
    def name(self) -> str:
        """Of a DeclareLaunchArgument."""
        return self.arguments[0]

    def perform(self, context: dict[str, str]) -> str:
        """What a LaunchConfiguration does: look its argument up."""
        self.looked_up.add(self.arguments[0])
        if "default" in self.keywords:
            return context.get(self.arguments[0], self.keywords["default"])
        value = context[self.arguments[0]]
        if isinstance(value, Recorded) and value.kind == "PathJoinSubstitution":
            return str(ROOT.joinpath(*value.arguments[0][1:]))
        return value


class Context(dict):
    """The launch configurations by name."""

    @property
    def launch_configurations(self) -> dict[str, str]:
        return self


@pytest.fixture
def installed_drivers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand-ins for launch are importable; a name in this dictionary counts as an installed package."""
    drivers = {"v4l2_camera": "/opt", "rqt_image_view": "/opt", "rviz2": "/opt"}
    for name, classes in MODULES.items():
        module = types.ModuleType(name)
        for class_name in classes:
            setattr(module, class_name, type(class_name, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    # A __pycache__ in launch/ would look like a changed file to a program that watches that folder.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # It changes os.environ, which outlives the test.
    monkeypatch.setattr("sam2_ros.ros.fastdds_profile.make_room", lambda: None)
    sys.modules["ament_index_python.packages"].get_packages_with_prefixes = lambda: drivers
    return drivers


def entities(name: str, given: dict[str, str] | None = None) -> list[Recorded]:
    """What a launch file launches when it is run with these arguments."""
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), ROOT / "launch" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = list(module.generate_launch_description().arguments[0])
    context = Context({**declared(found), "bag": str(ROOT / "test"), **(given or {})})
    for action in [entity for entity in found if entity.kind == "OpaqueFunction"]:
        found += action.keywords["function"](context)
    return found


def declared(found: list[Recorded]) -> dict[str, str]:
    return {
        action.arguments[0]: action.keywords.get("default_value")
        for action in found
        if action.kind == "DeclareLaunchArgument"
    }


def only(found: list[Recorded], kind: str) -> Recorded:
    (action,) = (entity for entity in found if entity.kind == kind)
    return action


def inside(value: object) -> list[Recorded]:
    """Every recorded object inside nested arguments."""
    if isinstance(value, Recorded):
        return [value, *inside(value.arguments), *inside(value.keywords)]
    if isinstance(value, dict):
        return inside(list(value.values()))
    return (
        [found for part in value for found in inside(part)]
        if isinstance(value, (list, tuple, type({}.items())))
        else []
    )


def file_name(source: Recorded) -> str:
    """The file, in the folder of the launch file, that a launch description comes from."""
    return source.arguments[0][-1].lstrip("/")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_has_a_description_and_is_used(path: Path, installed_drivers: dict[str, str]) -> None:
    Recorded.looked_up.clear()
    found = entities(path.name)
    arguments = [action for action in found if action.kind == "DeclareLaunchArgument"]
    assert all(action.keywords.get("description") for action in arguments)
    used = {part.arguments[0] for part in inside(found) if part.kind == "LaunchConfiguration"} | Recorded.looked_up
    assert used - {"ros_namespace"} == set(declared(found))  # launch_ros sets that one


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path, installed_drivers: dict[str, str]) -> None:
    for part in inside(entities(path.name)):
        if part.kind == "PathJoinSubstitution":
            package, *rest = part.arguments[0]
            assert package.arguments == ("sam2_ros",)
            assert ROOT.joinpath(*rest).is_file(), f"{path.name} names {'/'.join(rest)}"
        if part.kind == "PythonLaunchDescriptionSource":
            assert (path.parent / file_name(part)).is_file()


def test_track_starts_our_executable_with_its_topics_remapped(installed_drivers: dict[str, str]) -> None:
    node = only(entities("track.launch.py"), "Node").keywords
    assert (node["package"], node["executable"], node["arguments"]) == ("sam2_ros", "sam2_ros", ["node"])
    assert os.access(ROOT / "scripts" / "sam2_ros", os.X_OK)
    assert [topic for topic, _ in node["remappings"]] == [
        "image",
        "depth",
        "camera_info",
        "clicked_point",
        "detections",
    ]


def test_track_overrides_only_the_parameters_that_are_given(installed_drivers: dict[str, str]) -> None:
    default = only(entities("track.launch.py"), "Node").keywords["parameters"]
    given = only(entities("track.launch.py", {"model": "tiny"}), "Node").keywords["parameters"]
    assert default[0] == given[0] == str(ROOT / "config" / "track.yaml")
    assert set(default[1]) == {"use_sim_time"}
    assert set(given[1]) == {"use_sim_time", "model"}
    assert given[1]["model"].arguments == ("tiny",)
    small = only(entities("track.launch.py", {"model": "edgetam_512", "image_side": "512"}), "Node")
    assert small.keywords["parameters"][1]["image_side"] == 512, "the node takes a whole number"
    managed = only(entities("track.launch.py", {"autostart": "False"}), "Node")
    assert managed.keywords["parameters"][1]["autostart"] is False


def test_included_files_get_arguments_that_they_declare(installed_drivers: dict[str, str]) -> None:
    for path in FILES:
        for action in entities(path.name):
            if action.kind == "IncludeLaunchDescription":
                included = file_name(action.arguments[0])
                given = dict(action.keywords.get("launch_arguments", ()))
                assert set(given) <= set(declared(entities(included)))


def test_the_camera_demo_uses_the_driver_that_is_installed(installed_drivers: dict[str, str]) -> None:
    del installed_drivers["v4l2_camera"]
    installed_drivers["usb_cam"] = "/opt"
    assert "usb_cam_node_exe" in [
        one.keywords["executable"] for one in entities("camera_demo.launch.py") if one.kind == "Node"
    ]


@pytest.mark.parametrize(
    "missing, words", [("v4l2_camera", "install one of v4l2_camera, usb_cam"), ("rqt_image_view", "rqt_image_view")]
)
def test_the_camera_demo_starts_nothing_where_a_package_is_missing(
    installed_drivers: dict[str, str], missing, words
) -> None:
    del installed_drivers[missing]
    with pytest.raises(RuntimeError, match=words):
        entities("camera_demo.launch.py")


@pytest.mark.parametrize("name", [path.name for path in FILES if "Include" in path.read_text()])
def test_what_a_launch_file_refuses_is_looked_at_before_anything_is_started(
    installed_drivers: dict[str, str], name
) -> None:
    kinds = [
        action.kind
        for action in entities(name)
        if action.kind not in ("DeclareLaunchArgument", "Node", "ExecuteProcess")
    ]
    assert kinds[0] == "OpaqueFunction", "what stands before it is running when it raises"


def test_a_bag_and_a_parameter_file_that_do_not_exist_stop_the_launch(
    installed_drivers: dict[str, str], tmp_path
) -> None:
    with pytest.raises(RuntimeError, match="there is no bag /nowhere; give bag:="):
        entities("bag.launch.py", {"bag": "/nowhere"})
    for wrong in (tmp_path, tmp_path / "mine.yaml"):
        with pytest.raises(RuntimeError, match=f"there is no file {wrong}; give params_file:="):
            entities("track.launch.py", {"params_file": str(wrong)})


@pytest.mark.parametrize(
    "given, words",
    [
        ({"name": "1abc"}, "name:=1abc is not valid: .*number"),
        ({"name": ""}, "name:= is not valid"),
        ({"namespace": "/a//b"}, "namespace:=/a//b is not valid"),
        ({"namespace": "a b"}, "namespace:=a b is not valid"),
        ({"image": "cam image"}, "image:=cam image is not a valid topic name"),
        ({"image": ""}, "image:= is not a valid topic name"),
        ({"detections": "/a/"}, "detections:=/a/ is not a valid topic name"),
        ({"image_side": "small"}, "image_side:=small is not a side in pixels; give a whole number"),
        ({"autostart": "no"}, "autostart:=no is not true or false"),
        ({"record": f"{__file__}/x/kitchen"}, "kitchen cannot be created"),
    ],
)
def test_what_ros_or_the_disk_would_refuse_stops_the_launch(installed_drivers, given, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        entities("track.launch.py", given)


@pytest.mark.parametrize(
    "given", [{"namespace": "arm/"}, {"namespace": "/"}, {"image": "~/image"}, {"record": "/tmp/of kitchen/x y"}]
)
def test_what_ros_and_the_disk_take_is_launched(installed_drivers, given) -> None:
    assert only(entities("track.launch.py", given), "Node")


@pytest.mark.parametrize(
    "text, words", [("- a", "sets no parameters"), ("hello", "sets no parameters"), ("a: [1", "as YAML")]
)
def test_a_parameter_file_that_is_none_stops_the_launch(installed_drivers, tmp_path, text, words) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=f"mine.yaml .*{words}"):
        entities("track.launch.py", {"params_file": str(tmp_path / "mine.yaml")})


@pytest.mark.parametrize(
    "given", [{"rate": "0"}, {"rate": "fast"}, {"rate": "nan"}, {"delay": "-1"}, {"delay": "soon"}]
)
def test_numbers_of_the_playback_are_checked_before_it(installed_drivers, given) -> None:
    ((name, value),) = given.items()
    with pytest.raises(InvalidInput, match=f"{name}:={value} is not a "):
        entities("bag.launch.py", given)


def test_a_misspelt_argument_is_named(installed_drivers) -> None:
    given = {"imagee": "/camera", "ros_namespace": "/arm", "video_device": "/dev/video0"}
    said = only(entities("track.launch.py", given), "LogInfo").keywords["msg"]
    assert said == "the argument imagee:= does not exist and sets nothing; did you mean image:=?"


def test_a_tilde_in_a_path_is_ones_home(installed_drivers: dict[str, str], tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("/**: {ros__parameters: {}}")
    node = only(entities("track.launch.py", {"params_file": "~/mine.yaml"}), "Node")
    assert node.keywords["parameters"][0] == str(tmp_path / "mine.yaml")


def test_node_and_recorder_end_together(installed_drivers: dict[str, str]) -> None:
    found = entities("track.launch.py", {"record": "kitchen"})
    node, recorder = only(found, "Node"), only(found, "ExecuteProcess")
    pairs = [
        (
            handler.keywords["target_action"],
            handler.keywords["on_exit"][0].keywords["event"].keywords["process_matcher"].arguments[0],
        )
        for handler in inside(found)
        if handler.kind == "OnProcessExit"
    ]
    assert pairs == [(node, recorder), (recorder, node)]
    assert not [one for one in entities("track.launch.py") if one.kind == "RegisterEventHandler"]


def test_whatever_fails_ends_the_playback_but_a_bag_that_was_played_leaves_the_node(
    installed_drivers: dict[str, str],
) -> None:
    found = entities("bag.launch.py")
    (player,) = only(found, "TimerAction").keywords["actions"]
    end = only(inside(found), "OnProcessExit").keywords["on_exit"]

    def ended(action, code):
        return [one.kind for one in end(types.SimpleNamespace(action=action, returncode=code, process_name="it"), {})]

    assert ended(player, 0) == [] and ended(player, 1) == ended(None, 0) == ["Shutdown"]


def test_the_playback_hands_on_every_argument_of_the_node(installed_drivers: dict[str, str]) -> None:
    playback = declared(entities("bag.launch.py"))
    track = declared(entities("track.launch.py"))
    assert set(track) - set(playback) == {"use_sim_time"}  # which is true
    assert all(playback[name] == track[name] for name in set(track) & set(playback) - {"params_file"})
    included = dict(only(entities("bag.launch.py"), "IncludeLaunchDescription").keywords["launch_arguments"])
    assert set(track) == set(included)


def test_a_bag_is_played_by_our_player_on_its_own_clock(installed_drivers: dict[str, str]) -> None:
    found = entities("bag.launch.py")
    (player,) = only(found, "TimerAction").keywords["actions"]
    ours, command, *_ = player.keywords["cmd"]
    assert (ours.arguments, command) == (("sam2_ros", "sam2_ros"), "play")
    assert dict(only(found, "IncludeLaunchDescription").keywords["launch_arguments"])["use_sim_time"] == "true"


def test_the_parameters_that_have_an_argument_exist(installed_drivers: dict[str, str]) -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "config" / "track.yaml").read_text()
    parameters = next(iter(yaml.safe_load(text).values()))["ros__parameters"]
    every = dict.fromkeys(("model", "device", "engine", "image_transport", "image_reliability"), "x") | {
        "image_side": "512",
        "autostart": "true",
    }
    given = only(entities("track.launch.py", every), "Node").keywords["parameters"][1]
    assert set(given) - {"use_sim_time"} == set(every) <= set(parameters)


@pytest.mark.parametrize(
    "given, info",
    [({"depth": "/camera/depth/image_rect"}, "/camera/depth/camera_info"), ({"depth_info": "/info"}, "/info")],
)
def test_the_depth_cloud_of_rviz_finds_its_calibration(installed_drivers: dict[str, str], given, info) -> None:
    remappings = dict(only(entities("rviz.launch.py", given), "Node").keywords["remappings"])
    assert remappings["/camera_info"] == info


def test_rviz_shows_every_topic_of_the_node_that_is_named(installed_drivers: dict[str, str]) -> None:
    shown = {
        line.split()[1] for line in (ROOT / "config" / "track.rviz").read_text().splitlines() if "/sam2_ros/" in line
    }
    remapped = {source for source, _ in only(entities("rviz.launch.py"), "Node").keywords["remappings"]}
    assert {topic.rpartition("/")[2] for topic in shown} == {"overlay", "masks", "markers", "points"}
    assert shown <= remapped


def test_without_rviz_one_sentence_says_what_to_install(installed_drivers: dict[str, str]) -> None:
    del installed_drivers["rviz2"]
    with pytest.raises(RuntimeError, match="rviz2 is not installed; install ros-"):
        entities("rviz.launch.py")


def test_a_bag_is_recorded_when_asked_for(installed_drivers: dict[str, str]) -> None:
    assert not [action for action in entities("track.launch.py") if action.kind == "ExecuteProcess"]
    given = {"record": "kitchen", "namespace": "arm", "name": "left"}
    ours, *command = only(entities("track.launch.py", given), "ExecuteProcess").keywords["cmd"]
    assert ours.arguments == ("sam2_ros", "sam2_ros")
    assert command == ["record", "--out", "kitchen", "--node", "/arm/left"]


def test_a_bag_that_exists_stops_the_launch_and_a_tilde_is_ones_home(installed_drivers, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"record": "~/trial"}
    assert str(tmp_path / "trial") in only(entities("track.launch.py", given), "ExecuteProcess").keywords["cmd"]
    (tmp_path / "trial").mkdir()
    with pytest.raises(InvalidInput, match="trial exists already; give record:= the name of a new bag"):
        entities("track.launch.py", given)


@pytest.mark.parametrize(
    "namespace, node", [("", "/robot/sam2_ros"), ("arm", "/robot/arm/sam2_ros"), ("/arm", "/arm/sam2_ros")]
)
def test_a_node_that_is_launched_within_a_namespace_is_recorded_there(installed_drivers, namespace, node) -> None:
    given = {"record": "kitchen", "namespace": namespace, "ros_namespace": "/robot"}
    assert only(entities("track.launch.py", given), "ExecuteProcess").keywords["cmd"][-1] == node
