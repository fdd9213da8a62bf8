"""Recording and playing with real topics, across processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

rclpy = pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile
from recordings.bags import IMAGE, PROMPT, image_message, picture, prompt_message, stamp, write_bag
from ros_bench import PATIENCE, wait_until
from run_command import run_command
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sam2_ros import (
    cli,
    recordings,
)
from sam2_ros.errors import RecordingError, Sam2RosError
from sam2_ros.messages import fill_image
from sam2_ros.model import downloads
from sam2_ros.model.checkpoint import save
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.recordings.bags.notes import ABOUT, SUMMARY
from sam2_ros.recordings.bags.playback import rounds_of, targets_of
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import PromptEvent, RemovalEvent
from sam2_ros.ros import player, recorder
from sam2_ros.ros.play_bag import play
from sam2_ros.ros.player import Player
from sam2_ros.ros.record_bag import _identity, _new_bag, record

HERE = Path(__file__).parents[1]


def start(*arguments, program=("-m", "sam2_ros")):
    """A child process whose output is kept."""
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=HERE.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def wait_for_recorder(node):
    """Wait for the recorder's last subscription, and until its publisher has seen it, too: others see it first."""
    wait_until(lambda: node.count_subscribers("/sam2_ros/prompt/applied"), "the recorder's last subscription")
    time.sleep(0.5)


def messages(bag, topic):
    source = BagReader(bag)
    return [one.decode() for one in source.messages({topic}, [])]


@pytest.fixture
def node():
    rclpy.init()
    one = rclpy.create_node("camera_of_the_test")
    yield one
    one.destroy_node()
    rclpy.try_shutdown()


def publish_until(node, publisher, condition, make):
    """Publish numbered messages until a condition holds; returns how many."""
    deadline, count = time.monotonic() + PATIENCE, 0
    while not condition(count):
        assert time.monotonic() < deadline
        publisher.publish(make(count))
        count += 1
        rclpy.spin_once(node, timeout_sec=0.02)
    return count


def image(index):
    message = fill_image(Image(), picture(index % 20))
    message.header.stamp.sec = index + 1
    return message


# -- record ----------------------------------------------------------------------------------------


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
    assert "longer than 0 seconds" in capsys.readouterr().err and not (tmp_path / "bag").exists()


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
    objects = []
    from sam2_ros.msg import Box, Prompt, TrackedObjectArray
    from sam2_ros.srv import Prompt as PromptService
    from sam2_ros.srv import Remove

    node.create_subscription(TrackedObjectArray, "/sam2_ros/objects", lambda message: objects.append(message), 50)
    prompts = node.create_publisher(Prompt, "/sam2_ros/prompt", QoSProfile(depth=10))
    try:
        wait_until(lambda: publisher.get_subscription_count() >= 2, "node and recorder")
        wait_until(lambda: prompts.get_subscription_count() >= 2, "node and recorder")
        wait_for_recorder(node)
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
    assert not any("overlay" in topic for topic in topics)
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
    wait_until(lambda: one.look() or publisher.get_subscription_count() > 0, "the recorder")
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
    wait_until(lambda: one.look() or publisher.get_subscription_count() > 0, "the recorder")
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
    again = Player(node, clock=False)
    again.announce([("/test_where", "std_msgs/msg/String", True)])
    assert again.play(source.messages({"/test_where"}, [])) == 1
    heard = []
    node.create_subscription(String, "/test_where", heard.append, latched)
    wait_until(lambda: rclpy.spin_once(node, timeout_sec=0.02) or heard, "the message")
    assert heard[0].data == "here"


# -- play ------------------------------------------------------------------------------------------


