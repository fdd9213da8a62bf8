"""The demo: a camera process, the node process, and a simulated operator.

They use real ROS topics and services, at the rate of the recording.  The demo ends by itself and
writes overlay.mp4, sheet.png and result.json.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import rclpy

from sam2_ros import recordings
from sam2_ros.demo.alone import own_domain, own_folder
from sam2_ros.demo.camera import TOPIC
from sam2_ros.demo.moving_picture import refuse_old_opencv, write_moving_picture
from sam2_ros.demo.operator import Operator
from sam2_ros.drawing import contact_sheet, overlay
from sam2_ros.errors import Sam2RosError
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.interrupts import Interrupts
from sam2_ros.msg import TrackedObject
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.recordings.recording import Truth
from sam2_ros.recordings.video_writer import VideoWriter
from sam2_ros.ros.fastdds_profile import make_room
from sam2_ros.ros.startup import running_node
from sam2_ros.types import State, Track

RECORDING = Path(__file__).parent / "recording"
#: Seconds for the node to load its model, and for the last mask to arrive.
LOADING, LAST_MASK = 120.0, 15.0
#: The correction comes when this share of the recording has passed.
CORRECTION = 0.6
SHEET = 12
#: Images, truth by name, names in the order of their prompts, and images per second.
_Loaded = tuple[list[np.ndarray], dict[str, np.ndarray], list[str], float]
_PRCTL, _PR_SET_PDEATHSIG = getattr(ctypes.CDLL(None), "prctl", None), 1


class DemoFailed(Sam2RosError):
    """A process of the demo has failed; the message says which one, and where its log is."""


def main(out: Path, model: str, source: Path = RECORDING, picture: Path | None = None) -> int:
    """``run`` until it ends or a signal comes; prints the result and returns the exit code."""
    with Interrupts() as interrupts:
        try:
            with interrupts.raised():
                result = run(out, model, source, picture)
        except (KeyboardInterrupt, Exception):
            if not interrupts.came:  # else ROS was shut down, too, which is raised as well
                raise
            return 128 + interrupts.came
    print(table(result))
    print(f"\nlook at {out}/sheet.png and {out}/overlay.mp4; numbers in {out}/result.json")
    return 0


def run(out: Path, model: str, source: Path = RECORDING, picture: Path | None = None) -> dict[str, Any]:
    """Run the demo on a recording with ground truth and return the content of result.json.

    picture: also write the images as a moving picture, to this file.
    """
    if picture:
        refuse_old_opencv()
    loaded = _load(source)
    out.mkdir(parents=True, exist_ok=True)
    with own_folder(out), own_domain() as domain:
        _stay_local(domain)
        return _run(out, model, source, picture, loaded)


def _run(out: Path, model: str, source: Path, picture: Path | None, loaded: _Loaded) -> dict[str, Any]:
    images, truth, names, rate = loaded
    make_room()
    with running_node("operator") as ros:
        operator = Operator(ros, truth, names)
        with _process(
            "node", out, ["-m", "sam2_ros", "node", "--ros-args", "-r", f"image:={TOPIC}", "-p", f"model:={model}"]
        ) as node:
            _spin(operator, operator.ready, LOADING, "node", out, node)
            with _process("camera", out, ["-m", "sam2_ros.demo.camera", str(source), str(rate)]) as camera:
                _attend(operator, camera, rate, len(images), out)
    _refuse_nothing(operator, len(images), out)
    result = _result(operator, len(images), rate, model)
    _write_pictures(operator, images, rate, out, picture)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


# -- the processes ---------------------------------------------------------------------------


def _stay_local(domain: int) -> None:
    """Keep the demo's topics apart from others on the network and on this machine."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    for name in ("ROS_DISCOVERY_SERVER", "ROS_SUPER_CLIENT", "ROS_STATIC_PEERS"):
        os.environ.pop(name, None)


