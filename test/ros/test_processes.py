"""End to end: a camera process, the node's process, and the operator here."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

import moving_squares
import torch
from edgetam_weights import edgetam_weights
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from moving_squares import BLUE, PERIOD, RED
from ros_bench import PATIENCE, Operator, image_message, labels_in, prompt_message, stamp_of, wait_until
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from sam2_ros.model.checkpoint import save
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.ros.node import main
from sam2_ros.srv import List, Prompt, Remove

HERE = Path(__file__).parent
SIZE = (480, 640)


class Process:
    """A child process whose output is kept."""

    def __init__(self, *command, **environment):
        self.lines = []
        self.child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            cwd=HERE.parents[1],
        )
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.child.stdout))
        self.reader.start()

    @property
    def output(self):
        return "".join(self.lines)

    def says(self, words):
        with contextlib.suppress(AssertionError):  # the output says more
            wait_until(lambda: words in self.output or self.child.poll() is not None, f"{words!r}")
        assert words in self.output

    def end(self, how=signal.SIGINT):
        """Interrupt the process; its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(how)
        return self.wait()

    def wait(self):
        code = self.child.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code


@pytest.fixture
def start():
    """Starts processes, and ends those that a test has left."""
    running = []

    def run(*command, **environment):
        running.append(Process(*command, **environment))
        return running[-1]

    yield run
    for process in running:
        try:  # killed at once they would leave their shared memory behind
            process.end()
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.wait()


@contextlib.contextmanager
def operator(image="/not_used", **options):
    rclpy.init()
    one = Operator(image=image, **options)
    try:
        yield one
    finally:
        one.close()
        rclpy.shutdown()


def colour_node(start, *arguments, slowness=0.0, prompting=0.0):
    node = start(
        HERE / "colour_node.py",
        "--ros-args",
        *arguments,
        COLOUR_NODE_SLOWNESS=str(slowness),
        COLOUR_NODE_PROMPTING=str(prompting),
    )
    node.says("ready")
    return node


