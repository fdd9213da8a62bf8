"""``sam2_ros node``: its arguments are those of ROS."""

import pytest
from run_command import run_command

pytest.importorskip("rclpy")

from sam2_ros import cli
from sam2_ros.ros import node


def test_an_unknown_argument_is_refused_and_help_is_given(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["node", "model=tiny"])
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        cli.main(["node", "--help"])
    assert ended.value.code == 0 and "--ros-args" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--ros-args", "-p", "model:=tiny", "-r", "image:=/camera", "--params-file", "a.yaml"],
        ["--ros-args", "-r", "__node:=left", "--", "--ros-args", "-p", "threads:=1"],
        ["--ros-args", "--log-level", "debug", "-h"],
    ],
)
def test_what_follows_ros_args_reaches_ros_as_it_is(arguments, monkeypatch):
    given = []
    monkeypatch.setattr(node, "main", lambda words: given.append(words) or 0)
    assert run_command("node", *arguments) == 0
    assert given == [arguments]
