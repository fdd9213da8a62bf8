"""What the doctor finds, with stand-ins for what is missing or broken."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from sam2_ros import cli, doctor
from sam2_ros.doctor import Finding
from sam2_ros.model import downloads

#: What a look at ROS finds on a machine where everything is fine.
SEEN = {
    "middleware": "rmw_fastrtps_cpp",
    "profile": "/share/profile.xml",
    "cv_bridge": "cv_bridge converts images (rgb8)",
    "missing": [],
    "nodes": ["/camera"],
    "images": ["/camera/image_raw (Image, 30/s)"],
}


def looking(monkeypatch, code, patience=60.0):
    """The look at ROS does what ``code`` says; what is found."""
    monkeypatch.setattr(doctor, "INSPECTION", code)
    monkeypatch.setattr(doctor, "PATIENCE", patience)
    return list(doctor.ros())


@pytest.fixture
def healthy(monkeypatch):
    """No model is loaded, and ROS is not looked at."""
    monkeypatch.setattr(doctor, "weights", lambda *_: Finding("model", "embedded"))
    monkeypatch.setattr(doctor, "_distribution", lambda: "jazzy, rclpy 7.1.6")
    monkeypatch.setattr(doctor, "_seen", lambda: SEEN)


def test_where_nothing_stops_the_node_the_exit_code_is_0(healthy, capsys) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in ("Python", "NumPy", "PyTorch", "jazzy", "rmw_fastrtps_cpp", "/camera/image_raw (Image, 30/s)"):
        assert part in out
    assert out.endswith("\nthe node would start\n")


def test_every_reason_is_said_and_the_exit_code_is_1(healthy, monkeypatch, capsys) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "999")
    monkeypatch.setattr(doctor, "weights", lambda *_: Finding("model", "x", "there is no file x"))
    monkeypatch.setattr(doctor, "_seen", lambda: {"stops": "ROS cannot start a node: no"})
    assert cli.main(["doctor"]) == 1
    reasons = capsys.readouterr().out.partition("the node would not start:\n")[2].splitlines()
    assert len(reasons) == 3
    for reason, part in zip(reasons, ("there is no file x", "ROS_DOMAIN_ID 999", "cannot start a node")):
        assert reason.startswith("- ") and part in reason


def test_a_library_that_is_missing_or_broken_stops_the_node(monkeypatch) -> None:
    monkeypatch.setitem(doctor.NEEDED, "no_such_library", "Missing")
    assert "needs the Python module no_such_library" in doctor._module("no_such_library", "Missing").stops

    def broken(_):
        raise RuntimeError("module compiled against another ABI. More words.")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert "compiled against another ABI)" in doctor._module("numpy", "NumPy").stops


def test_its_options_are_read_where_no_library_is_installed() -> None:
    missing = "import sys; sys.modules |= dict.fromkeys(('numpy', 'cv2', 'torch', 'rclpy', 'rosbags', 'yaml'))\n"
    code = f"{missing}from sam2_ros.cli import parse; print(parse('doctor', ['--model', 'tiny']).model)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "tiny", done.stderr


@pytest.mark.parametrize(
    "model, words", [("/nowhere/model.pt", "there is no file /nowhere/model.pt"), ("no_name", "not a known name")]
)
def test_a_model_that_cannot_be_loaded_stops_the_node(model, words) -> None:
    assert words in doctor.weights(model, "cpu").stops


def test_the_model_is_looked_at_with_the_side_that_it_will_have() -> None:
    assert "SAM 2.1 embedded at 384 pixels on cpu" in doctor.weights("embedded", "cpu", 384).value
    assert "multiple of 32 pixels, got 100" in doctor.weights("embedded", "cpu", 100).stops


def test_a_model_that_is_not_here_yet_is_not_downloaded_and_no_reason(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(downloads.urllib.request, "urlopen", None)
    finding = doctor.weights("large", "cpu")
    assert "downloaded when it is first used" in finding.value and not finding.stops
    (tmp_path / "sam2.1_hiera_tiny.pt").touch()
    assert doctor._downloaded().value.startswith("sam2.1_hiera_tiny.pt (")


def test_shared_memory_that_is_small_missing_or_not_writable_is_said(tmp_path, monkeypatch) -> None:
    assert "not there" in doctor.shared_memory(tmp_path / "shm").value
    (tmp_path / "shm").mkdir()
    room = SimpleNamespace(f_bavail=60, f_blocks=64, f_frsize=2**20)
    monkeypatch.setattr(doctor.os, "statvfs", lambda _: room)
    assert doctor.shared_memory(tmp_path / "shm").value.startswith("60 MB free of 64 MB; that is little")
    room.f_bavail = room.f_blocks = 24 * 2**10
    assert doctor.shared_memory(tmp_path / "shm").value == "24.0 GB free of 24.0 GB"

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert "cannot be written (Permission denied)" in doctor.shared_memory(tmp_path / "shm").value


def test_a_middleware_that_is_not_installed_stops_the_node(tmp_path, monkeypatch) -> None:
    index = tmp_path / "share/ament_index/resource_index/rmw_typesupport"
    index.mkdir(parents=True)
    (index / "rmw_fastrtps_cpp").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_none_cpp")
    assert ["rmw_none_cpp, which is not installed" in finding.stops for finding in doctor._environment()][1]


@pytest.mark.parametrize("missing", ["cv2", "torch"])
def test_the_doctor_itself_needs_no_library(missing) -> None:
    code = (
        "import sys; from importlib.machinery import PathFinder; find = PathFinder.find_spec\n"
        f"PathFinder.find_spec = lambda name, *args: None if name == {missing!r} else find(name, *args)\n"
        "from sam2_ros import cli, doctor; doctor._seen = lambda: {'stops': 'not looked at'}\n"
        "sys.exit(cli.main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stdout.count(f"- the node needs the Python module {missing}, which is not installed here") == 1
    assert "/dev/shm" in done.stdout and "ROS_DOMAIN_ID" in done.stdout


def test_a_look_at_ros_that_never_ends_or_dies_stops_the_node(monkeypatch) -> None:
    (finding,) = looking(monkeypatch, "import time; time.sleep(60)", patience=0.5)
    assert "has not started a node within" in finding.stops
    (finding,) = looking(monkeypatch, "import sys; sys.exit('no space for logs')")
    assert finding.stops == "ROS cannot start a node: no space for logs"
    (finding,) = looking(monkeypatch, "import os; os.abort()")
    assert "ended with -6" in finding.stops


def test_where_ros_is_not_installed_that_is_a_sentence(monkeypatch) -> None:
    (finding,) = looking(
        monkeypatch,
        "from importlib.machinery import PathFinder; find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *args: None if name == 'rclpy' else find(name, *args)\n"
        + doctor.INSPECTION,
    )
    assert finding.name == "ROS 2" and "the node needs ROS 2, whose module rclpy is not found here" in finding.stops


@pytest.mark.parametrize(
    "named, shown", [("jazzy", "jazzy, rclpy 7.1"), ("kilted", "jazzy, rclpy 7.1; but ROS_DISTRO")]
)
def test_the_distribution_is_that_of_the_rclpy_in_use(monkeypatch, named, shown) -> None:
    monkeypatch.setenv("ROS_DISTRO", named)
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda _: "7.1")
    assert doctor._distribution().startswith(shown)


@pytest.mark.parametrize("version, name", [("3.3.15", "humble"), ("9.1.2", "kilted"), ("10.0.11", "lyrical")])
def test_the_distribution_is_known_by_the_version_of_rclpy(monkeypatch, version, name) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda _: version)
    assert doctor._distribution() == f"{name}, rclpy {version}"


def test_published_images_are_listed_with_their_rate_and_nodes_with_their_names() -> None:
    rclpy = pytest.importorskip("rclpy")
    import ros_bench  # noqa: F401  a domain of its own
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("camera_of_the_doctor")
    publisher = node.create_publisher(Image, "/doctor/image", 5)
    done = threading.Event()

    def publish() -> None:
        while not done.wait(0.05):
            publisher.publish(Image(height=1, width=1, step=3, encoding="rgb8", data=b"abc"))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        findings = list(doctor.ros())
    finally:
        done.set()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
    assert not any(finding.stops for finding in findings), findings
    values = {finding.name: finding.value for finding in findings}
    assert values["image topic"].startswith("/doctor/image (Image, ") and values["image topic"].endswith("/s)")
    assert "/camera_of_the_doctor" in values["other nodes"] and "rmw_" in values["middleware"]
