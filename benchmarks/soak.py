"""A soak: does the node stay as it is, in memory, threads, files and speed, while everything around it comes and goes?

    python benchmarks/soak.py                          # half an hour
    python benchmarks/soak.py --minutes 3 --out /tmp/soak

A camera of 15 images a second that starts again every 45 s and whose stamps jump by an hour every 70 s; objects that
are started, corrected and removed all the time; clicks in the frame of another link; a flood of prompts and service
calls for 5 of every 30 s; and /tf at 200 messages a second.  The node is the real process with the embedded model.
Once a minute the operator forgets all objects and rests for some seconds: what is in use then is compared, since
objects that come and go change it by half.
Writes soak.md (table and verdict) and soak.png.  Exit code 0 when everything is flat, 1 when something grows.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from parts.ros_load import IMAGE, SIZE, node, process, stay_local

stay_local()

import contextlib

import moving_squares
import rclpy
from geometry_msgs.msg import Point, PointStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_srvs.srv import Trigger

from sam2_ros.messages import nanoseconds
from sam2_ros.msg import Box, Prompt, TrackedObjectArray
from sam2_ros.srv import List, Remove
from sam2_ros.srv import Prompt as PromptService

HERE = Path(__file__).resolve().parent
LOAD, WATCHED = HERE / "parts" / "ros_load.py", HERE / "parts" / "watched_node.py"
NAMES = ("cup", "bowl", "box", "toy")
#: Seconds between two rows of the record; share of the time that counts as warm-up; share by which nothing may grow.
PERIOD, WARM_UP, FLAT = 5.0, 0.25, 0.01
#: Seconds: of the scene in which objects come and go, between two floods, and of a flood.
SCENE, FLOOD_EVERY, FLOOD = 20.0, 30.0, 5.0
#: Seconds between two rests of the operator, and of a rest before and after the whole minute.
REST_EVERY, BEFORE, AFTER = 60.0, 8.0, 2.0
#: Longest time to count the tensors [s].
COUNTING = 20.0
#: Service calls that are under way at the same time during a flood.
CALLS = 20
HOUR = 3600.0
#: The step of a scene in which nothing is done.
RESTING = -1


@dataclass
class Sample:
    """What was seen in ``PERIOD`` seconds; memory in MB, latency in ms from the camera's stamp to the masks.

    rest: the operator rests since then or longer, and nothing is tracked.
    """

    minute: float
    rss: float
    tensors: int
    tensor_mb: float
    threads: int
    files: int
    images_per_s: float
    latency: float
    latency_p95: float
    dropped: float
    rest: bool


#: What must be flat, and its name in the verdict.
JUDGED = {
    "rss": "resident memory",
    "tensors": "tensors",
    "tensor_mb": "memory of tensors",
    "threads": "threads",
    "files": "open files",
}


class Operator:
    """Prompts, removes, clicks and calls, and watches the results; its messages are handled on a thread of its own."""

    def __init__(self) -> None:
        self.ros = rclpy.create_node("operator")
        self.latencies: list[float] = []
        self.dropped = 0
        self.answered = 0
        self._open: list[Any] = []
        self._step = 0
        self._prompts = self.ros.create_publisher(Prompt, "/sam2_ros/prompt", 10)
        self._clicks = self.ros.create_publisher(PointStamped, "/clicked_point", 10)
        self._clients: dict[str, Any] = {
            name: self.ros.create_client(kind, f"/sam2_ros/{name}")
            for name, kind in (("prompt", PromptService), ("remove", Remove), ("reset", Trigger), ("list", List))
        }
        self.ros.create_subscription(TrackedObjectArray, "/sam2_ros/objects", self._on_result, 50)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.ros)
        self._seen = -1
        threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_result(self, message: TrackedObjectArray) -> None:
        stamp = nanoseconds(message.header.stamp)
        self.dropped += message.dropped_frames
        if stamp != self._seen:  # else it is told once more, after a prompt
            self._seen = stamp
            self.latencies.append((time.time() - stamp / 1e9) % HOUR)  # the camera's clock jumps by an hour

    def act(self, seconds: float) -> None:
        """What an operator does ``seconds`` after the start; called ten times a second."""
        self._open = [call for call in self._open if not call.done()]
        if resting(seconds):
            if self._step != RESTING:
                self._step = RESTING
                self._call("reset", Trigger.Request())
            return
        step = int(seconds % SCENE / SCENE * 10)  # the ten steps of a scene
        if step != self._step:
            self._step = step
            self._do(step)
        if seconds % FLOOD_EVERY < FLOOD:
            self._flood()

    def _do(self, step: int) -> None:
        if step < len(NAMES):
            self._prompts.publish(Prompt(name=NAMES[step], box=[_box(step)]))
        elif step == 4:
            self._prompts.publish(Prompt(name=NAMES[0], points=[Point(x=320.0, y=240.0)], labels=[0]))
        elif step == 5:
            message = PointStamped(point=Point(z=1.0))
            message.header.frame_id = "link_3"
            self._clicks.publish(message)
        elif step < 9:
            self._call("remove", Remove.Request(name=NAMES[step - 6]))
        else:
            self._call("reset", Trigger.Request())

    def _flood(self) -> None:
        """60 prompts a second, and as many calls as the node answers."""
        for number in range(6):
            self._prompts.publish(Prompt(name=NAMES[number % 4], box=[_box(number % 4)]))
        while len(self._open) < CALLS:
            self._call("list", List.Request())
            self._call("prompt", PromptService.Request(prompt=Prompt(name=NAMES[0], box=[_box(0)])))

    def _call(self, name: str, request: Any) -> None:
        call = self._clients[name].call_async(request)
        call.add_done_callback(self._count)
        self._open.append(call)

    def _count(self, call: Any) -> None:
        self.answered += 1


def _box(number: int) -> Box:
    """Around the red or the blue square in the middle of its way, or around one half of it."""
    x0, y0, x1, y1 = map(float, moving_squares.boxes(50, SIZE)[(moving_squares.RED, moving_squares.BLUE)[number % 2]])
    return Box(x0=x0, y0=y0, x1=x1 if number < 2 else (x0 + x1) / 2, y1=y1)


def resting(seconds: float) -> bool:
    """Whether the operator rests; when a minute is over the node has been as it is for some seconds."""
    return seconds > AFTER and (seconds + BEFORE) % REST_EVERY < BEFORE + AFTER


def record(operator: Operator, child: subprocess.Popen, tensors: Path, seconds: float) -> list[Sample]:
    """Let the operator act for ``seconds`` and write down how the node does."""
    samples: list[Sample] = []
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        operator.act(now)
        if child.poll() is not None:
            raise SystemExit(f"the node ended after {now:.0f} s with exit code {child.returncode}")
        if now >= (len(samples) + 1) * PERIOD:
            samples.append(sample(operator, child.pid, tensors, now))
            print(line(samples[-1]), flush=True)
        time.sleep(0.1)
    return samples


def sample(operator: Operator, pid: int, tensors: Path, seconds: float) -> Sample:
    status = dict(entry.split(":", 1) for entry in Path(f"/proc/{pid}/status").read_text().splitlines())
    count, size = counted(tensors)
    latencies, operator.latencies = sorted(operator.latencies), []
    dropped, operator.dropped = operator.dropped, 0
    return Sample(
        minute=seconds / 60,
        rss=int(status["VmRSS"].split()[0]) / 1024,
        tensors=count,
        tensor_mb=size / 2**20,
        threads=int(status["Threads"]),
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        images_per_s=len(latencies) / PERIOD,
        latency=1e3 * statistics.median(latencies or [0.0]),
        latency_p95=1e3 * latencies[int(0.95 * len(latencies))] if latencies else 0.0,
        dropped=dropped,
        rest=resting(seconds) and resting(seconds - PERIOD),
    )


def counted(tensors: Path) -> tuple[int, int]:
    """The tensors of the node now and their bytes, as ``watched_node`` counts them; (0, 0) while it still loads."""
    tensors.write_text("")
    deadline = time.monotonic() + COUNTING
    while not (found := tensors.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    count, size = map(int, found or (0, 0))
    return count, size


# -- the report ------------------------------------------------------------------------------------


def growth(samples: list[Sample], name: str) -> float:
    """By what share the median of the last third is above that of the first third, at rest, after the warm-up."""
    values = [getattr(one, name) for one in samples[int(WARM_UP * len(samples)) :] if one.rest]
    if not values:
        raise SystemExit(f"too short: the operator rests for the first time after {REST_EVERY:.0f} s; more --minutes")
    third = max(len(values) // 3, 1)
    first = statistics.median(values[:third])
    return (statistics.median(values[-third:]) - first) / first if first else 0.0


def line(one: Sample) -> str:
    return (
        f"| {one.minute:.1f} | {one.rss:.0f} | {one.tensors} | {one.tensor_mb:.1f} | {one.threads} | {one.files} | "
        f"{one.images_per_s:.1f} | {one.latency:.0f} | {one.latency_p95:.0f} | {one.dropped:.0f} |"
    )


HEAD = (
    "| minute | RSS [MB] | tensors | of tensors [MB] | threads | files "
    "| images/s | latency [ms] | p95 [ms] | dropped |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def merged(samples: list[Sample], rows: int) -> list[Sample]:
    """The record in at most ``rows`` rows of equal length: means, and the sum of what was dropped."""
    size = -(-len(samples) // rows)
    answer = []
    for group in (samples[start : start + size] for start in range(0, len(samples), size)):
        means = {field.name: statistics.mean(getattr(one, field.name) for one in group) for field in fields(Sample)}
        whole = {name: round(means[name]) for name in ("tensors", "threads", "files")} | {"rest": False}
        answer.append(
            Sample(**{**means, **whole, "minute": group[-1].minute, "dropped": sum(one.dropped for one in group)})
        )
    return answer


def report(samples: list[Sample], operator: Operator, out: Path) -> bool:
    """Write soak.md and soak.png; whether everything is flat."""
    growths = {name: growth(samples, name) for name in JUDGED}
    flat = all(value <= FLAT for value in growths.values())
    verdict = [
        f"- {JUDGED[name]}: {value:+.2%}{'' if value <= FLAT else ', which is not flat'}"
        for name, value in growths.items()
    ]
    text = [
        "# Soak of the node",
        "",
        (
            f"`python benchmarks/soak.py --minutes {samples[-1].minute:.0f}` on {platform.machine()}, "
            f"Python {platform.python_version()}. The load is described in that file."
        ),
        "",
        (
            f"Change from the first to the last third, after {WARM_UP:.0%} of the time, of what is in use while the "
            f"operator rests, once a minute; up to {FLAT:.0%} is flat:"
        ),
        "",
        *verdict,
        "",
        f"{operator.answered} service calls were answered.",
        "",
        HEAD,
        *map(line, merged(samples, 30)),
        "",
        "![soak](soak.png)",
        "",
    ]
    (out / "soak.md").write_text("\n".join(text))
    draw(samples, out / "soak.png")
    print("\n".join(verdict))
    return flat


def draw(samples: list[Sample], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [one.minute for one in samples]
    shown = {
        "rss": "RSS [MB]",
        "tensors": "tensors",
        "threads": "threads",
        "files": "open files",
        "images_per_s": "images/s",
        "latency_p95": "latency p95 [ms]",
    }
    figure, axes = pyplot.subplots(3, 2, figsize=(10, 8), sharex=True)
    for axis, (name, label) in zip(axes.flat, shown.items()):
        axis.plot(minutes, [getattr(one, name) for one in samples], linewidth=1)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.axvspan(0, minutes[-1] * WARM_UP, color="0.93")
    for axis in axes[-1]:
        axis.set_xlabel("minutes (grey: warm-up)")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("soak_out"), metavar="DIR")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tensors = Path(tempfile.mkstemp(prefix="sam2_ros_tensors_")[1])
    rclpy.init(args=[])
    try:
        with (
            node(program=(WATCHED, tensors), log=options.out / "node.log") as child,
            process(LOAD, "camera", IMAGE, "--rate", 15, "--restart", 45, "--jump", 70),
            process(LOAD, "flood", "/tf", "tf", 200),
        ):
            operator = Operator()
            print(HEAD)
            samples = record(operator, child, tensors, 60 * options.minutes)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        rclpy.try_shutdown()
        tensors.unlink()
    return 0 if report(samples, operator, options.out) else 1


if __name__ == "__main__":
    raise SystemExit(main())
