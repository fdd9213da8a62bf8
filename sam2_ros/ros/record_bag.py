"""Records a running node into a bag that ``ros2 bag`` can read."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node as RosNode

from sam2_ros.errors import InvalidInput, RecordingError, Sam2RosError
from sam2_ros.interrupts import Interrupts
from sam2_ros.recordings.bags.notes import ABOUT, SUMMARY, note
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.ros.names import full_node, full_topic
from sam2_ros.ros.recorder import Recorder, ask_for_parameters, parameter_client
from sam2_ros.ros.startup import running_node

#: Seconds that a recording waits at its end for the description of the node's model: a large one takes longer, but the
#: bag must be closed before the process is killed.
PATIENCE = 5.0


def record(
    out: Path, topics: Sequence[str] = (), of_node: str = "/sam2_ros", seconds: float | None = None
) -> dict[str, Any]:
    """Record into a new bag until interrupted or for ``seconds``; returns what was written and lost by topic.

    topics: relative ones are taken as ``ros2 bag record`` takes them.  The bag also holds, as JSON, the node's
    parameters with its model (name, and in a second message version and SHA256) on ``ABOUT``, and what is returned
    on ``SUMMARY``.  A bag to which no message came is removed again.  Raises RecordingError when the bag cannot be
    created or the disk is full, and what was written by then can be read; CannotStart when ROS cannot; InvalidInput
    for names and times that cannot be.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise InvalidInput(f"the length of a recording must be above 0 and finite; got {seconds:g} s")
    out, of_node = out.expanduser(), full_node(of_node) if of_node else ""
    if os.path.lexists(out):
        raise RecordingError(f"{out} exists already; give the name of a new bag")
    with Interrupts() as interrupts, running_node("sam2_ros_recorder", interrupts) as node:
        wanted = [full_topic(topic, node) for topic in topics]
        with _new_bag(out) as writer:
            summary = _record(node, writer, wanted, of_node, math.inf if seconds is None else seconds)
            note(writer, SUMMARY, summary)
    return summary


def _record(node: RosNode, writer: BagWriter, topics: list[str], of_node: str, seconds: float) -> dict[str, Any]:
    """Record until ROS shuts down, or for ``seconds``; raises the error that ended the recording early."""
    if not rclpy.ok():  # a signal came while the bag was created; then an executor cannot be built
        return {"written": {}, "lost": {}, "not_installed": {}}
    executor, notes = SingleThreadedExecutor(), list[threading.Thread]()
    executor.add_node(node)

    def take_down(parameters: dict[str, Any]) -> None:
        notes.append(threading.Thread(target=_note_node, args=(writer, of_node, parameters)))
        notes[0].start()

    client = parameter_client(node, of_node)
    deadline = time.monotonic() + seconds
    recorder = Recorder(node, writer.write, topics, of_node)  # last: its thread keeps the process alive until close()
    try:
        while rclpy.ok() and recorder.failure is None and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
            if client is not None and client.services_are_ready():
                ask_for_parameters(client, take_down)
                client = None
    except Exception:
        if rclpy.ok():  # otherwise ROS was shut down
            raise
    finally:
        recorder.close()
        executor.shutdown()
        for thread in notes:
            thread.join(PATIENCE)
    if recorder.failure is not None:
        raise recorder.failure
    return {"written": dict(recorder.written), "lost": dict(recorder.lost), "not_installed": recorder.unreadable}


def lines_of(summary: Mapping[str, Any], topics: Sequence[str]) -> Iterator[str]:
    """How many messages of each topic were written and lost; topics: those that were asked for, as in ``record``."""
    written, lost = summary["written"], summary["lost"]
    asked = {f"/{topic.removeprefix('/')}" for topic in topics}
    for topic in sorted({*asked, *written, *lost}):
        yield f"{written.get(topic, 0):8} {topic}" + (f"   LOST {lost[topic]}" if lost.get(topic) else "")


@contextmanager
def _new_bag(out: Path) -> Iterator[BagWriter]:
    """A bag to write into; it is removed again when nothing but notes was written, so that the name stays free."""
    written: Counter[str] = Counter()
    try:
        with BagWriter(out) as writer:
            written = writer.written
            yield writer
    finally:
        if not set(written) - {ABOUT, SUMMARY}:
            with suppress(OSError):  # it was never made, or somebody else's file lies there
                for file in (out / f"{out.name}.mcap", out / "metadata.yaml"):
                    file.unlink(missing_ok=True)
                out.rmdir()


def _note_node(writer: BagWriter, of_node: str, parameters: dict[str, Any]) -> None:
    """Note the parameters of a node at once, and again with its model once that was looked up, which takes a while."""
    model, side = str(parameters.get("model", "")), int(parameters.get("image_side") or 0)
    with suppress(RecordingError):  # the bag is full or closed, which is not for this thread to say
        note(writer, ABOUT, {"node": of_node, "model": {"name": model}, "parameters": parameters})
        note(writer, ABOUT, {"node": of_node, "model": _identity(model, side), "parameters": parameters})


def _identity(model: str, side: int = 0) -> dict[str, Any]:
    """Name, version, checksum and image side of a model, as far as this machine has it, too; side: 0 = its own."""
    try:
        from sam2_ros.model import checkpoint  # brings torch, which a recorder on a small machine can do without

        return checkpoint.identify(model, download=False, image_side=side).noted()
    except (Sam2RosError, ImportError) as error:
        return {"name": model, "unknown": str(error)}
