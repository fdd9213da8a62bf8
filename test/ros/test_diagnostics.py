"""The health of a node: its entries from what is known, and the messages of a node that runs."""

import json
from types import SimpleNamespace as Shape

import pytest

rclpy = pytest.importorskip("rclpy")

from ros_bench import MILLISECOND, Bench, stamp_of, wait_until

from sam2_ros.ros import diagnostics
from sam2_ros.ros.diagnosis import Diagnosis, Facts
from sam2_ros.ros.diagnostics import (
    ERROR,
    OK,
    WARN,
    of_camera,
    of_depth,
    process_memory,
    resources,
    stage_times,
    tracking,
)
from sam2_ros.stages import StageTimes
from sam2_ros.stream.counts import Counts


def facts(**more):
    known = dict(topic="/image", publishers=1, best_effort_publishers=0, reliable=True, silence=0.0, seconds=10.0)
    counted = dict(received=300, lost=0, processed=150, refused=0, repeated=0, objects=2, prompt_topic="/prompt")
    return Facts(**{**known, **counted, **more})


@pytest.mark.parametrize(
    "state, warns, level", [("tracking", False, OK), ("late", True, WARN), ("silent", True, ERROR), ("idle", False, OK)]
)
def test_the_level_is_an_error_only_where_there_are_no_masks(state, warns, level):
    entry = tracking(Diagnosis(state, warns, "a sentence"), facts(), Counts(), {})
    assert (entry.level, entry.message, entry.values["state"]) == (level, "a sentence", state)


def test_rates_are_of_the_last_seconds_and_counts_since_the_start():
    counts = Counts(processed=900, dropped=7, refused=3, late=2, age=0.08)
    values = tracking(None, facts(), counts, {"visible": 2, "lost": 1}).values
    assert (values["images arriving [1/s]"], values["images answered [1/s]"]) == (30.0, 15.0)
    assert (values["images answered"], values["images dropped"], values["images refused"]) == (900, 7, 3)
    assert (values["objects visible"], values["objects occluded"], values["objects lost"]) == (2, 0, 1)
    assert values["age of masks, 95 % [s]"] == 0.08


def test_memory_is_that_of_the_process_and_of_each_gpu():
    values = resources("SAM 2.1 tiny", "tiny", 512_000_000, {"cuda:0": (2_000_000, 4_000_000)}).values
    assert values["memory of the process [MB]"] == 512.0 and values["memory reserved on cuda:0 [MB]"] == 4.0
    assert process_memory() is None or process_memory() > 1_000_000
    assert resources("", "tiny", None, {}).message == "no model is loaded"


def test_stages_are_told_in_milliseconds():
    window = StageTimes()
    window.add({"encode": 0.02, "publish": 0.001})
    values = stage_times(window).values
    assert values["encode 95 % [ms]"] == pytest.approx(20.0) and values["total 50 % [ms]"] == pytest.approx(21.0)


def test_a_camera_that_nobody_knows_has_no_offset():
    camera = Shape(topic="/image", frame_id="", reliable=None, received=0, lost=0, silence=4.0)
    values = of_camera(camera, None, None).values
    assert diagnostics.text_of(values["clock of the node minus stamp [s]"]) == ""


def test_depth_is_a_warning_only_while_it_cannot_be_used():
    depth = Shape(topic="", received=0, late=0, silence=9.0, fault="")
    found = of_depth(depth)
    assert (found.level, found.values["seconds without an image"]) == (OK, None)
    assert found.message == "nobody publishes depth: there are no positions in 3-D"
    depth = Shape(topic="/depth", received=7, late=2, silence=0.1, fault="depth comes, but no camera_info")
    found = of_depth(depth)
    assert (found.level, found.message) == (WARN, "no positions in 3-D: depth comes, but no camera_info")
    assert (found.values["images received"], found.values["images too late"]) == (7, 2)
    depth.fault = ""
    assert (of_depth(depth).level, of_depth(depth).message) == (OK, "/depth")


def test_the_offset_of_the_clocks_is_the_least_of_the_last_images():
    now = [0]
    clock = Shape(now=lambda: Shape(nanoseconds=now[0]))
    one = diagnostics.Diagnostics.__new__(diagnostics.Diagnostics)
    one._node, one._offsets = Shape(get_clock=lambda: clock), diagnostics.deque(maxlen=diagnostics.OFFSETS)
    assert one._offset() is None
    for late in (40, 30, 90):
        now[0] += 100
        one.arrived(now[0] - late)
    one.arrived(0)  # has no stamp
    assert one._offset() == 30 / 1e9


@pytest.fixture
def arrays():
    """The messages of a node that tracks, and its trace."""
    messages = pytest.importorskip("diagnostic_msgs.msg", reason="diagnostic_msgs is not installed")
    benches = []

    def opened(*arguments):
        bench = Bench(*arguments, node="/robot/sam2_ros", image="/robot/image")
        benches.append(bench)
        received = []
        bench.ros.create_subscription(messages.DiagnosticArray, "/diagnostics", received.append, 10)
        return bench.connect(), received

    yield opened
    for bench in benches:
        bench.close()


def entry(array, task):
    return next(status for status in array.status if status.name.endswith(f": {task}"))


def values(array, task):
    return {pair.key: pair.value for pair in entry(array, task).values}


def test_a_node_that_tracks_says_so_every_second_with_its_times(arrays, tmp_path):
    bench, received = arrays("-p", f"trace_file:={tmp_path / 'times.jsonl'}", "-r", "__ns:=/robot")
    bench.start()
    for _ in range(3):
        bench.show_next()

    def tracked():
        return next((one for one in received if values(one, "tracking")["state"] == "tracking"), None)

    array = wait_until(tracked, "a node that tracks")
    assert [status.name for status in array.status] == [
        f"robot/sam2_ros: {task}" for task in ("tracking", "model", "camera", "depth", "stages")
    ]
    assert entry(array, "tracking").level == b"\x00" and "tracking 1 object at" in entry(array, "tracking").message
    assert values(array, "tracking")["objects visible"] == "1"
    assert values(array, "model")["model"] == "a model that follows colours"
    assert values(array, "model")["engine"] == "PyTorch, float32"
    assert float(values(array, "model")["memory of the process [MB]"]) > 10
    assert values(array, "camera")["topic"] == "/robot/image"
    assert float(values(array, "camera")["clock of the node minus stamp [s]"]) > 1e6, "stamps of the test begin at 0"
    assert float(values(array, "stages")["encode 50 % [ms]"]) > 0
    before = len(received)
    wait_until(lambda: len(received) > before, "the next message")
    assert 0.5 < (stamp_of(received[-1]) - stamp_of(received[-2])) / (1000 * MILLISECOND) < 5

    bench.node.close()
    first, *lines = map(json.loads, (tmp_path / "times.jsonl").read_text().splitlines())
    assert first["node"] == "/robot/sam2_ros" and first["model"] == "embedded"
    assert [line["stamp"] for line in lines] == sorted({stamp_of(result) for result in bench.results})
    assert lines[-1]["objects"] == {"visible": 1} and sum(lines[-1]["stages"].values()) <= lines[-1]["age"] + 1e-4
