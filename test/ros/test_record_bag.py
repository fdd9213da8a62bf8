"""``sam2_ros record`` with real topics, across processes."""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from live_bench import image, messages, publish_until, start, wait_for_recorder
from rclpy.qos import DurabilityPolicy, QoSProfile
from recordings.bags import picture, write_bag
from ros_bench import PATIENCE, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from sam2_ros import (
    cli,
    recordings,
)
from sam2_ros.errors import RecordingError, Sam2RosError
from sam2_ros.messages import fill_image
from sam2_ros.model import downloads
from sam2_ros.recordings.bags.notes import ABOUT, SUMMARY
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import PromptEvent, RemovalEvent
from sam2_ros.ros import recorder
from sam2_ros.ros.player import Playback, Player
from sam2_ros.ros.record_bag import _identity, _new_bag, record

HERE = Path(__file__).parents[1]


def test_a_recorder_writes_what_it_hears_until_it_is_interrupted(tmp_path, node):
    publisher = node.create_publisher(Image, "/test_camera/image", QoSProfile(depth=50))
    child = start("record", "--out", tmp_path / "bag", "--node", "", "/test_camera/image")
    wait_until(lambda: publisher.get_subscription_count() > 0, "the recorder")
    count = publish_until(node, publisher, lambda done: done >= 30, image)
    time.sleep(2.0)  # what the recorder has not taken when it is interrupted is in no bag
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, output
    stamps = [message.header.stamp.sec for message in messages(tmp_path / "bag", "/test_camera/image")]
    assert stamps == list(range(1, count + 1))
    assert f"{count} /test_camera/image" in output and "LOST" not in output
    (summary,) = messages(tmp_path / "bag", SUMMARY)
    assert json.loads(summary.data) == {"written": {"/test_camera/image": count}, "lost": {}, "not_installed": {}}
    frames = list(recordings.open(tmp_path / "bag"))
    assert (frames[3].image == picture(3)).all()


def test_a_recorder_that_hears_nothing_says_why_and_fails(tmp_path, node):
    child = start("record", "--out", tmp_path / "bag", "--node", "/nobody", "--seconds", "7")
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1, output
    assert output.count("there is no node /nobody yet") == 1 and "nothing was recorded: is /nobody running" in output
    assert not (tmp_path / "bag").exists(), "it would block the next try"


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGHUP)])
def test_a_bag_is_closed_however_often_its_recorder_is_interrupted(tmp_path, node, signals):
    publisher = node.create_publisher(String, "/test_text", QoSProfile(depth=50))
    script = (
        "import sys, time; from sam2_ros.ros import record_bag; from sam2_ros.cli import main\n"
        "close = record_bag.BagWriter.close\n"
        "record_bag.BagWriter.close = lambda one: (print('closing', flush=True), time.sleep(1.0), close(one))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    child = start("record", "--out", tmp_path / "bag", "--node", "", "/test_text", program=("-c", script))
    wait_until(lambda: publisher.get_subscription_count() > 0, "the recorder")
    publish_until(node, publisher, lambda done: done >= 5, lambda _: String(data="x"))
    time.sleep(0.5)
    child.send_signal(signals[0])
    assert any("closing" in line for line in iter(child.stdout.readline, "")), "it closes its bag"
    for one in signals[1:]:
        child.send_signal(one)
        time.sleep(0.2)
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0 and "recorded into" in output, output
    assert (tmp_path / "bag" / "metadata.yaml").is_file()
    assert json.loads(messages(tmp_path / "bag", SUMMARY)[0].data)["written"]["/test_text"] == 5


@pytest.mark.parametrize(
    "command",
    [["node"], ["record", "--node", "", "/x", "--out", "new"], ["play", "bag"]],
    ids=lambda command: command[0],
)
def test_where_ros_cannot_write_its_log_that_is_said_and_nothing_is_left(tmp_path, monkeypatch, command):
    write_bag(tmp_path / "bag", count=1)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "file" / "log"))
    child = start(*(tmp_path / word if word in ("new", "bag") else word for word in command))
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1 and "set ROS_LOG_DIR to a folder that can be written" in output, output
    assert output.count("\n") == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize("seconds", ["nan", "0", "-1", "1e400"])
def test_a_time_that_cannot_be_is_refused_before_a_bag_is_made(tmp_path, capsys, seconds):
    assert cli.main(["record", "--out", str(tmp_path / "bag"), f"--seconds={seconds}"]) == 1
    assert "must be above 0 and finite" in capsys.readouterr().err and not (tmp_path / "bag").exists()


