"""What the node adds to the tracker: time from the stamp of an image to its masks, and processor time.

    python benchmarks/node.py                                  images of three sizes
    python benchmarks/node.py --sizes 640x480 --objects 1 3 --depth
    python benchmarks/node.py --sizes 640x480 --tree ../before
    python benchmarks/node.py --sizes 640x480 --camera 30 --threads 0 1 2 --busy 1 --seconds 30

A camera, the node with the embedded model, and this process, which subscribes to the masks.  In each round every
variant is measured once, for some seconds; the table has the medians of the rounds.  "tracker" is the same tracker
with the same pictures at the same rate in this process, without ROS, masks included.  "transport" is the age of the
empty masks of a program that publishes them for each image and does nothing else.  "adds" is the median age without
these two.

--depth: each row again with registered depth.
--tree: each row again with the node of another source tree.  Its messages are those of this environment.
--threads: each row with these values of the parameter.
--busy: processes that each keep a core busy while the node is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import numpy as np
from parts.ros_load import BOXES, IMAGE, TREE, box_prompt, node, process, stay_local

stay_local()

import moving_squares
import rclpy
from parts.operator_node import Operator
from sensor_msgs.msg import Image

import sam2_ros
from sam2_ros import Frame, Tracker
from sam2_ros import Prompt as TrackerPrompt
from sam2_ros.messages import nanoseconds
from sam2_ros.msg import TrackedObjectArray

LOAD = Path(__file__).parent / "parts" / "ros_load.py"
MASKS = "/sam2_ros/masks"
#: Clock ticks of the processor time in /proc.
TICKS = os.sysconf("SC_CLK_TCK")
#: Images that the tracker alone gets before it is timed, and while it is.
WARM_UP, TIMED = 16, 16


class Variant(NamedTuple):
    """One row; size: "640x480", threads: the parameter, tree: of the node's source."""

    size: str
    objects: int
    depth: bool
    threads: int
    tree: Path


class Seen(NamedTuple):
    """Masks per second, percentiles of their ages in milliseconds, and milliseconds of the processor for each."""

    rate: float
    age: float
    old: float
    cpu: float


class Watch(Operator):
    """Subscribes to what the node publishes."""

    def __init__(self) -> None:
        super().__init__()
        self._ages: dict[int, float] = {}

    def start_objects(self, count: int) -> None:
        """As ``Operator``; the results are subscribed to only for this."""
        subscription = self.ros.create_subscription(TrackedObjectArray, "/sam2_ros/objects", self._on_result, 10)
        super().start_objects(count)
        self.ros.destroy_subscription(subscription)

    def look(self, child: subprocess.Popen, seconds: float) -> Seen:
        """What comes in ``seconds`` from the node, a process."""
        subscription = self.ros.create_subscription(Image, MASKS, self._on_result, 10)
        self.spin(2.0)
        self._ages.clear()
        used, start = processor_seconds(child.pid), time.monotonic()
        self.spin(seconds)
        used, seconds = processor_seconds(child.pid) - used, time.monotonic() - start
        self.ros.destroy_subscription(subscription)
        ages = list(self._ages.values())
        if not ages:
            raise SystemExit("the node published nothing")
        age, old = np.percentile(ages, (50, 95))
        return Seen(len(ages) / seconds, float(age), float(old), 1e3 * used / len(ages))

    def _on_result(self, message: Any) -> None:
        self.objects = len(getattr(message, "objects", ()))
        stamp = nanoseconds(message.header.stamp)
        self._ages.setdefault(stamp, (time.time_ns() - stamp) / 1e6)  # after a prompt they come again


