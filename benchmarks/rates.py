"""What the rate of somebody else's topic costs the node: images per second beside 50, 100 and 300 messages a second.

    python benchmarks/rates.py
    python benchmarks/rates.py --tree ../before --topics tf

A camera of 30 images a second, the node with the embedded model and one object, and a third process that
publishes on one topic of the node at a time.  Between every two rows the node is measured alone, so the ratios hold
on a machine whose speed drifts.  --tree: the source of another node to measure, with its messages compiled.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from ros_load import IMAGE, SIZE, TREE, node, process, stay_local

sys.path[:0] = [str(TREE), str(TREE / "test")]
stay_local()

import moving_squares
import rclpy
from rclpy.executors import SingleThreadedExecutor

from sam2_ros.msg import Box, Prompt, TrackedObjectArray

LOAD = Path(__file__).with_name("ros_load.py")
#: Topic and kind of message by the word for --topics.
TOPICS = {
    "tf": ("/tf", "tf"),
    "camera_info": ("/camera/camera_info", "camera_info"),
    "detections": ("/detections", "detections"),
    "clock": ("/clock", "clock"),
    "clicked_point": ("/clicked_point", "clicked_point"),
    "mouse": (f"{IMAGE}_mouse_left", "point"),
    "prompt": ("/sam2_ros/prompt", "prompt"),
    "image": (IMAGE, "image"),
    "compressed": (f"{IMAGE}/compressed", "compressed"),
}
RATES = (50, 100, 300)


class Watch:
    """Counts results of the node."""

    def __init__(self) -> None:
        self.ros = rclpy.create_node("watch")
        self.count, self.objects = 0, 0
        self.ros.create_subscription(TrackedObjectArray, "/sam2_ros/objects", self._on_result, 10)
        self.prompts = self.ros.create_publisher(Prompt, "/sam2_ros/prompt", 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.ros)

    def _on_result(self, message: TrackedObjectArray) -> None:
        self.count, self.objects = self.count + 1, len(message.objects)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def start_object(self) -> None:
        """Prompt the red square until it is tracked."""
        box = Box(**dict(zip(("x0", "y0", "x1", "y1"), map(float, moving_squares.boxes(50, SIZE)[moving_squares.RED]))))
        end = time.monotonic() + 30
        while not self.objects:
            if time.monotonic() > end:
                raise SystemExit("the node tracks nothing")
            self.prompts.publish(Prompt(name="red", box=[box]))
            self.spin(1.0)

    def rate(self, seconds: float) -> float:
        """Results per second."""
        before, start = self.count, time.monotonic()
        self.spin(seconds)
        return (self.count - before) / (time.monotonic() - start)


def measure(watch: Watch, topic: str, kind: str, rates: list[int], seconds: float) -> list[tuple[float, float]]:
    """Images per second beside each rate, and without it just before and after."""
    rows = []
    alone = watch.rate(seconds)
    for rate in rates:
        with process(LOAD, "flood", topic, kind, rate):
            watch.spin(2.0)
            beside = watch.rate(seconds)
        watch.spin(1.0)
        before, alone = alone, watch.rate(seconds)
        rows.append((beside, statistics.mean((before, alone))))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=TREE, help="source tree of the node (this one)")
    parser.add_argument("--topics", nargs="+", default=list(TOPICS), choices=TOPICS)
    parser.add_argument("--rates", nargs="+", type=int, help="messages a second; 50 100 300 for tf, 300 for the others")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    options = parser.parse_args()
    rclpy.init(args=[])
    print("| topic | messages/s | images/s | images/s alone | ratio |\n|---|---|---|---|---|", flush=True)
    for word in options.topics:
        topic, kind = TOPICS[word]
        simulated = ["-p", "use_sim_time:=true"] if word == "clock" else []
        with node(*simulated, tree=options.tree.resolve()), process(LOAD, "camera", IMAGE, "--rate", 30):
            watch = Watch()
            watch.start_object()
            watch.spin(3.0)
            rates = options.rates or (RATES if word == "tf" else [300])
            for rate, (beside, alone) in zip(rates, measure(watch, topic, kind, rates, options.seconds)):
                print(f"| {topic} | {rate} | {beside:.1f} | {alone:.1f} | {beside / alone:.2f} |", flush=True)
            watch.ros.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
