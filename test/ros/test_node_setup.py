"""Nodes that are started in other ways: a slow tracker, other names, other cameras."""

import gc
import time
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy")

from fakes import ColourModel
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_bench import (
    MILLISECOND,
    ON_RED,
    PATIENCE,
    Bench,
    image_message,
    prompt_message,
    scene,
    set_stamp,
    stamp_of,
    wait_until,
)
from sensor_msgs.msg import CompressedImage, Image

from sam2_ros.messages import fill_compressed, frame_from
from sam2_ros.model import checkpoint
from sam2_ros.node_settings import NodeSettings
from sam2_ros.ros.node import atexit, main, make_tracker, spin
from sam2_ros.srv import List, Prompt
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker


class SlowModel(ColourModel):
    def encode_image(self, images):
        time.sleep(0.1)
        return super().encode_image(images)


def slow_tracker(parameters):
    return Tracker(SlowModel(), parameters.tracker), "a slow model"


@pytest.fixture
def opened():
    """Opens benches and closes them again."""
    benches = []

    def open_bench(*arguments, **more):
        benches.append(Bench(*arguments, **more))
        return benches[-1].connect()

    yield open_bench
    for bench in benches:
        bench.close()


def test_every_image_that_a_slow_tracker_skips_is_counted(opened):
    bench = opened("-p", "qos_overrides./image.subscription.depth:=100", make=slow_tracker)
    for n in range(1, 31):
        bench.images.publish(image_message(scene(), n * MILLISECOND))
        time.sleep(0.01)
    wait_until(
        lambda: sum(1 + result.dropped_frames for result in bench.results) == bench.node.camera.received == 30 or None,
        "every image as a result or as a drop",
    )
    assert bench.node.worker.counts.dropped > 0
    assert stamp_of(bench.results[-1]) == 30 * MILLISECOND  # the newest is never dropped


def test_a_call_to_a_busy_tracker_is_given_up_and_nothing_else_is_held_up(opened):
    bench = opened("-p", "answer_timeout:=0.2", make=slow_tracker)
    bench.node.worker.ask(lambda: time.sleep(1.0))
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    assert not answer.success and "within 0.2 s; nothing was changed" in answer.message
    assert list(bench.call(List, "list").objects) == []


def test_many_calls_at_once_are_all_answered(opened):
    bench = opened(make=slow_tracker)
    bench.show(scene(), 1)
    client = bench.ros.create_client(Prompt, "/sam2_ros/prompt", qos_profile=QoSProfile(depth=50))
    assert client.wait_for_service(PATIENCE)
    request = Prompt.Request(prompt=prompt_message(points=[ON_RED]))
    answers = [client.call_async(request) for _ in range(30)]
    bench.images.publish(image_message(scene(), 2))
    wait_until(lambda: all(answer.done() for answer in answers), "all answers")
    answers = [answer.result() for answer in answers]
    assert all(answer.success or "wait for the tracker already" in answer.message for answer in answers)
    assert sum(answer.success for answer in answers) >= 12
    bench.result(2)


def test_names_are_relative_and_remapping_moves_all_of_a_camera(opened):
    bench = opened(
        "-r",
        "__ns:=/robot",
        "-r",
        "image:=/head/color/image_raw",
        node="/robot/sam2_ros",
        image="/head/color/image_raw",
    )
    assert bench.node.camera.topics == {
        "raw": "/head/color/image_raw",
        "compressed": "/head/color/image_raw/compressed",
    }
    bench.show(scene(), 1)
    assert bench.node.count_subscribers("/head/color/camera_info")
    assert bench.node.count_subscribers("/head/color/image_raw_mouse_left")
    assert bench.node.count_subscribers("/robot/clicked_point")


def test_camera_info_can_be_remapped_by_itself(opened):
    bench = opened("-r", "camera_info:=/elsewhere/info")
    wait_until(lambda: bench.node.count_subscribers("/elsewhere/info"), "the subscription")


def test_a_compressed_camera_is_found(opened):
    bench = opened(compressed=True)
    message = fill_compressed(CompressedImage(), scene())
    set_stamp(message.header, 5)
    bench.show(message, 5)
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    assert answer.success and answer.object.area > 0
    refused = bench.node.worker.counts.refused
    bench.images.publish(CompressedImage(format="jpeg", data=b"no picture"))
    wait_until(lambda: bench.node.worker.counts.refused > refused, "the refusal")


def test_the_subscription_is_as_reliable_as_the_camera(opened):
    bench = opened(reliable=False)
    assert bench.node.camera.reliable is False
    bench.show(scene(), 1)
    reliable = bench.ros.create_publisher(Image, "/image", 10)
    wait_until(reliable.get_subscription_count, "a match: best effort receives from both kinds")


def test_the_subscription_changes_when_another_kind_of_camera_appears(opened):
    bench = opened()
    assert bench.node.camera.reliable is True
    other = bench.ros.create_publisher(Image, "/image", rclpy.qos.qos_profile_sensor_data)
    wait_until(other.get_subscription_count, "the node to subscribe to a best-effort camera")
    other.publish(image_message(scene(), 7))
    bench.result(7)
    assert bench.node.camera.reliable is False


def test_an_image_that_was_published_before_the_subscription_is_shown_where_the_camera_keeps_it():
    bench = Bench("-r", "image:=/latched")
    try:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        camera = bench.ros.create_publisher(Image, "/latched", latched)
        camera.publish(image_message(scene(), 5))
        assert not camera.get_subscription_count()
        bench.result(5)
        answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
        assert answer.success and answer.object.area > 0
    finally:
        bench.close()


