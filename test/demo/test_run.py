"""The demo from end to end: camera, node and operator as real processes, on a small recording."""

import json

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ros_bench import PATIENCE, wait_until

from sam2_ros.demo import run
from sam2_ros.demo.operator import Seen
from sam2_ros.model import checkpoint
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST

IMAGES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording, and a model that has learned nothing."""
    folder = tmp_path_factory.mktemp("demo")
    torch.manual_seed(0)
    checkpoint.save(SAM2(TEST), folder / "model.safetensors")
    for part in ("JPEGImages", "Annotations"):
        (folder / "recording" / part / "squares").mkdir(parents=True)
    for n in range(IMAGES):
        labels = np.zeros((48, 64), np.uint8)
        labels[5:20, n : n + 15], labels[25:45, 35:60] = 1, 2
        image = np.choose(labels, np.array([30, 120, 220], np.uint8))
        cv2.imwrite(str(folder / f"recording/JPEGImages/squares/{n:05d}.jpg"), cv2.merge([image] * 3))
        cv2.imwrite(str(folder / f"recording/Annotations/squares/{n:05d}.png"), labels)
    facts = {"frame_rate": 5.0, "objects": {"1": "left", "2": "right"}}
    (folder / "recording" / "recording.json").write_text(json.dumps(facts))
    return folder


def command(folder, out):
    """The command line of a demo of the recording and the model in ``folder``."""
    options = ("--recording", folder / "recording", "--model", folder / "model.safetensors", "--out", out)
    return [sys.executable, "-m", "sam2_ros", "demo", *map(str, options)]


@pytest.fixture(scope="module")
def result(folder):
    """What a run of the demo leaves behind."""
    done = subprocess.run(command(folder, folder / "out"), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads((folder / "out" / "result.json").read_text()), done.stdout


def test_every_image_is_accounted_for(result):
    _, facts, _ = result
    assert facts["frames_in"] == IMAGES and facts["processed"] > 0
    assert facts["processed"] + facts["dropped"] == IMAGES
    assert 0 < facts["latency_ms"]["p50"] <= facts["latency_ms"]["p95"]


def test_both_objects_are_scored_and_the_operator_did_three_things(result):
    _, facts, _ = result
    assert [found["name"] for found in facts["objects"]] == ["left", "right"]
    assert all(0 <= found["mean_j"] <= 1 for found in facts["objects"])
    assert [line.split(" for ")[0].split(": ")[1] for line in facts["operator"]][:2] == ["click", "box"]
    assert len(facts["operator"]) == 3


def test_the_pictures_can_be_looked_at(result):
    out, facts, printed = result
    assert cv2.imread(str(out / "sheet.png")) is not None
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert video.isOpened() and video.get(cv2.CAP_PROP_FRAME_COUNT) > facts["processed"] / 2
    assert "J of left" in printed and "latency" in printed


def children(process):
    """The processes that a process has started, as /proc lists them."""
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.mark.parametrize(
    "number, code",
    [(signal.SIGINT, 128 + signal.SIGINT), (signal.SIGHUP, 128 + signal.SIGHUP), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_no_process_of_the_demo_outlives_it(folder, tmp_path, number, code):
    demo = subprocess.Popen(command(folder, tmp_path / "out"), stderr=subprocess.PIPE)
    (node,) = wait_until(lambda: children(demo), "the node")
    wait_until(lambda: (tmp_path / "out" / "node.log").read_text(), "its first words")
    demo.send_signal(number)
    _, error = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == code and error == b""
    wait_until(lambda: not Path(f"/proc/{node}/exe").exists(), "the node to end")


def test_a_recording_without_truth_is_one_sentence(tmp_path, capsys):
    from sam2_ros import cli

    cv2.imwrite(str(tmp_path / "one.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert cli.main(["demo", "--recording", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "ground truth of two objects" in capsys.readouterr().err


NO_LABELS = np.zeros((4, 4), np.uint8)


def operator_who_saw(seen, said=()):
    return SimpleNamespace(seen=seen, said=list(said), truth={}, corrected=None)


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {0: Seen(), 1: Seen(NO_LABELS)},
        {0: Seen(NO_LABELS, {})},
        {99: Seen(NO_LABELS, {"cup": "of another camera"})},
    ],
)
def test_a_demo_in_which_nothing_was_tracked_says_so(tmp_path, seen):
    with pytest.raises(run.DemoFailed, match="nothing was tracked on 20 images: refused .see .*node.log"):
        run._refuse_nothing(operator_who_saw(seen, ["refused"]), 20, tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"frame_rate": "fast"}', '{"frame_rate": 0}', '{"objects": {"cup": "1"}}']
)
def test_facts_of_a_recording_that_cannot_be_read_are_one_sentence(tmp_path, text):
    (tmp_path / "recording.json").write_text(text)
    with pytest.raises(run.DemoFailed, match="recording.json is not readable"):
        run._load(tmp_path)