def test_what_was_latched_before_the_start_is_played_at_it(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/test_where", "std_msgs/msg/String", 1, String(data="here"), latched=True)
        for time_ in (2, 10, 20):
            writer.write("/test_text", "std_msgs/msg/String", time_, String(data="x"))
    source = BagReader(tmp_path / "bag")
    (played,) = (
        list(messages)
        for messages in rounds_of(source, {"/test_where": "/there", "/test_text": "/text"}, 5, False, print)
    )
    assert [(one.topic, one.time) for one in played] == [("/there", 10), ("/text", 10), ("/text", 20)]


def test_a_player_waits_for_those_who_can_hear_it_and_says_for_whom_it_waited(node):
    player = Player(node, clock=False)
    player.announce([("/test_where", "std_msgs/msg/String", False), ("/test_image", "std_msgs/msg/String", False)])
    assert player.wait(["/test_image"], 0.2) == "nobody subscribes to /test_image"
    node.create_subscription(String, "/test_image", lambda _: None, 10)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(String, "/test_where", lambda _: None, latched)  # hears only who offers as much
    assert player.wait(["/test_image"], PATIENCE) == ""


def test_a_bag_is_played_with_its_headers_at_its_own_pace(tmp_path, node):
    write_bag(tmp_path / "bag", count=12)
    heard, clocks, times = [], [], []
    from rosgraph_msgs.msg import Clock

    from sam2_ros.msg import Prompt

    def hear(one):
        heard.append(one)
        times.append(time.monotonic())

    node.create_subscription(Image, "/camera/image", hear, 50)
    node.create_subscription(Clock, "/clock", lambda one: clocks.append(one.clock.sec * 10**9 + one.clock.nanosec), 50)
    prompts = []
    node.create_subscription(Prompt, "/sam2_ros/prompt", prompts.append, 10)
    child = start("play", tmp_path / "bag")
    deadline = time.monotonic() + PATIENCE
    while (len(heard) < 12 or not prompts) and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, output
    assert [one.header.stamp.sec * 10**9 + one.header.stamp.nanosec for one in heard] == [stamp(i) for i in range(12)]
    assert heard[0].header.frame_id == "camera" and prompts[0].name == "square"
    assert times[-1] - times[0] > 0.6, "twelve images of ten a second"
    assert clocks == sorted(clocks) and len(clocks) >= 12


def test_a_bag_is_played_from_a_start_on_and_over_and_over_until_interrupted(tmp_path, node):
    write_bag(tmp_path / "bag", count=5)
    heard = []
    node.create_subscription(Image, "/camera/image", lambda one: heard.append(one.header), 50)
    child = start("play", tmp_path / "bag", "--start", 0.25, "--loop", "--rate", 3)
    deadline = time.monotonic() + PATIENCE
    while len(heard) < 7 and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0 and "messages played" in output, output
    stamps = [one.stamp.sec * 10**9 + one.stamp.nanosec for one in heard]
    assert stamps[:7] == [stamp(index) for index in (3, 4, 3, 4, 3, 4, 3)]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"start": 4.0}, r"ends 0\.\d+ s after its first message; start before that, not at 4 s"),
        ({"start": -1.0}, "start not negative; got 1 and -1 s"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"rate": float("nan")}, "got nan"),
        ({"rate": float("inf")}, "got inf"),
        ({"longest_gap": 0.0}, "longest gap must be above 0"),
        ({"longest_gap": float("nan")}, "got nan"),
    ],
)
def test_a_start_or_a_rate_that_cannot_be_is_refused_before_ros_is_started(tmp_path, options, words):
    write_bag(tmp_path / "bag", count=3)
    with pytest.raises(Sam2RosError, match=words):
        play(tmp_path / "bag", **options)


def test_a_bag_of_which_nothing_could_be_published_is_a_failure(tmp_path, monkeypatch, capsys):
    write_bag(tmp_path / "bag", count=1)
    monkeypatch.setattr(player, "run", lambda *_, **__: (0, {"/camera/image"}))
    assert cli.main(["play", str(tmp_path / "bag")]) == 1
    assert "0 messages played" in capsys.readouterr().out