def box(stamp, colour):
    return moving_squares.boxes(stamp // PERIOD, SIZE)[colour]


def middle(stamp, colour):
    x0, y0, x1, y1 = box(stamp, colour)
    return (x0 + x1) / 2, (y0 + y1) / 2


def covers(mask, stamp, colour):
    """Whether a mask lies on the square of ``colour``; the model's own grid is coarse."""
    x0, y0, x1, y1 = box(stamp, colour)
    x, y = middle(stamp, colour)
    return mask[int(y), int(x)] and mask[y0 : y1 + 1, x0 : x1 + 1].sum() > 0.9 * mask.sum()


def prompt_on_red(someone):
    """Click the red square on the newest image that was seen; the answer and that image's stamp."""
    seen = stamp_of(wait_until(lambda: someone.results and someone.results[-1], "the first result"))
    answer = someone.call(Prompt, "prompt", prompt=prompt_message("red", seen, points=[middle(seen, RED)]))
    assert answer.success, answer.message
    return answer, seen


def test_frames_prompts_corrections_removal_and_reset_across_processes(start):
    node = colour_node(start)
    start(HERE / "camera_process.py", "/image")
    with operator() as someone:
        wait_until(lambda: someone.masks, "the first masks")

        answer, seen = prompt_on_red(someone)
        assert stamp_of(answer.mask) == stamp_of(answer.object) == seen and answer.mask.header.frame_id == "camera"
        assert covers(labels_in(answer.mask) > 0, seen, RED)

        seen = stamp_of(someone.results[-1])
        someone.prompts.publish(prompt_message("blue", seen, box=box(seen, BLUE)))
        both = wait_until(lambda: next((r for r in someone.results if len(r.objects) == 2), None), "both objects")
        ids = {found.name: found.id for found in both.objects}

        since = len(someone.results)
        wait_until(lambda: len(someone.results) > since + 15, "more results")
        for result in someone.results[since : since + 15]:
            mask = someone.mask(stamp_of(result))
            assert mask.header == result.header and all(found.header == result.header for found in result.objects)
            for name, colour in (("red", RED), ("blue", BLUE)):
                assert covers(labels_in(mask) == ids[name], stamp_of(result), colour)

        earlier = stamp_of(someone.results[-10])
        answer = someone.call(Prompt, "prompt", prompt=prompt_message("red", earlier, points=[middle(earlier, RED)]))
        assert answer.success and stamp_of(answer.mask) == earlier and answer.id == ids["red"]
        assert answer.object.prompted_frames == 2
        assert [found.name for found in someone.call(List, "list").objects] == ["red", "blue"]

        overlays = []
        someone.ros.create_subscription(Image, "/sam2_ros/overlay", overlays.append, 5)
        assert (overlay := wait_until(lambda: overlays and overlays[-1], "an overlay")).encoding == "rgb8"
        assert (overlay.height, overlay.width) == SIZE

        assert someone.call(Remove, "remove", name="blue").success
        assert not someone.call(Remove, "remove", name="blue").success
        wait_until(lambda: [found.name for found in someone.results[-1].objects] == ["red"], "blue to be gone")
        assert someone.call(Trigger, "reset").success
        wait_until(lambda: not someone.results[-1].objects, "everything to be gone")
    assert node.end() == 0
    assert "Traceback" not in node.output


def test_a_slow_tracker_counts_every_drop_and_is_interrupted_in_its_work(start):
    node = colour_node(
        start, "-p", "prompt_timeout:=60.0", "-p", "qos_overrides./image.subscription.depth:=100", slowness=0.12
    )
    with operator() as someone:
        wait_until(lambda: someone.ros.count_publishers("/sam2_ros/objects"), "the node")
        start(HERE / "camera_process.py", "/image", "--count", 30)
        someone.result(30 * PERIOD)  # the newest image is never dropped
        assert sum(1 + result.dropped_frames for result in someone.results) == 30 > len(someone.results)
        waiting = someone.ros.create_client(Prompt, "/sam2_ros/prompt")
        assert waiting.wait_for_service(PATIENCE)
        waiting.call_async(Prompt.Request(prompt=prompt_message("never", 10**18, points=[(1, 1)])))
        someone.call(List, "list")
        assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.output and "failed" not in node.output


def test_images_in_the_wrong_order_cost_no_late_prompt_and_results_never_go_back(start):
    node = colour_node(start)
    with operator(image="/image") as someone:
        someone.connect()
        order = [1, 2, 3, 5, 4, 6, 7, 9, 8, 10, 11, 13, 12, 14]
        for number in order:
            someone.images.publish(image_message(moving_squares.scene(number, SIZE), number * PERIOD))
            if number in (6, 10, 14):  # a detector that answers four images late
                seen = (number - 4) * PERIOD
                answer = someone.call(
                    Prompt, "prompt", prompt=prompt_message(f"red {number}", seen, points=[middle(seen, RED)])
                )
                assert answer.success, answer.message
                assert abs(stamp_of(answer.mask) - seen) <= PERIOD, (
                    "the image itself, or its neighbour where it was dropped"
                )
            someone.result(max(order[: order.index(number) + 1]) * PERIOD)
        stamps = [stamp_of(result) for result in someone.results]
        assert stamps == sorted(stamps)
    assert node.end() == 0
    assert "Traceback" not in node.output and "went back" not in node.output


def test_images_are_answered_while_prompts_flood_and_the_node_ends_at_once(start):
    node = colour_node(start, slowness=0.02, prompting=0.05)
    start(HERE / "camera_process.py", "/image")
    with operator() as someone:
        wait_until(
            lambda: someone.prompts.get_subscription_count() and someone.results, "the node and the first result"
        )
        since, started = len(someone.results), time.monotonic()
        while time.monotonic() - started < 3.0:
            seen = stamp_of(someone.results[-1])
            for name in ("a", "b", "c"):
                someone.prompts.publish(prompt_message(name, seen, box=box(seen, RED)))
            time.sleep(0.05)
        stamps = {stamp_of(result) for result in someone.results[since:]}
        assert len(stamps) > 6, "a turn takes an image and one or two prompts, whatever waits"
        for number in range(500):
            someone.prompts.publish(prompt_message(f"object {number}", points=[(320, 100)]))
        started = time.monotonic()
        assert node.end(signal.SIGINT) == 0
        assert time.monotonic() - started < 5.0, "500 prompts would take 25 s"
    assert "Traceback" not in node.output and "failed" not in node.output
    assert node.output.count("prompt: ") < 15


def test_a_compressed_best_effort_camera_is_tracked_until_the_node_is_terminated(start):
    node = colour_node(start, "-r", "image:=/camera/image_raw")
    start(HERE / "camera_process.py", "/camera/image_raw", "--compressed", "--best-effort")
    with operator() as someone:
        masks = []
        someone.ros.create_subscription(CompressedImage, "/sam2_ros/masks/compressed", masks.append, 5)
        answer, seen = prompt_on_red(someone)
        assert covers(labels_in(answer.mask) > 0, seen, RED)
        assert "png" in wait_until(lambda: masks and masks[-1], "compressed masks").format
        assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.output and "failed" not in node.output


@pytest.mark.skipif("fastrtps" not in rclpy.get_rmw_implementation_identifier(), reason="a property of Fast DDS")
def test_a_camera_whose_large_images_get_lost_is_explained(start):
    node = colour_node(start)
    camera = dict.fromkeys(("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"), "")
    start(HERE / "camera_process.py", "/image", "--best-effort", "--size", "1280x720", **camera)
    node.says("large best-effort images are lost between processes")


def test_a_model_from_a_file_is_loaded_and_tracks(start, tmp_path):
    torch.manual_seed(0)
    save(SAM2(TEST), tmp_path / "random.safetensors")
    node = start(
        "-m",
        "sam2_ros",
        "node",
        "--ros-args",
        "-p",
        f"model:={tmp_path / 'random.safetensors'}",
        "-p",
        "threads:=1",
        "-p",
        "device:=cpu",
    )
    node.says("ready")
    assert f"{TEST.image_size} pixels on cpu" in node.output
    start(HERE / "camera_process.py", "/image")
    with operator() as someone:
        wait_until(lambda: someone.masks, "the first masks")
        answer = someone.call(Prompt, "prompt", prompt=prompt_message("red", points=[(320, 240)]))
        assert answer.success and len(answer.object.object_pointer) == TEST.hidden_dim
        wait_until(lambda: someone.results and someone.results[-1].objects, "the object")
    assert node.end() == 0


@pytest.mark.parametrize("side", [256, pytest.param(512, marks=pytest.mark.slow)])
def test_edgetam_from_a_file_tracks_at_a_side_that_is_chosen(start, tmp_path, side):
    torch.save({"model": edgetam_weights(seed=2, object_score=5.0)}, tmp_path / "edgetam.pt")
    given = {"model": tmp_path / "edgetam.pt", "image_side": side, "threads": 1, "device": "cpu"}
    parameters = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    node = start("-m", "sam2_ros", "node", "--ros-args", *parameters)
    node.says("ready")
    assert f"EdgeTAM at {side} pixels on cpu" in node.output
    start(HERE / "camera_process.py", "/image")
    with operator() as someone:
        seen = stamp_of(wait_until(lambda: someone.results and someone.results[-1], "the first result"))
        for name, colour in (("red", RED), ("blue", BLUE)):
            prompt = prompt_message(name, seen, points=[middle(seen, colour)])
            answer = someone.call(Prompt, "prompt", prompt=prompt)
            assert answer.success and len(answer.object.object_pointer) == 256, answer.message
        result = wait_until(lambda: next((r for r in someone.results if len(r.objects) == 2), None), "both objects")
        assert [(one.name, one.occluded) for one in result.objects] == [("red", False), ("blue", False)]
    assert node.end() == 0
    assert "Traceback" not in node.output


def test_parameters_that_reach_nothing_and_a_second_node_of_the_name_are_named(start, tmp_path):
    (tmp_path / "other.yaml").write_text("/tracker: {ros__parameters: {threads: 1}}")
    node = colour_node(
        start, "-p", "imag_transport:=raw", "-p", "silence_after:=3", "--params-file", tmp_path / "other.yaml"
    )
    node.says("the parameter 'imag_transport' does not exist and sets nothing; did you mean 'image_transport'?")
    node.says("it sets parameters of '/tracker', and this node is /sam2_ros; write '/sam2_ros:' or '/**:' there")
    start(HERE / "camera_process.py", "/image")
    colour_node(start)
    node.says("2 nodes are called /sam2_ros: their masks are mixed")


def test_a_node_ends_though_it_is_interrupted_where_its_executor_starts_a_callback(start):
    node = start(HERE / "interrupted.py", "acquire", 5, HERE / "colour_node.py")
    assert node.wait() == 0, node.output
    assert "ready" in node.output and "Traceback" not in node.output


def test_a_node_that_still_loads_its_model_can_be_terminated(start):
    node = start(HERE / "colour_node.py", COLOUR_NODE_LOADING="1.0")
    node.says("loading")
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.output


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-p", "model:=/nowhere/model.pt"], "/nowhere/model.pt"),
        (["-p", "image_transport:=theora"], "image_transport must be one of auto, raw, compressed"),
        (["-p", "visible_margin:=99.0"], "visible_margin"),
        (["-p", "threads:=many"], "threads"),
        (["-p", "device:=abacus"], "abacus"),
        (["-p", "model:=edgetam", "-p", "image_side:=384"], "must be a multiple of 256 pixels, got 384"),
        (["-p", "model:=tiny_512", "-p", "image_side:=256"], "tiny_512 is for images of 512 pixels"),
        (["-p", "image_side:=5000"], "image_side must be at most 4096, got 5000"),
    ],
)
def test_a_start_that_cannot_succeed_ends_with_a_sentence(arguments, words, capfd):
    assert main(["--ros-args", *arguments]) == 1
    output = "".join(capfd.readouterr())
    assert words in output and "Traceback" not in output


