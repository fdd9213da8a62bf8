"""The status of a node that is made of shapes, on a clock that the test turns."""

from types import SimpleNamespace as Shape

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import ReliabilityPolicy

from sam2_ros.ros.detections import Tally
from sam2_ros.ros.parameters import NodeSettings
from sam2_ros.ros.status import LONGEST, Status
from sam2_ros.stream.counts import Counts

CAMERA = Shape(node_name="camera", node_namespace="/head", qos_profile=Shape(reliability=ReliabilityPolicy.RELIABLE))


class World:
    """A camera that sends images and a worker that answers them, each second as many as it is told."""

    def __init__(self, monkeypatch, **settings):
        self.now, self.log, self.nodes = 100.0, [], [("sam2_ros", "/")]
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.camera = Shape(
            topic="/image",
            reliable=True,
            received=0,
            lost=0,
            silence=0.0,
            arrived=True,
            publishers=lambda: [CAMERA],
            other_type=str,
            unwanted=str,
        )
        self.worker = Shape(counts=Counts(age=0.1), view=Shape(tracks=[1]))
        self.tally = Tally()
        logger = Shape(warning=lambda text: self.log.append(text), info=lambda text: self.log.append(text))
        node = Shape(
            get_logger=lambda: logger,
            get_fully_qualified_name=lambda: "/sam2_ros",
            get_node_names_and_namespaces=lambda: self.nodes,
        )
        self.status = Status(
            node,
            self.camera,
            self.worker,
            Shape(node=NodeSettings(**settings)),
            self.tally,
            Shape(topic="/sam2_ros/prompt", refused=0, reason=""),
        )

    def second(self, received=10, processed=10):
        self.now += 1
        self.camera.received += received
        self.worker.counts.processed += processed
        self.status.update()


def test_a_state_is_said_when_it_begins_and_again_after_the_period(monkeypatch):
    world = World(monkeypatch, report_period=10.0)
    for _ in range(9):
        world.second()
    assert len(world.log) == 1 and "tracking 1 object at 10.0 images/s of 10.0" in world.log[0]
    world.second()
    assert len(world.log) == 2


def test_images_that_are_not_answered_are_not_called_tracking(monkeypatch):
    world = World(monkeypatch)
    world.second()
    for _ in range(5):
        world.second(processed=0)
    assert "no masks were published for 4 s" in world.log[-1]
    world.second()
    assert "tracking" in world.log[-1]


def test_a_camera_that_pauses_leaves_no_image_unanswered(monkeypatch):
    world = World(monkeypatch)
    world.second()
    for pause in range(1, 30):
        world.camera.silence = pause
        world.second(0, 0)
    world.camera.silence = 0.0
    world.second(1, 1)
    assert not [line for line in world.log if "no masks were published" in line]


def test_a_process_that_was_stopped_says_so_and_blames_neither_camera_nor_tracker(monkeypatch):
    world = World(monkeypatch, silence_after=2.0)
    world.second()
    world.camera.silence, before = 30.0, len(world.log)
    world.camera.begin_again = lambda: setattr(world.camera, "silence", 0.0)
    world.now += 30
    world.second(5, 0)  # images of before, and the first new ones
    world.camera.lost += 300  # as the middleware reports a moment later
    for _ in range(4):
        world.second()
    said, *others = world.log[before:]
    assert said == "this node did not run for 31 s: its process was stopped, or the machine is overloaded"
    assert all("tracking 1 object at" in sentence for sentence in others)
    assert world.status._samples[0][0] >= world.now - 4, "its rates are those of after the pause"


def test_another_node_of_the_name_and_detections_that_are_left_out_are_noticed(monkeypatch):
    world = World(monkeypatch)
    world.second()
    world.nodes += [("sam2_ros", "/"), ("sam2_ros", "/arm")]
    world.second()
    assert "2 nodes are called /sam2_ros" in world.log[-1]
    del world.nodes[1:]
    world.tally.boxes += 3
    world.tally.left_out["with a box without a size"] += 2
    world.worker.counts.left_out["outside the image"] += 1
    world.second()
    assert "none of the 3 detections" in world.log[-1] and "1 outside the image" in world.log[-1]


def test_a_camera_that_repeats_its_stamps_is_not_called_tracked_with_each_report(monkeypatch):
    world = World(monkeypatch, report_period=10.0)
    for _ in range(120):
        world.worker.counts.repeated += 2
        world.second(2, 2)
    assert "have the same stamp as the image before" in world.log[-1]
    assert not [line for line in world.log[1:] if "tracking" in line]


def test_a_camera_whose_images_cannot_be_read_any_more_is_not_called_tracked(monkeypatch):
    world = World(monkeypatch, report_period=60.0)
    for _ in range(30):
        world.second()
    world.worker.counts.refused += 10
    world.second(processed=0)
    assert "none of the last 10 images of /image could be read" in world.log[-1]
    world.second()
    assert "tracking" in world.log[-1]


def test_looks_that_are_kept_have_a_bound(monkeypatch):
    world = World(monkeypatch, report_period=3600.0)
    for _ in range(300):
        world.second()
    assert len(world.status._samples) <= LONGEST + 2