def test_a_disk_that_is_full_from_the_start_leaves_no_bag(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(RecordingError, match="nearly full"), _new_bag(tmp_path / "bag"):
        raise AssertionError("nothing can be written")
    assert not list(tmp_path.iterdir())


def test_what_is_in_the_way_of_a_bag_stays(tmp_path):
    with pytest.raises(RecordingError, match="the disk is full"), _new_bag(tmp_path / "bag"):
        (tmp_path / "bag" / "mine.txt").touch()
        raise RecordingError("the disk is full")
    with pytest.raises(RecordingError, match="exists already"):
        record(tmp_path / "bag")
    assert [path.name for path in (tmp_path / "bag").iterdir()] == ["mine.txt"]


def test_a_recorder_of_a_node_that_cannot_be_says_so_and_ends(tmp_path):
    child = start("record", "--out", tmp_path / "bag", "--node", "/my node")
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1 and "'/my node' is not a valid name of a node" in output and "Traceback" not in output


def test_a_running_node_is_recorded_with_its_parameters_and_its_model(tmp_path, node):
    tracking = start(program=(HERE / "ros" / "colour_node.py",))
    child = start("record", "--out", tmp_path / "bag")
    publisher = node.create_publisher(Image, "/image", QoSProfile(depth=50))
    depth = node.create_publisher(Image, "/depth", QoSProfile(depth=10))
    infos = node.create_publisher(CameraInfo, "/camera_info", QoSProfile(depth=10))
    objects = []
    from sam2_ros.msg import Box, Prompt, TrackedObjectArray
    from sam2_ros.srv import Prompt as PromptService
    from sam2_ros.srv import Remove

    node.create_subscription(TrackedObjectArray, "/sam2_ros/objects", lambda message: objects.append(message), 50)
    prompts = node.create_publisher(Prompt, "/sam2_ros/prompt", QoSProfile(depth=10))
    try:
        wait_until(lambda: publisher.get_subscription_count() >= 2, "node and recorder")
        wait_until(lambda: prompts.get_subscription_count() >= 2, "node and recorder")
        wait_until(lambda: min(one.get_subscription_count() for one in (depth, infos)) >= 2, "node and recorder")
        wait_for_recorder(node)
        depth.publish(Image(encoding="16UC1"))
        infos.publish(CameraInfo())
        publish_until(node, publisher, lambda done: len(objects) > 2, image)
        from geometry_msgs.msg import Point

        prompts.publish(Prompt(name="square", points=[Point(x=20.0, y=20.0)], labels=[1]))
        publish_until(node, publisher, lambda done: any(one.objects for one in objects[-3:]) and done > 10, image)
        service = node.create_client(PromptService, "/sam2_ros/prompt")
        wait_until(service.service_is_ready, "the service")
        answer = service.call_async(PromptService.Request(prompt=Prompt(box=[Box(x0=5.0, y0=17.0, x1=30.0, y1=30.0)])))
        publish_until(node, publisher, lambda done: answer.done(), image)
        remove = node.create_client(Remove, "/sam2_ros/remove")
        wait_until(remove.service_is_ready, "the service")
        removed = remove.call_async(Remove.Request(name="square"))
        publish_until(node, publisher, lambda done: removed.done() and done > 5, image)
        time.sleep(1.0)
    finally:
        for process in (child, tracking):
            process.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=PATIENCE)
        tracking.communicate(timeout=PATIENCE)
    assert child.returncode == 0, output
    topics = {topic.name for topic in BagReader(tmp_path / "bag").topics if topic.count}
    assert {"/image", "/sam2_ros/prompt", "/sam2_ros/objects", "/sam2_ros/masks", ABOUT, SUMMARY} <= topics
    assert {"/depth", "/camera_info"} <= topics
    assert not any(topic.endswith(("overlay", "markers", "points")) for topic in topics)
    about = json.loads(messages(tmp_path / "bag", ABOUT)[0].data)
    assert about["node"] == "/sam2_ros" and about["parameters"]["remembered_frames"] == 30
    assert about["model"]["name"] == "embedded"  # what was there before the model was looked up
    recording = recordings.open(tmp_path / "bag")
    assert recording.image_topic == "/image"
    given = [event.content for event in recording.events() if isinstance(event.content, PromptEvent)]
    assert [one.prompt.name for one in given] == ["square", answer.result().name], (
        given
    )  # topic and service alike, once
    assert {one.stamp for one in given} <= {frame.stamp for frame in recording}
    assert given[1].prompt.box == (5, 17, 30, 30)
    gone = [event.content.names for event in recording.events() if isinstance(event.content, RemovalEvent)]
    assert gone == [("square",)]
    assert any((one.data == 1).any() for one in messages(tmp_path / "bag", "/sam2_ros/masks"))


