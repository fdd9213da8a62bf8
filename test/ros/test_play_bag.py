"""``sam2_ros play`` with real topics."""

import signal
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from live_bench import start
from rclpy.qos import DurabilityPolicy, QoSProfile
from recordings.bags import IMAGE, image_message, picture, stamp, write_bag
from ros_bench import PATIENCE
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sam2_ros.errors import RecordingError, Sam2RosError
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.ros import player
from sam2_ros.ros.play_bag import play
from sam2_ros.ros.player import Playback, Player


def test_a_player_waits_for_those_who_can_hear_it_and_says_for_whom_it_waited(node):
    player = Player(node, Playback(clock=False))
    player.announce([("/test_where", "std_msgs/msg/String", False), ("/test_image", "std_msgs/msg/String", False)])
    assert player.wait(["/test_image"], 0.2) == "nobody subscribes to /test_image"
    node.create_subscription(String, "/test_image", lambda _: None, 10)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(
        String, "/test_where", lambda _: None, latched
    )  # receives only from publishers that offer this
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
        play(tmp_path / "bag", how=Playback(**options))


def test_what_is_no_bag_is_not_played(tmp_path):
    with pytest.raises(RecordingError, match="is not a bag"):
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
        lambda rounds, names, how, images: played.append(({name for name, _, _ in names}, how.clock)) or 0,
    )
    play(tmp_path / "bag", how=Playback(clock=wanted))
    assert played == [(topics, own)]
