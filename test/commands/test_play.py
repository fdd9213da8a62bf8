"""``sam2_ros play``: its options and its exit code."""

import pytest

pytest.importorskip("rclpy")

from recordings.bags import write_bag

from sam2_ros import cli
from sam2_ros.ros import player


def test_a_bag_of_which_nothing_could_be_published_is_a_failure(tmp_path, monkeypatch, capsys):
    write_bag(tmp_path / "bag", count=1)
    monkeypatch.setattr(player, "run", lambda *_, **__: 0)
    assert cli.main(["play", str(tmp_path / "bag")]) == 1
    assert "0 messages played" in capsys.readouterr().out


def test_topics_to_play_may_be_relative(tmp_path, monkeypatch):
    write_bag(tmp_path / "bag", count=1)
    played = []
    monkeypatch.setattr(player, "run", lambda rounds, names, *_, **__: played.extend(names) or 1)
    assert cli.main(["play", str(tmp_path / "bag"), "--topics", "camera/image"]) == 0
    assert [name for name, _, _ in played] == ["/camera/image"]