def test_topics_to_play_may_be_relative(tmp_path, monkeypatch):
    write_bag(tmp_path / "bag", count=1)
    played = []
    monkeypatch.setattr(player, "run", lambda rounds, names, *_, **__: played.extend(names) or (1, set()))
    assert cli.main(["play", str(tmp_path / "bag"), "--topics", "camera/image"]) == 0
    assert [name for name, _, _ in played] == ["/camera/image"]


def test_results_are_not_played_and_applied_prompts_take_the_place_of_others(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for topic in ("/camera/image", "/sam2_ros/masks"):
            writer.write(topic, IMAGE, 1, image_message(picture(0), 1))
        for topic in ("/sam2_ros/prompt", "/sam2_ros/prompt/applied"):
            writer.write(topic, PROMPT, 2, prompt_message("cup", (1, 2)))
        writer.write("/clicked_point", "geometry_msgs/msg/PointStamped", 2, object())
        for topic in ("/camera/image_mouse_left", "/sam2_ros/overlay/compressed_mouse_left"):
            writer.write(topic, "geometry_msgs/msg/Point", 2, object())
        writer.write("/joint_states", "sensor_msgs/msg/JointState", 2, object())
    source = BagReader(tmp_path / "bag")
    assert targets_of(source, ()) == {
        "/camera/image": "/camera/image",
        "/joint_states": "/joint_states",
        "/sam2_ros/prompt/applied": "/sam2_ros/prompt",
    }
    assert targets_of(source, ("/sam2_ros/masks",)) == {"/sam2_ros/masks": "/sam2_ros/masks"}


def test_detections_are_played_only_where_it_is_not_known_what_they_led_to():
    def holding(*topics):
        return SimpleNamespace(topics=[SimpleNamespace(name=name, type=kind, count=1) for name, kind in topics])

    boxes, applied = ("/yolo", "vision_msgs/msg/Detection2DArray"), ("/sam2_ros/prompt/applied", PROMPT)
    assert targets_of(holding(boxes), ()) == {"/yolo": "/yolo"}
    assert targets_of(holding(boxes, applied), ()) == {"/sam2_ros/prompt/applied": "/sam2_ros/prompt"}


def test_what_is_no_bag_is_not_played(tmp_path):
    with pytest.raises(RecordingError, match="is no bag"):
        play(tmp_path / "nothing")
    write_bag(tmp_path / "bag", count=1)
    with pytest.raises(RecordingError, match=r"has nothing on /other; it holds: .*/camera/image"):
        play(tmp_path / "bag", topics=("/camera/image", "/other"))


@pytest.mark.parametrize(
    "recorded, wanted, topics, own",
    [
        (True, True, {"/clock", "/camera/image"}, False),
        (True, False, {"/camera/image"}, False),
        (False, True, {"/camera/image"}, True),
        (False, False, {"/camera/image"}, False),
    ],
)
def test_a_recorded_clock_is_played_in_place_of_one_of_our_own(tmp_path, monkeypatch, recorded, wanted, topics, own):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/camera/image", IMAGE, 1, image_message(picture(0), 1))
        if recorded:
            writer.write("/clock", "rosgraph_msgs/msg/Clock", 2, object())
    played = []
    monkeypatch.setattr(
        player,
        "run",
        lambda rounds, names, rate, clock, **_: played.append(({name for name, _, _ in names}, clock)) or (0, set()),
    )
    play(tmp_path / "bag", clock=wanted)
    assert played == [(topics, own)]


# -- the three ways --------------------------------------------------------------------------------


@contextlib.contextmanager
def recorded(bag, weights):
    """A real node with a small model, and a recorder; both are interrupted at the end."""
    children = [
        start(
            "node",
            "--ros-args",
            "-p",
            f"model:={weights}",
            "-p",
            "threads:=1",
            "-p",
            "device:=cpu",
            "-p",
            "prompt_tolerance:=2.0",
        ),  # a busy machine drops many images
        start("record", "--out", bag),
    ]
    try:
        yield
        time.sleep(2.0)  # the last messages are on their way
    finally:
        for child in reversed(children):
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=PATIENCE)
    assert [child.returncode for child in children] == [0, 0], output


