import os
import xml.etree.ElementTree as ElementTree

import pytest

from sam2_ros.ros.fastdds_profile import make_room, profile_path

VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "ROS_LOCALHOST_ONLY",
)
HUMBLE, JAZZY, KILTED = "3.3.16", "7.1.4", "9.1.2"


@pytest.fixture
def environment(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # so that what the test sets is taken back
        monkeypatch.delenv(variable)
    return monkeypatch


def use(environment, rclpy):
    environment.setattr("sam2_ros.ros.fastdds_profile.version", lambda package: {"rclpy": rclpy}[package])


def test_the_profile_is_found_and_gives_room_for_a_4k_image():
    elements = ElementTree.parse(profile_path()).iter()
    sizes = [int(element.text) for element in elements if element.tag.endswith("segment_size")]
    assert sizes and min(sizes) >= 3840 * 2160 * 3


@pytest.mark.parametrize(
    "rclpy, variable",
    [("unknown", VARIABLES[0]), (KILTED, VARIABLES[0]), (JAZZY, VARIABLES[1]), (HUMBLE, VARIABLES[1])],
)
def test_the_profile_is_set_where_this_fast_dds_reads_it_whatever_is_sourced(environment, rclpy, variable):
    environment.setenv("ROS_DISTRO", "iron")
    use(environment, rclpy)
    assert make_room() == profile_path()
    assert os.environ[variable] == str(profile_path())
    assert sum(name in os.environ for name in VARIABLES[:2]) == 1


@pytest.mark.parametrize(
    "rclpy, variable", [(KILTED, VARIABLES[0]), (JAZZY, VARIABLES[1]), (KILTED, VARIABLES[2]), (JAZZY, VARIABLES[2])]
)
def test_what_the_user_has_chosen_stays(environment, rclpy, variable):
    use(environment, rclpy)
    environment.setenv(variable, "the user's own")
    assert make_room() is None
    assert [name for name in VARIABLES[:3] if os.environ.get(name)] == [variable]


def test_a_variable_that_this_fast_dds_does_not_read_decides_nothing(environment):
    use(environment, JAZZY)
    environment.setenv(VARIABLES[0], "meant well")
    assert make_room() == profile_path() and os.environ[VARIABLES[1]] == str(profile_path())


@pytest.mark.parametrize("rclpy, stays", [(HUMBLE, True), (JAZZY, False)])
def test_humble_that_must_stay_on_this_machine_gets_no_transports_that_leave_it(environment, rclpy, stays):
    use(environment, rclpy)
    environment.setenv("ROS_LOCALHOST_ONLY", "1")
    assert make_room() == (None if stays else profile_path())


def test_a_sourced_workspace_is_searched(environment, tmp_path):
    folder = tmp_path / "share" / "sam2_ros" / "config"
    folder.mkdir(parents=True)
    (folder / "fastdds_large_images.xml").touch()
    environment.setattr(
        "sam2_ros.ros.fastdds_profile.__file__", str(tmp_path / "elsewhere" / "sam2_ros" / "ros" / "fastdds_profile.py")
    )
    environment.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert profile_path() == folder / "fastdds_large_images.xml"
    assert make_room() == profile_path()