def test_a_recorder_ends_though_it_is_interrupted_where_it_takes_a_message(tmp_path, node):
    publisher = node.create_publisher(String, "/test_text", QoSProfile(depth=10))
    recorder = start(
        "put",
        1,
        HERE.parent / "sam2_ros/__main__.py",
        "record",
        "--out",
        tmp_path / "bag",
        "--node",
        "",
        "/test_text",
        program=(HERE / "ros" / "interrupted.py",),
    )
    wait_until(lambda: publisher.get_subscription_count(), "the recorder")
    publisher.publish(String(data="x"))
    try:
        output, _ = recorder.communicate(timeout=PATIENCE)
    finally:
        recorder.kill()
    assert recorder.returncode == 0 and "1 /test_text" in output, output


def test_a_full_disk_ends_recording_with_a_readable_bag(tmp_path, node):
    publisher = node.create_publisher(Image, "/test_camera/image", QoSProfile(depth=50))
    script = (
        "import shutil, sys, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=66 * 2**20);"
        "from sam2_ros.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    child = start("record", "--out", tmp_path / "bag", "--node", "", "/test_camera/image", program=("-c", script))
    big = fill_image(Image(), np.zeros((480, 640, 3), np.uint8))
    wait_until(lambda: publisher.get_subscription_count() > 0, "the recorder")
    publish_until(node, publisher, lambda done: child.poll() is not None, lambda _: big)
    output = child.stdout.read()
    assert child.returncode == 1 and "nearly full" in output
    recording = recordings.open(tmp_path / "bag")
    assert len(list(recording)) > 2 and recording.lost == []


def test_what_the_disk_is_too_slow_for_is_counted(node, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_WAITING", 100_000)
    written, gate = [], threading.Event()

    def slow(*message):
        gate.wait(PATIENCE)
        written.append(message)

    publisher = node.create_publisher(String, "/test_text", QoSProfile(depth=50))
    one = recorder.Recorder(node, slow, ["/test_text"])
    wait_until(lambda: one.update() or publisher.get_subscription_count() > 0, "the recorder")
    publish_until(node, publisher, lambda done: one.lost["/test_text"] >= 3, lambda _: String(data="x" * 30_000))
    gate.set()
    one.close()
    assert one.written["/test_text"] == len(written) >= 2
    assert one.lost["/test_text"] >= 3


def test_a_writer_that_fails_ends_recording_and_says_why(node):
    def fail(*message):
        raise RecordingError("the disk is gone")

    publisher = node.create_publisher(String, "/test_text", QoSProfile(depth=50))
    one = recorder.Recorder(node, fail, ["/test_text"])
    wait_until(lambda: one.update() or publisher.get_subscription_count() > 0, "the recorder")
    publish_until(node, publisher, lambda done: one.failure is not None, lambda _: String(data="x"))
    one.close()
    assert isinstance(one.failure, Sam2RosError)


def test_a_recorder_without_torch_notes_the_name_of_the_model(monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2_ros.model.checkpoint", None)
    monkeypatch.delattr("sam2_ros.model.checkpoint", raising=False)
    model = _identity("large")
    assert model["name"] == "large" and "sam2_ros.model.checkpoint" in model["unknown"]


def test_a_recorder_downloads_no_model(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(downloads.urllib.request, "urlopen", None)
    model = _identity("large")
    assert model["name"] == "large" and "sam2.1_hiera_large.pt (SHA256 2647878d" in model["unknown"]


def test_an_existing_bag_is_refused_before_ros_is_started(tmp_path):
    (tmp_path / "bag").mkdir()
    child = start("record", "--out", tmp_path / "bag")
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1 and "exists already" in output


def test_what_is_latched_is_recorded_and_played_for_those_who_come_later(tmp_path, node):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(String, "/test_where", latched)
    publisher.publish(String(data="here"))
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        one = recorder.Recorder(node, writer.write, ["/test_where"])
        wait_until(lambda: rclpy.spin_once(node, timeout_sec=0.02) or one.written["/test_where"], "the message")
        one.close()
    node.destroy_publisher(publisher)
    source = BagReader(tmp_path / "bag")
    assert source.latched == {"/test_where"}
    again = Player(node, Playback(clock=False))
    again.announce([("/test_where", "std_msgs/msg/String", True)])
    assert again.play(source.messages({"/test_where"}, [])) == 1
    heard = []
    node.create_subscription(String, "/test_where", heard.append, latched)
    wait_until(lambda: rclpy.spin_once(node, timeout_sec=0.02) or heard, "the message")
    assert heard[0].data == "here"
