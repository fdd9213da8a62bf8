"""Several real processes convert one model into one cache: it is converted once, and never there by half."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import tiny_model

from sam2_ros.engines import openvino
from sam2_ros.errors import CheckpointError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed"),
]
TEST = Path(__file__).parents[1]


class Process:
    """One run of converting.py."""

    def __init__(self, place: Path, *arguments: str) -> None:
        environment = os.environ | {
            "SAM2_ROS_CACHE": str(place),
            "PYTHONPATH": os.pathsep.join([str(TEST), str(TEST.parent), os.environ.get("PYTHONPATH", "")]),
        }
        self.process = subprocess.Popen(
            [sys.executable, TEST / "engines" / "converting.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def go_on(self) -> None:
        """Let it prepare the engine."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read_until(self, words: str) -> list[str]:
        """Its lines up to one that has these words."""
        lines = []
        for line in self.process.stdout:
            lines.append(line.strip())
            if words in line:
                return lines
        raise AssertionError(f"it ended without {words!r}: {lines}")

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def started(tmp_path):
    """Starts a process on an empty cache; all of them end with the test."""
    processes = []

    def start(*arguments: str) -> Process:
        processes.append(Process(tmp_path, *arguments))
        processes[-1].read_until("ready")
        return processes[-1]

    yield start
    for one in processes:
        one.kill()


def assert_is_whole(place: Path) -> None:
    """One conversion is in the cache, and nothing that is not finished."""
    (folder,) = (path for path in (place / "openvino").iterdir() if path.is_dir())
    assert folder.suffix != ".part"
    names = ("attention", "encoder", "tracking_decoder")
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}{end}" for name in names for end in (".bin", ".xml")
    ]


def test_two_nodes_that_start_at_once_convert_a_model_once(started, tmp_path):
    both = [started(), started()]
    for one in both:
        one.go_on()
    lines = [one.read_until("right") for one in both]
    assert sum(line == "converts" for one in lines for line in one) == 1
    assert_is_whole(tmp_path)


def test_a_node_whose_neighbour_is_killed_in_the_middle_of_a_conversion_converts_the_model(started, tmp_path):
    killed, waiting = started("halting"), started()
    killed.go_on()
    killed.read_until("halts")
    waiting.go_on()
    waiting.read_until("another process converts a model into")
    killed.kill()
    assert "converts" in waiting.read_until("right")
    assert_is_whole(tmp_path)


def test_a_later_start_repairs_what_a_killed_one_has_left(started, tmp_path):
    killed = started("halting")
    killed.go_on()
    killed.read_until("halts")
    killed.kill()
    for expected in (1, 0):
        later = started()
        later.go_on()
        assert later.read_until("right").count("converts") == expected
        assert_is_whole(tmp_path)


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """A model whose conversion is in the cache."""
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    model = tiny_model()
    openvino.prepare(model, "float32")
    return model


@pytest.mark.parametrize(
    "name, damage",
    [
        ("encoder.bin", halve),
        ("attention.xml", halve),
        ("encoder.bin", Path.unlink),
        ("tracking_decoder.xml", Path.unlink),
    ],
)
def test_a_file_that_is_damaged_or_missing_is_converted_again(tmp_path, converted, caplog, name, damage):
    (file,) = tmp_path.glob(f"openvino/*/{name}")
    damage(file)
    openvino.prepare(converted, "float32")
    assert "is damaged and is converted again" in caplog.text
    assert_is_whole(tmp_path)


def test_a_damaged_folder_that_cannot_be_replaced_is_named(tmp_path, converted, monkeypatch):
    (file,) = tmp_path.glob("openvino/*/encoder.xml")
    halve(file)
    monkeypatch.setattr(openvino, "remove", lambda folder: None)  # it belongs to another user
    with pytest.raises(CheckpointError, match=f"cannot read {file.parent} .*; delete it, or .*SAM2_ROS_CACHE"):
        openvino.prepare(converted, "float32")


def test_a_disk_that_is_full_is_named_and_nothing_is_left_on_it(started, tmp_path):
    process = started("full")
    process.go_on()
    *_, said = process.read_until("cannot keep")
    assert str(tmp_path) in said and "MB are free" in said and "SAM2_ROS_CACHE=FOLDER" in said
    assert not [path for path in (tmp_path / "openvino").iterdir() if path.is_dir()]