@pytest.mark.parametrize(
    "arguments, domain, words",
    [
        ([], "many", "ROS cannot start"),
        (["--params-file"], "0", "ROS cannot start"),
        (["--params-file", "/nowhere/a.yaml"], "0", "/nowhere/a.yaml"),
    ],
)
def test_ros_itself_may_refuse_to_start_and_that_is_said(arguments, domain, words, monkeypatch, capfd):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    assert main(["--ros-args", *arguments]) == 1
    output = "".join(capfd.readouterr())
    assert words in output and "Traceback" not in output


@pytest.mark.parametrize("arguments", [["model=tiny"], ["--ros-args", "-p", "threads:=1", "--", "model=tiny"]])
def test_an_argument_that_is_none_of_ros_is_refused(arguments, capfd):
    assert main(arguments) == 1
    assert "does not know the argument model=tiny" in "".join(capfd.readouterr())


# -- a manager, and what the node says of itself -----------------------------------------------------


class Health(list):
    """What the node says of itself on /diagnostics."""

    def __init__(self, someone):
        super().__init__()
        messages = pytest.importorskip("diagnostic_msgs.msg", reason="diagnostic_msgs is not installed")
        someone.ros.create_subscription(messages.DiagnosticArray, "/diagnostics", self.append, 10)

    def says(self, words):
        wait_until(lambda: [one for one in self if one.status[0].message.startswith(words)], f"{words!r}")

    def knows(self, key, value):
        wait_until(
            lambda: [one for one in self for pair in one.status[0].values if (pair.key, pair.value) == (key, value)],
            f"{key} {value}",
        )


