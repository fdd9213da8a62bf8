"""What the rate of another program's topic costs the node: images per second, and the age of its results.

    python benchmarks/rates.py
    python benchmarks/rates.py --tree ../before --topics tf
    python benchmarks/rates.py --topics boxes --rates 60 --camera 15 --objects 3

A camera, the node with the embedded model, and a third process that publishes on one topic of the node at a time.
The age of a result is the time from the stamp of its image until it arrives here.  Between every two rows the node
is measured alone, so the ratios hold on a machine whose speed drifts.  --tree: the source of another node to
measure, with its messages compiled.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from parts.ros_load import BOXES, IMAGE, TREE, node, process, stay_local

stay_local()

import rclpy
from parts.operator_node import Operator

from sam2_ros.messages import nanoseconds
from sam2_ros.msg import TrackedObjectArray

LOAD = Path(__file__).parent / "parts" / "ros_load.py"
#: Topic (or service) and kind of message by the word for --topics.
TOPICS = {
    "tf": ("/tf", "tf"),
    "camera_info": ("/camera/camera_info", "camera_info"),
    "detections": ("/detections", "detections"),
    "clock": ("/clock", "clock"),
    "clicked_point": ("/clicked_point", "clicked_point"),
    "mouse": (f"{IMAGE}_mouse_left", "point"),
    "prompt": ("/sam2_ros/prompt", "prompt"),
    "boxes": ("/sam2_ros/prompt", "boxes"),
    "image": (IMAGE, "image"),
    "compressed": (f"{IMAGE}/compressed", "compressed"),
    "calls": ("/sam2_ros/list", "calls"),
}
RATES = (50, 100, 300)


class Seen(NamedTuple):
    """Results per second, and the 50th and 95th percentile of their ages in milliseconds."""

    rate: float
    age: float
    old: float


class Watch(Operator):
    """Sees the results of the node."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: list[float] = []
        self._newest = 0
        self.ros.create_subscription(TrackedObjectArray, "/sam2_ros/objects", self._on_result, 10)

    def _on_result(self, message: TrackedObjectArray) -> None:
        self.objects = len(message.objects)
        stamp = nanoseconds(message.header.stamp)
        if stamp not in (0, self._newest):  # 0: an image of the flood; a result that a prompt changed is no further one
            self._newest = stamp
            self.ages.append((time.time_ns() - stamp) / 1e6)

    def look(self, seconds: float) -> Seen:
        """What comes in ``seconds``."""
        self.ages.clear()
        start = time.monotonic()
        self.spin(seconds)
        age, old = np.percentile(self.ages, (50, 95)) if self.ages else (np.inf, np.inf)
        return Seen(len(self.ages) / (time.monotonic() - start), float(age), float(old))


def measure(watch: Watch, topic: str, kind: str, rates: list[int], seconds: float) -> list[tuple[Seen, Seen]]:
    """What is seen beside each rate, and without it: the mean of just before and just after."""
    rows = []
    alone = watch.look(seconds)
    for rate in rates:
        with process(LOAD, "flood", topic, kind, rate):
            watch.spin(2.0)
            beside = watch.look(seconds)
        watch.spin(1.0)
        before, alone = alone, watch.look(seconds)
        rows.append((beside, Seen(*map(statistics.mean, zip(before, alone)))))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=TREE, help="source tree of the node (this one)")
    parser.add_argument("--topics", nargs="+", default=list(TOPICS), choices=TOPICS)
    parser.add_argument("--rates", nargs="+", type=int, help="messages a second; 50 100 300 for tf, 300 for the others")
    parser.add_argument("--camera", type=float, default=30.0, metavar="RATE", help="images a second (%(default)g)")
    parser.add_argument("--objects", type=int, default=1, choices=range(1, len(BOXES) + 1), help="that are tracked")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    options = parser.parse_args()
    rclpy.init(args=[])
    print("| topic | messages/s | images/s | alone | ratio | age p50 [ms] | p95 | alone, p50 | p95 |", flush=True)
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for word in options.topics:
        topic, kind = TOPICS[word]
        simulated = ["-p", "use_sim_time:=true"] if word == "clock" else []
        camera = process(LOAD, "camera", IMAGE, "--rate", options.camera)
        with node(*simulated, tree=options.tree.resolve()), camera:
            watch = Watch()
            watch.start_objects(options.objects)
            watch.spin(3.0)
            rates = options.rates or list(RATES if word == "tf" else RATES[-1:])
            for rate, (beside, alone) in zip(rates, measure(watch, topic, kind, rates, options.seconds)):
                ratio = beside.rate / alone.rate
                figures = f"{beside.rate:.1f} | {alone.rate:.1f} | {ratio:.2f}"
                ages = " | ".join(f"{value:.0f}" for value in (*beside[1:], *alone[1:]))
                print(f"| {topic} ({kind}) | {rate} | {figures} | {ages} |", flush=True)
            watch.ros.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
