"""What would end the process inside a C library is a sentence of ours."""

import sys

import pytest
from recordings.bags import write_bag

from sam2_ros import cli, middleware
from sam2_ros.errors import CannotStart


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An installation with two middlewares."""
    index = tmp_path / "share/ament_index/resource_index/rmw_typesupport"
    index.mkdir(parents=True)
    for name in ("rmw_fastrtps_cpp", "rmw_zenoh_cpp", "rmw_implementation"):
        (index / name).touch()
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/opt/nothing:{tmp_path}")
    for name in ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("domain", ["233", "300", "99999999999999999999"])
def test_a_domain_that_no_middleware_has_is_refused(prefix, monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    with pytest.raises(CannotStart, match=f"there is no ROS_DOMAIN_ID {domain}; set one from 0 to 232"):
        middleware.check_domain()


@pytest.mark.parametrize("domain", ["", "0", "232", "many"])
def test_other_domains_are_left_to_ros_which_has_words_for_them(prefix, monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    middleware.check_domain()


def test_a_middleware_that_is_not_installed_is_refused_with_those_that_are(prefix, monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    with pytest.raises(
        CannotStart, match=r"install it \(ros-\$ROS_DISTRO-rmw-cyclonedds-cpp\), or use rmw_fastrtps_cpp or rmw_z"
    ):
        middleware.check_choice()
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    middleware.check_choice()


def test_where_no_middleware_is_registered_all_are_taken(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_of_my_own")
    middleware.check_choice()


@pytest.mark.parametrize(
    "command", [["node"], ["record", "--out", "new"], ["play", "bag"]], ids=lambda command: command[0]
)
def test_no_command_starts_ros_in_a_domain_that_cannot_be(command, tmp_path, monkeypatch, capfd):
    pytest.importorskip("rclpy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", "300")
    write_bag(tmp_path / "bag", count=1)
    assert cli.main(command) == 1
    message = capfd.readouterr().err
    assert "ROS_DOMAIN_ID 300" in message and message.count("\n") == 1
    assert not (tmp_path / "new").exists(), "it would block the next try"


def test_the_middleware_is_looked_at_before_rclpy_is_imported(prefix, monkeypatch, capsys):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    needed = {"record": ["--out", "bag"], "play": ["bag"]}
    monkeypatch.setitem(sys.modules, "rclpy", None)
    for command in cli.ON_ROS:
        assert cli.main([command, *needed.get(command, [])]) == 1
        assert "RMW_IMPLEMENTATION is rmw_cyclonedds_cpp" in capsys.readouterr().err