def change(someone, label):
    return someone.call(ChangeState, "change_state", transition=Transition(label=label)).success


def state(someone):
    return someone.call(GetState, "get_state").current_state.label


def test_a_node_says_that_it_loads_its_model_and_can_be_ended_meanwhile(start):
    node = start(HERE / "colour_node.py", COLOUR_NODE_LOADING="600")
    with operator() as someone:
        health = Health(someone)
        health.says("loading the model embedded")
        assert state(someone) == "configuring"
        assert not change(someone, "cleanup")
        node.says("cleanup is refused: the node is configuring, call again later")
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.output and "ready" not in node.output


def test_a_manager_drives_the_node_through_its_states(start):
    node = start(HERE / "colour_node.py", "--ros-args", "-p", "autostart:=false", COLOUR_NODE_LOADING="2")
    start(HERE / "camera_process.py", "/image")
    with operator() as someone:
        health = Health(someone)
        health.says("unconfigured: no model is loaded")
        assert not change(someone, "activate")
        node.says("activate is refused: the node is unconfigured; possible now: configure, shutdown")
        assert change(someone, "configure") and state(someone) == "inactive" and not someone.results
        health.says("loading the model embedded")
        assert change(someone, "activate")
        prompt_on_red(someone)
        wait_until(lambda: someone.results[-1].objects, "the object")
        health.knows("objects visible", "1")
        assert change(someone, "deactivate")
        count = len(someone.results)
        health.says("inactive: nothing is subscribed to, the objects are kept")
        assert len(someone.results) <= count + 1, "at most the one that was on its way"
        assert change(someone, "activate")
        wait_until(lambda: len(someone.results) > count + 3 and someone.results[-1].objects, "the object again")
        for transition, reached in (("deactivate", "inactive"), ("cleanup", "unconfigured"), ("shutdown", "finalized")):
            assert change(someone, transition) and state(someone) == reached
    assert node.end() == 0
    assert "Traceback" not in node.output and "failed" not in node.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_costs_the_trace_and_not_the_node(start):
    node = start(HERE / "colour_node.py", "--ros-args", "-p", "trace_file:=/dev/full")
    start(HERE / "camera_process.py", "/image")
    node.says("the trace /dev/full ends here: No space left on device; the node goes on without it")
    with operator() as someone:
        wait_until(lambda: len(someone.results) > 3, "results")
    assert node.end() == 0
    assert "Traceback" not in node.output


def test_two_nodes_of_one_name_both_follow_a_manager_and_say_so(start):
    nodes = [start(HERE / "colour_node.py") for _ in range(2)]
    for node in nodes:
        node.says("ready")
    start(HERE / "camera_process.py", "/image")
    for node in nodes:
        node.says("2 nodes are called /sam2_ros")
    with operator() as someone:
        # A call reaches only the nodes that its caller has discovered.
        wait_until(lambda: someone.ros.count_services("/sam2_ros/change_state") == 2, "the services of both")
        assert change(someone, "deactivate")
        wait_until(lambda: not someone.ros.count_subscribers("/sam2_ros/prompt"), "both to rest")
    assert [node.end() for node in nodes] == [0, 0]