def operate(node, publisher):
    """Two objects, a correction of the first, the second removed: while a camera runs at some 20 images/s."""
    from geometry_msgs.msg import Point

    from sam2_ros.msg import Box, Prompt
    from sam2_ros.srv import Prompt as PromptService
    from sam2_ros.srv import Remove

    def now(index):
        message = image(index)
        message.header.stamp = node.get_clock().now().to_msg()
        time.sleep(0.03)
        return message

    clients = {
        kind: node.create_client(kind, f"/sam2_ros/{name}")
        for kind, name in ((PromptService, "prompt"), (Remove, "remove"))
    }
    wait_until(lambda: publisher.get_subscription_count() >= 2, "node and recorder")
    wait_until(lambda: all(client.service_is_ready() for client in clients.values()), "the services")
    wait_for_recorder(node)
    publish_until(node, publisher, lambda done: done >= 5, now)
    for kind, request in (
        (PromptService, dict(prompt=Prompt(name="left", points=[Point(x=10.0, y=20.0)], labels=[1]))),
        (PromptService, dict(prompt=Prompt(name="right", box=[Box(x0=30.0, y0=5.0, x1=60.0, y1=40.0)]))),
        (PromptService, dict(prompt=Prompt(name="left", points=[Point(x=50.0, y=40.0)], labels=[0]))),
        (Remove, dict(name="right")),
    ):
        answer = clients[kind].call_async(kind.Request(**request))
        publish_until(node, publisher, lambda done, answer=answer: answer.done() and done >= 5, now)
        assert answer.result().success, answer.result().message


def row(message):
    """(names, prompted frames of "left"), of a TrackedObjectArray."""
    return tuple(one.name for one in message.objects), *(one.prompted_frames for one in message.objects[:1])


def listed(bag, topic):
    """The rows of all messages as they went by, repetitions left out."""
    rows = [row(message) for message in messages(bag, topic)]
    return [row for index, row in enumerate(rows) if index == 0 or rows[index - 1] != row]


def test_a_run_of_a_real_node_is_replayed_offline_on_the_clock_and_live(tmp_path, node):
    from sam2_ros.msg import TrackedObjectArray

    torch.manual_seed(0)
    weights = tmp_path / "random.safetensors"
    save(SAM2(TEST), weights)
    publisher = node.create_publisher(Image, "/image", QoSProfile(depth=50))
    with recorded(tmp_path / "bag", weights):
        operate(node, publisher)
    happened = [((),), (("left",), 1), (("left", "right"), 1), (("left", "right"), 2), (("left",), 2)]
    assert listed(tmp_path / "bag", "/sam2_ros/objects") == happened

    for way, options in (("once/out", []), ("again/out", []), ("clock", ["--on-clock"])):
        assert (
            run_command(
                "replay", tmp_path / "bag", "--out", tmp_path / way, "--model", weights, "--threads", "1", *options
            )
            == 0
        )
        found = listed(tmp_path / way, "/sam2_ros_replay/objects")
        # On the clock a slow machine may see two things happen at once.
        assert found[-1] == happened[-1] and (options or found[-4:] == happened[-4:])
    assert (tmp_path / "once/out/out.mcap").read_bytes() == (tmp_path / "again/out/out.mcap").read_bytes()

    node.destroy_publisher(publisher)
    heard = []
    node.create_subscription(TrackedObjectArray, "/sam2_ros/objects", heard.append, 50)

    def last():
        rclpy.spin_once(node, timeout_sec=0.05)
        return row(heard[-1]) if heard else None

    with recorded(tmp_path / "live", weights):
        wait_until(lambda: node.count_subscribers("/sam2_ros/objects") >= 2, "this test and the recorder")
        player = start("play", tmp_path / "bag")
        output, _ = player.communicate(timeout=PATIENCE)
        assert player.returncode == 0, output
        wait_until(lambda: last() == happened[3], "the objects before the removal, which is not played")
    assert listed(tmp_path / "live", "/sam2_ros/objects")[-1] == happened[3]
