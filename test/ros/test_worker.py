"""The worker with what ROS gives it."""

import threading
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy")

import ros_bench  # noqa: F401 - keeps the tests off the network
from fakes import RED, ColourModel, picture
from waiting import wait_until

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.locator import Located
from sam2_ros.stream.mailbox import UnreadImage
from sam2_ros.stream.session import Session
from sam2_ros.stream.worker import Worker
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame


def failing(error):
    def read():
        raise error

    return UnreadImage(read)


def image(stamp):
    return UnreadImage(lambda: Frame(picture({RED: (0, 0)}), stamp), stamp)


def test_complaints_of_several_severities_do_not_end_the_thread():
    """A call of a ROS logger keeps the severity that it had first, and raises when another comes."""
    results = []
    worker = Worker(Session(Tracker(ColourModel())), results.append, rclpy.logging.get_logger("worker"))
    worker.start()
    try:
        worker.put_image(failing(InvalidImage("no pixels")))
        wait_until(lambda: worker.counts.refused == 1, "the warning")
        worker.put_image(failing(ZeroDivisionError("a defect")))
        wait_until(lambda: worker.counts.refused == 2, "the error")
        worker.put_image(image(9 * 10**9))
        wait_until(lambda: len(results) == 1, "the first result")
        worker.put_image(image(10**9))
        wait_until(lambda: len(results) == 2, "the result after time went back, which is told")
    finally:
        worker.stop()


def test_masks_are_published_before_anything_is_measured_in_3_d_and_only_once():
    masks, results, measured = [], [], threading.Event()
    locator = SimpleNamespace(expect=lambda stamp: None, locate=lambda *arguments: measured.wait(30) and Located())
    worker = Worker(
        Session(Tracker(ColourModel())),
        results.append,
        rclpy.logging.get_logger("worker"),
        locator,
        publish_masks=lambda view: masks.append(view.frame.stamp),
    )
    worker.start()
    try:
        worker.put_image(image(10**9))
        wait_until(lambda: masks == [10**9], "the masks")
        assert not results
        measured.set()
        wait_until(lambda: len(results) == 1, "the result")
        worker.publish_again(10**9)  # its depth has come
        wait_until(lambda: len(results) == 2, "the result with depth")
        worker.put_image(image(2 * 10**9))
        wait_until(lambda: len(results) == 3, "the next result")
        assert masks == [10**9, 2 * 10**9]
    finally:
        measured.set()
        worker.stop()