def test_a_fixed_reliability_that_hears_nothing_is_explained():
    bench = Bench("-p", "image_reliability:=reliable", "-p", "image_transport:=raw", reliable=False)
    try:
        bench.says("published best-effort but subscribed to as reliable", "image_reliability")
    finally:
        bench.close()


def test_a_node_without_a_camera_says_so():
    bench = Bench("-p", "silence_after:=0.3", "-r", "image:=/nowhere")
    try:
        bench.says("nobody publishes /nowhere", "images are published on /image (Image)")
        bench.says("ready: a model that follows colours", "/nowhere", "/sam2_ros/prompt", "/sam2_ros/masks")
    finally:
        bench.close()


def test_a_camera_that_starts_late_is_not_called_silent():
    bench = Bench("-p", "silence_after:=1.0", "-r", "image:=/late")
    try:
        bench.says("nobody publishes /late")
        camera = bench.ros.create_publisher(Image, "/late", 10)
        wait_until(camera.get_subscription_count, "the subscription")
        wait_until(lambda: camera.publish(image_message(scene(), 5)) or bench.results, "a result")
        assert not [line for line in bench.log if "no image on /late" in line]
    finally:
        bench.close()


def test_a_compressed_topic_of_any_name_is_tracked():
    bench = Bench("-r", "image:=/jpg")
    try:
        camera = bench.ros.create_publisher(CompressedImage, "/jpg", 10)
        wait_until(camera.get_subscription_count, "the subscription")
        message = fill_compressed(CompressedImage(), scene())
        set_stamp(message.header, 5)
        wait_until(lambda: camera.publish(message) or bench.results, "a result")
    finally:
        bench.close()


def test_raw_images_are_named_where_compressed_ones_are_wanted():
    bench = Bench("-p", "image_transport:=compressed")
    try:
        bench.says("image_transport is compressed, but this camera's images are on /image (Image)")
    finally:
        bench.close()


def test_two_publishers_on_one_image_topic_are_named(opened):
    bench = opened("-p", "report_period:=0.5")
    bench.ros.create_publisher(Image, "/image", 10)
    bench.show(scene(), 1)
    bench.says("2 publishers send images on /image", "/operator, /operator")


def test_the_rate_of_another_camera_is_told():
    bench = Bench("-p", "silence_after:=0.3", "-r", "image:=/nowhere", image="/head")
    try:
        wait_until(bench.images.get_subscription_count, "somebody to count")
        for _ in range(40):
            bench.images.publish(image_message(scene(), 5))
            time.sleep(0.04)
        line = bench.says("nobody publishes /nowhere", "/head (Image, ")
        assert 5 <= int(line.split("(Image, ")[1].split("/s")[0]) <= 26
    finally:
        bench.close()


def test_simulated_time_that_stands_still_stops_nothing(opened):
    bench = opened("-p", "use_sim_time:=true")
    bench.show(scene(), 5)
    assert bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED])).success


def test_the_image_is_not_altered_by_drawing_on_it(opened):
    bench = opened()
    seen = []
    bench.ros.create_subscription(Image, "/sam2_ros/overlay", seen.append, 5)
    wait_until(lambda: bench.node.count_subscribers("/sam2_ros/overlay"), "the subscription")
    message = image_message(scene(), 5)
    bench.show(message, 5)
    bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    wait_until(lambda: len(seen) > 1, "two overlays")
    assert (bench.node.worker.view.frame.image == frame_from(message).image).all()


class Executor:
    """Ends as it is told, each time that it is spun."""

    def __init__(self, *endings):
        self.endings = list(endings)

    def spin(self):
        ending = self.endings.pop(0)
        raise ending() if callable(ending) else ending


def test_a_message_that_cannot_be_deserialised_does_not_end_the_node():
    rclpy.init()
    node = rclpy.create_node("one")
    executor = Executor(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), ExternalShutdownException())
    spin(executor, node)
    assert not executor.endings
    node.destroy_node()
    rclpy.shutdown()


def test_a_subscription_destroyed_while_rclpy_waits_for_it_is_not_reported_as_a_failure(capfd):
    rclpy.init()
    node = rclpy.create_node("one")
    executor = Executor(InvalidHandle("destruction was requested"), ExternalShutdownException())
    spin(executor, node)
    assert not executor.endings
    assert "failed" not in capfd.readouterr().err
    node.destroy_node()
    rclpy.shutdown()


def test_a_shutdown_between_two_waits_is_not_reported_as_a_failure(capfd):
    def context_is_gone():
        rclpy.shutdown()
        return RuntimeError("failed to initialize wait set: the given context is not valid")

    rclpy.init()
    node = rclpy.create_node("one")
    spin(Executor(context_is_gone), node)
    assert "failed" not in capfd.readouterr().err
    node.destroy_node()


def test_the_process_does_not_go_through_all_objects_of_torch_when_it_exits(monkeypatch):
    last = []
    monkeypatch.setattr(atexit, "register", lambda act, *_, **__: last.append(act) or act)
    assert main(["--ros-args", "-p", "model:=/nowhere.pt"]) == 1
    assert gc.freeze in last


def test_the_model_is_named_with_the_checksum_that_recordings_have(weights):
    parameters = SimpleNamespace(node=NodeSettings(model=str(weights)), tracker=TrackerSettings())
    _, words = make_tracker(parameters)
    assert words.endswith(f"weights with SHA-256 {checkpoint.identify(weights).sha256[:12]}")
    assert "computed by PyTorch" in words
