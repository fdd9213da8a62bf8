"""An import goes down or stays inside its own room, and each heavy library has a home."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sam2_ros"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("msg", "srv"))

#: Rooms by level; the words of level 0 are one room together.
LEVELS = [
    {"types", "errors", "settings", "ranges", "files", "decoding", "installation", "separate_process", "node_settings"},
    {"messages", "stages", "stamps", "simulated_user", "drawing", "cpu_threads", "interrupts", "middleware", "version"},
    {"model", "recordings"},
    {"tracking", "geometry", "engines"},
    {"stream"},
    {"ros", "evaluation", "training", "file_processing"},
    {"demo", "doctor"},
    {"commands"},
    {"cli", "__init__"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

#: Where a library may be imported, as starts of paths inside the package.
ROS = ("ros/", "demo/")
TORCH = ("model/", "tracking/", "training/", "engines/")
HOMES = {
    "rclpy": ROS,
    "launch": (),
    "rosbags": ("recordings/bags/message_types.py", "recordings/bags/writer.py"),
    "torch": TORCH,
    "pybullet": ("training/",),
    "onnxruntime": ("engines/",),
    "openvino": ("engines/",),
    "nncf": ("engines/",),
}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports; `from a import b` counts as a.b, relative imports are resolved."""
    package = ("sam2_ros", *path.relative_to(PACKAGE).parts[:-1])
    tree = ast.parse(path.read_text())
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            names |= {".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_ros(name: str) -> bool:
    """Whether a name belongs to ROS: its client library, its messages, or those generated from msg/ and srv/."""
    return name.split(".")[0].endswith(("_msgs", "_srvs", "_interfaces")) or name.startswith(
        ("rclpy", "cv_bridge", "message_filters", "tf2_", "ament_", "sam2_ros.msg", "sam2_ros.srv")
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_import_goes_down_or_stays_in_its_room(path: Path) -> None:
    assert room(path) in LEVEL, f"give {room(path)} a level in {Path(__file__).name}"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "sam2_ros" or len(parts) == 1 or parts[1] not in LEVEL:
            continue
        same = parts[1] == room(path) or LEVEL[parts[1]] == LEVEL[room(path)] == 0
        assert same or LEVEL[parts[1]] < LEVEL[room(path)], f"{room(path)} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_library_is_imported_only_in_its_home(path: Path) -> None:
    here = str(path.relative_to(PACKAGE))
    for name in imports(path):
        homes = ROS if is_ros(name) else HOMES.get(name.split(".")[0])
        assert homes is None or here.startswith(tuple(homes)), f"{here} must not import {name}"


def test_the_command_line_starts_without_heavy_libraries() -> None:
    for path in (PACKAGE / "cli.py", PACKAGE / "__init__.py"):
        heavy = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not heavy & {"torch", "rclpy", "rosbags", "matplotlib", "pybullet"}
        rooms = {name.split(".")[1] for name in imports(path, top_level_only=True) if name.startswith("sam2_ros.")}
        assert not rooms & {
            "tracking",
            "model",
            "engines",
            "recordings",
            "geometry",
            "stream",
            "ros",
            "evaluation",
            "training",
            "demo",
            "commands",
        }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_opencv_is_given_no_name_of_a_video_that_it_may_misread(path: Path) -> None:
    """It ends the process for a name that is not UTF-8; ruff bans its pictures, but cannot ask for plain_name."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not calls & {"cv2.VideoCapture", "cv2.VideoWriter"} or "plain_name" in calls
