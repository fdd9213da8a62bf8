"""The signals that end a process are left to ROS; other tests, with processes, show that node and recorder then end."""

import os
import signal
import subprocess
import sys

import pytest

from sam2_ros.interrupts import ENDING, Interrupts, immediate


@pytest.fixture(autouse=True)
def handlers():
    """What pytest has set is there again in the end, and before that in the test."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_kept_for_ros_however_often_it_comes(handlers):
    with Interrupts() as interrupts:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
        assert interrupts.came == signal.SIGTERM
    assert {number: signal.getsignal(number) for number in ENDING} == handlers


@pytest.mark.parametrize("number", ENDING)
def test_long_work_is_interrupted_once_by_any_of_them(number):
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            signal.raise_signal(number)
        signal.raise_signal(number)


def test_a_signal_that_came_before_long_work_interrupts_it_as_well():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            raise AssertionError("it must not begin")


def test_a_signal_waits_while_a_process_is_forked():
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.raised():
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)
            forked = True
        raise AssertionError("it is interrupted after the fork")
    assert forked and Interrupts.active is None


def test_what_nohup_has_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
    assert not interrupts.came


#: In a process of its own: rclpy installs its handlers once, and other tests may have had them installed before.
SHUT_DOWN = """
import signal, sys, time
import rclpy
from sam2_ros.interrupts import Interrupts
with Interrupts():
    rclpy.init()
    signal.raise_signal(int(sys.argv[1]))
    end = time.monotonic() + 30
    while rclpy.ok() and time.monotonic() < end:
        time.sleep(0.01)
    sys.exit(rclpy.ok())
"""


@pytest.mark.parametrize("number", ENDING)
def test_each_of_them_shuts_ros_down(number):
    pytest.importorskip("rclpy")
    done = subprocess.run(
        [sys.executable, "-c", SHUT_DOWN, str(int(number))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_ctrl_c_is_no_exception_while_libraries_are_imported(handlers):
    with immediate():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == handlers[signal.SIGINT]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with immediate():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN, "as in the background of a script"