def processor_seconds(pid: int) -> float:
    """Of all threads of a process, since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def shape(size: str) -> tuple[int, int]:
    """Height and width of "640x480"."""
    width, height = map(int, size.split("x"))
    return height, width


def measured(variant: Variant, rate: float, seconds: float, busy: int) -> Seen:
    """The node with a camera."""
    height, width = shape(variant.size)
    options = ["--rate", rate, "--width", width, "--height", height, *(["--depth"] if variant.depth else [])]
    threads = "-p", f"threads:={variant.threads}"
    with contextlib.ExitStack() as others:
        child = others.enter_context(node(*threads, tree=variant.tree))
        others.enter_context(process(LOAD, "camera", IMAGE, *options))
        for _ in range(busy):
            others.enter_context(process("-c", "while True: pass"))
        watch = Watch()
        watch.start_objects(variant.objects)
        watch.spin(3.0)
        seen = watch.look(child, seconds)
        watch.ros.destroy_node()
    return seen


def transport(size: str, rate: float, seconds: float) -> float:
    """Milliseconds from the stamp of an image to empty masks for it."""
    height, width = shape(size)
    options = ["--rate", rate, "--width", width, "--height", height]
    with (
        process(LOAD, "echo", IMAGE, MASKS, says="echoes") as child,
        process(LOAD, "camera", IMAGE, *options),
    ):
        watch = Watch()
        watch.spin(3.0)
        seen = watch.look(child, seconds)
        watch.ros.destroy_node()
    return seen.age


def alone(model: Any, size: str, objects: int, rate: float) -> float:
    """Milliseconds of the tracker for an image and its masks, ``rate`` times a second as from a camera."""
    tracker, times = Tracker(model), []
    due = time.perf_counter()
    for number in range(WARM_UP + TIMED):
        frame = Frame(moving_squares.scene(number, shape(size)), number + 1)
        due += 1 / rate
        time.sleep(max(due - time.perf_counter(), 0))
        start = time.perf_counter()
        _ = [track.mask for track in tracker.track(frame)]
        times.append(1e3 * (time.perf_counter() - start))
        if not number:
            for name in list(BOXES)[:objects]:
                box = box_prompt(name).box[0]
                tracker.prompt(TrackerPrompt(name, box=(box.x0, box.y0, box.x1, box.y1)))
    return statistics.median(times[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720", "1920x1080"])
    parser.add_argument("--objects", nargs="+", type=int, default=[1], choices=range(1, len(BOXES) + 1))
    parser.add_argument("--depth", action="store_true")
    parser.add_argument("--tree", type=Path, help="source tree of another node")
    parser.add_argument("--threads", nargs="+", type=int, default=[0])
    parser.add_argument("--busy", type=int, default=0, metavar="N")
    parser.add_argument("--camera", type=float, default=8.0, metavar="RATE", help="images a second (%(default)g)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file too")
    options = parser.parse_args()
    trees = [TREE, *([options.tree.resolve()] if options.tree else [])]
    variants = [
        Variant(size, objects, depth, threads, tree)
        for size in options.sizes
        for objects in options.objects
        for depth in ([False, True] if options.depth else [False])
        for threads in options.threads
        for tree in trees
    ]
    rclpy.init(args=[])
    model, seen, tracker, empty = sam2_ros.load("embedded"), defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(options.rounds):
        for size in options.sizes:
            empty[size].append(transport(size, options.camera, options.seconds))
        for variant in variants:
            seen[variant].append(measured(variant, options.camera, options.seconds, options.busy))
            tracker[variant].append(alone(model, variant.size, variant.objects, options.camera))
    rclpy.try_shutdown()
    if options.json:
        names = "masks/s", "age p50 [ms]", "age p95 [ms]", "processor [ms]"
        rows = [
            variant._asdict()
            | {"tree": str(variant.tree), "node": [dict(zip(names, round_)) for round_ in seen[variant]]}
            | {"tracker [ms]": tracker[variant], "transport [ms]": empty[variant.size]}
            for variant in variants
        ]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    header = "image", "objects", "depth", "threads", "node", "masks/s", "age p50 [ms]", "p95", "tracker", "transport"
    print(f"| {' | '.join(header)} | adds | processor [ms] |\n|{' --- |' * (len(header) + 2)}")
    for variant in variants:
        rate, age, old, cpu = (statistics.median(values) for values in zip(*seen[variant]))
        bare, sent = statistics.median(tracker[variant]), statistics.median(empty[variant.size])
        where = "this" if variant.tree == TREE else str(options.tree)
        row = variant.size, variant.objects, "yes" if variant.depth else "no", variant.threads, where
        figures = age, old, bare, sent, age - bare - sent, cpu
        print(f"| {' | '.join(map(str, row))} | {rate:.1f} | {' | '.join(f'{value:.0f}' for value in figures)} |")


if __name__ == "__main__":
    main()
