"""What is installed is what is written: versions, dependencies, interfaces, share files, sizes."""

import ast
import importlib.metadata
import re
import sys
import xml.etree.ElementTree as ElementTree
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
backend = pytest.importorskip("build_backend", reason="setuptools is not installed here")
sys.path.remove(str(ROOT / "scripts"))
CONSTRAINTS = ROOT / "scripts" / "constraints"
PACKAGE_XML = ElementTree.parse(ROOT / "package.xml")
SOURCES = sorted(
    path for path in (ROOT / "sam2_ros").rglob("*.py") if path.relative_to(ROOT).parts[1] not in ("msg", "srv")
)
INTERFACES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")])

#: rosdep key of an imported module, where it is not the module's own name; None = pip only.
ROSDEP = {
    "numpy": "python3-numpy",
    "cv2": "python3-opencv",
    "tqdm": "python3-tqdm",
    "argcomplete": "python3-argcomplete",
    "yaml": "python3-yaml",
    "tf2_ros": "tf2_ros_py",
    "builtin_interfaces": "rclpy",
    "rcl_interfaces": "rclpy",
    "rosgraph_msgs": "rclpy",
    "torch": None,
    "safetensors": None,
    "rosbags": None,
    "matplotlib": "python3-matplotlib",
    "onnx": None,
    "onnxruntime": None,
    "openvino": None,
    "ray": None,
    "pybullet": None,
    "pybullet_data": None,
    "lz4": None,
    "backports": None,
    "compression": None,
}


def declared_keys() -> set[str]:
    return {element.text for element in PACKAGE_XML.getroot() if element.tag.endswith("depend")}


def imported_modules(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"sam2_ros"}


def test_the_version_is_written_once() -> None:
    try:
        installed = importlib.metadata.version("sam2_ros")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("installed by colcon, which keeps no Python metadata")
    assert installed == PACKAGE_XML.findtext("version")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_is_declared_in_package_xml(path: Path) -> None:
    keys = {ROSDEP.get(name, name) for name in imported_modules(path)} - {None}
    assert keys <= declared_keys()


def pinned(name: str) -> set[str]:
    """The lines of a file of constraints, and of the one that it includes."""
    lines = [line for file in (name, "common") for line in (CONSTRAINTS / f"{file}.txt").read_text().splitlines()]
    return {line for line in lines if "==" in line and not line.startswith("#")}


@pytest.mark.parametrize("name", backend.DISTRIBUTIONS)
def test_the_same_distribution_builds_and_runs(name: str) -> None:
    distribution = backend.DISTRIBUTIONS[name]
    assert {re.match(r"ros-(.*)-rclpy", line)[1] for line in distribution.running if "-rclpy" in line} == {name}
    assert len(distribution.running) == 6
    assert {re.sub(r"\[.*\]", "", line) for line in distribution.running} <= pinned(name)


def test_pip_asks_for_the_wheels_of_ros_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "has_wheels", lambda: True)
    monkeypatch.delenv("SAM2_ROS_WITHOUT_ROS", raising=False)
    for value, name in (("", "jazzy"), ("jazzy", "jazzy"), ("kilted", "kilted")):
        monkeypatch.setenv("ROS", value)
        assert set(backend.running()) == {*backend.LIBRARY, *backend.DISTRIBUTIONS[name].running}
        assert set(backend.DISTRIBUTIONS[name].running) < set(backend.building())
    monkeypatch.setenv("ROS", "humble")
    with pytest.raises(SystemExit, match="ROS=humble: there are wheels of jazzy and kilted"):
        backend.running()


@pytest.mark.parametrize("reason", ["SAM2_ROS_WITHOUT_ROS", "ROS", "another machine"])
def test_without_ros_the_library_is_built_and_needs_no_compiler(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(backend, "has_wheels", lambda: reason != "another machine")
    monkeypatch.setenv("SAM2_ROS_WITHOUT_ROS", "1" if reason == "SAM2_ROS_WITHOUT_ROS" else "0")
    monkeypatch.setenv("ROS", "none" if reason == "ROS" else "")
    assert backend.running() == list(backend.LIBRARY) and backend.building() == []


@pytest.mark.parametrize("name", [*backend.DISTRIBUTIONS, "none"])
def test_tested_versions_are_pinned(name: str) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*backend.LIBRARY, *chain.from_iterable(project["optional-dependencies"].values())]
    assert {re.match(r"[\w.-]+", line)[0].lower() for line in wanted} <= {line.split("==")[0] for line in pinned(name)}


def test_the_lowest_versions_are_those_that_the_metadata_allow() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [*backend.LIBRARY, *extras["evaluate"], *extras["train"], *extras["test"]]
    bounds = dict(re.match(r"([\w.-]+)>=([\d.]+)", line).groups() for line in wanted)
    lowest = {}
    for line in (CONSTRAINTS / "lowest.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split(";")[0].split("==")
            lowest.setdefault(name, version)  # the first line of a name is for Python 3.10
    assert {name.lower() for name in bounds} == set(lowest)
    for name, bound in bounds.items():
        assert f"{lowest[name.lower()]}.".startswith(f"{bound}."), name


def test_every_data_file_of_the_package_is_installed() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML")
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["sam2_ros"]
    packed = {path for pattern in patterns for path in (ROOT / "sam2_ros").glob(pattern)}
    generated = {"msg", "srv", "__pycache__"}
    data = {
        path
        for path in (ROOT / "sam2_ros").rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc", ".so")
        and path.name != "LOG.md"  # the training log
        and not generated & set(path.relative_to(ROOT).parts)
    }
    assert data <= packed, "name them in pyproject.toml, package-data"


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_field_of_an_interface_is_commented(path: Path) -> None:
    above = ""
    for line in path.read_text().splitlines():
        if line and not line.startswith("#") and line != "---":
            assert "#" in line or above.startswith("#"), f"{path.name}: {line}"
        above = line


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_interface_can_be_imported(path: Path) -> None:
    module = pytest.importorskip(f"sam2_ros.{path.suffix[1:]}")
    assert hasattr(module, path.stem)


def test_the_constants_on_the_wire_are_those_of_the_tracker() -> None:
    from sam2_ros.types import State

    message = pytest.importorskip("sam2_ros.msg").TrackedObject
    assert {state.name: state.value for state in State} == {
        name: getattr(message, name) for name in ("VISIBLE", "OCCLUDED", "LOST")
    }


def test_share_files_are_installed_as_they_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = pytest.importorskip("ament_index_python.packages")
    try:
        share = Path(packages.get_package_share_directory("sam2_ros"))
    except (LookupError, OSError):
        # A virtual environment is not on AMENT_PREFIX_PATH unless somebody puts it there.
        monkeypatch.setenv("AMENT_PREFIX_PATH", sys.prefix)
        share = Path(packages.get_package_share_directory("sam2_ros"))
    for folder in ("launch", "config", "msg", "srv"):
        for path in (ROOT / folder).glob("*.*"):
            assert (share / folder / path.name).read_text() == path.read_text(), f"{path} changed: install again"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_library_code_raises_system_exit(path: Path) -> None:
    """Ruff's banned-api (sys.exit, os._exit and names of OpenCV stand there) sees no builtin names."""
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    assert path.name == "__main__.py" or "SystemExit" not in names


def test_a_robot_without_a_screen_gets_no_windows() -> None:
    assert not {key for key in declared_keys() if key.startswith(("rviz", "rqt"))}