def _end_with_parent() -> None:
    """Let Linux end this process when the demo is killed and cannot do it itself."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _process(name: str, out: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A Python process whose errors go to out/NAME.log; at the end it is interrupted, as by Ctrl-C."""
    held = Interrupts.active.held() if Interrupts.active else nullcontext()
    process = None
    with open(out / f"{name}.log", "w") as log:
        try:
            with held:
                process = subprocess.Popen(
                    [sys.executable, *command],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    preexec_fn=_end_with_parent,
                )
            yield process
        finally:
            if process is not None:
                _interrupt(process)


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _spin(
    operator: Operator, done: Callable[[], bool], patience: float, name: str, out: Path, process: subprocess.Popen[str]
) -> None:
    """Handle messages until ``done``; raises DemoFailed when that takes too long or the process ends."""
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() > deadline or process.poll() not in (None, 0):
            log = out / f"{name}.log"
            last = log.read_text().strip().splitlines()[-1:] or ["nothing"]
            raise DemoFailed(
                f"the {name} did not do its part within {patience:.0f} s; its last line is: {last[0]} (see {log})"
            )
        rclpy.spin_once(operator.node, timeout_sec=0.05)


def _attend(operator: Operator, camera: subprocess.Popen[str], rate: float, count: int, out: Path) -> None:
    """Follow the camera's images until the last one is processed, and let the operator act."""
    start = camera.stdout.readline() if camera.stdout else ""
    if not start:
        raise DemoFailed(f"the camera ended before its first image; see {out / 'camera.log'}")
    operator.start, operator.period = int(start), round(1e9 / rate)
    _spin(operator, lambda: bool(operator.seen), LOADING, "camera", out, camera)
    operator.select()

    def over() -> bool:
        operator.correct_if_due(round(CORRECTION * count))
        return camera.poll() is not None

    _spin(operator, over, count / rate + LOADING, "camera", out, camera)
    quiet = time.monotonic() + LAST_MASK
    processed = -1
    while processed < len(operator.seen) and time.monotonic() < quiet:  # masks still arrive
        processed = len(operator.seen)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            rclpy.spin_once(operator.node, timeout_sec=0.05)


# -- what comes out --------------------------------------------------------------------------


def _load(source: Path) -> _Loaded:
    """Images, truth by name, names in the order of their prompts, and images per second."""
    facts = _facts(source / "recording.json")
    recording = recordings.open(source, rate=facts.get("frame_rate"))
    images: list[np.ndarray] = []
    labels: list[dict[int, np.ndarray]] = []
    for event in recording.events():
        if isinstance(event.content, Truth):
            labels.append(event.content.masks)
        else:
            images.append(event.content.image)
    if not images:
        raise DemoFailed(f"{source} has no images; give another --recording")
    known = facts.get("objects", {})
    ids = [int(number) for number in known] or sorted(labels[0] if labels else ())
    empty = np.zeros(images[0].shape[:2], bool)
    truth = {
        known.get(str(number), f"object {number}"): np.stack([masks.get(number, empty) for masks in labels])
        for number in ids
    }
    if len(truth) < 2 or len(labels) < len(images):
        raise DemoFailed(f"{source} needs ground truth of two objects on every image; give another --recording")
    if recording.rate is None:
        raise DemoFailed(f"{source} has no frame rate; write it into {source / 'recording.json'} as frame_rate")
    return images, truth, list(truth), recording.rate


def _facts(path: Path) -> dict[str, Any]:
    """The content of recording.json: ``frame_rate``, and ``objects``, the names by id; empty without the file."""
    try:
        facts = json.loads(path.read_text()) if path.is_file() else {}
        rate, names = facts.get("frame_rate", 1.0), facts.get("objects", {})
        good = isinstance(rate, (int, float)) and 0 < rate < 1000 and all(number.isdecimal() for number in names)
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good:
        raise DemoFailed(
            f"{path} is not readable: it is JSON with frame_rate, images per second, and objects, names by id"
        )
    return facts


def _refuse_nothing(operator: Operator, count: int, out: Path) -> None:
    """Raise DemoFailed when no object was found on any image: there is nothing to count or to draw."""
    for index in [index for index in operator.seen if not 0 <= index < count]:
        del operator.seen[index]  # its stamp is not one of the camera's
    if not any(seen.labels is not None and seen.objects for seen in operator.seen.values()):
        said = "; ".join(operator.said) or "it answered no prompt"
        raise DemoFailed(f"nothing was tracked on {count} images: {said} (see {out / 'node.log'})")


def _result(operator: Operator, count: int, rate: float, model: str) -> dict[str, Any]:
    done = {index: seen for index, seen in operator.seen.items() if seen.labels is not None}
    waits = 1000 * np.array([seen.latency for seen in done.values()])
    span = (max(done) - min(done)) / rate
    ids = {name: tracked.id for seen in done.values() for name, tracked in seen.objects.items()}
    objects = []
    for name, number in ids.items():
        scored = [index for index, seen in done.items() if name in seen.objects]
        overlaps = [region_similarity(done[index].mask(number), operator.truth[name][index]) for index in scored]
        states = [done[index].objects[name].state for index in scored]
        objects.append(
            {
                "name": name,
                "id": number,
                "mean_j": round(float(np.mean(overlaps)), 4),
                "images": len(scored),
                "images_occluded": sum(state != State.VISIBLE for state in states),
                "images_truly_hidden": int(sum(not operator.truth[name][index].any() for index in scored)),
            }
        )
    return {
        "frames_in": count,
        "processed": len(done),
        "dropped": count - len(done),
        "fps": round((len(done) - 1) / span, 2) if span else 0.0,
        "camera_fps": rate,
        "latency_ms": {
            "p50": round(float(np.percentile(waits, 50)), 1),
            "p95": round(float(np.percentile(waits, 95)), 1),
        },
        "objects": objects,
        "operator": operator.said,
        "model": model,
        "machine": {
            "processors": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }


def _write_pictures(operator: Operator, images: list[np.ndarray], rate: float, out: Path, moving: Path | None) -> None:
    """The processed images with the node's masks."""
    done = sorted(index for index, seen in operator.seen.items() if seen.labels is not None and seen.objects)
    chosen = {done[round(place)] for place in np.linspace(0, len(done) - 1, SHEET)}
    tiles, captions, overlays = [], [], []
    with VideoWriter(out / "overlay.mp4", rate) as video:
        for index in done:
            seen = operator.seen[index]
            picture = overlay(
                images[index], [_track(tracked, seen.mask(tracked.id)) for tracked in seen.objects.values()]
            )
            video.write(picture)
            if moving:
                overlays.append(picture)
            if index in chosen:
                tiles.append(picture)
                captions.append(f"image {index}" + (", corrected" if index == operator.corrected else ""))
    sheet = contact_sheet(tiles, 4, captions)
    write_picture(out / "sheet.png", sheet)
    if moving:
        write_moving_picture(moving, overlays, [index / rate for index in done])


def _track(tracked: TrackedObject, mask: np.ndarray) -> Track:
    """A message and its mask as the Track that they came from."""
    return Track(
        tracked.id,
        tracked.name,
        State(tracked.state),
        tracked.occluded,
        mask,
        tracked.object_score,
        tracked.predicted_iou,
        np.asarray(tracked.object_pointer, np.float32),
        tracked.frames_since_seen,
        tracked.prompted_frames,
    )


def table(result: dict[str, Any]) -> str:
    """The result in lines of text, with what the operator did."""
    latency = result["latency_ms"]
    rows = [
        ("images in / processed / dropped", f"{result['frames_in']} / {result['processed']} / {result['dropped']}"),
        ("images per second (camera)", f"{result['fps']:.1f} ({result['camera_fps']:.1f})"),
        ("latency, image stamp to mask", f"p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms"),
        *(
            (
                f"J of {found['name']}",
                (
                    f"{found['mean_j']:.3f}; occluded on {found['images_occluded']} images "
                    f"(hidden on {found['images_truly_hidden']})"
                ),
            )
            for found in result["objects"]
        ),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*result["operator"], "", *(f"{name:<{width}}  {value}" for name, value in rows)])
