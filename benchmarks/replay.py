"""What reading, writing and scoring cost beside the model: seconds of whole commands over those of the tracker alone.

    python benchmarks/replay.py --frames 100 --rounds 5

The demo's recording is written into a bag (raw images and truth, two objects in boxes).  Then in
turn: the tracker over the same frames in memory, ``sam2_ros replay`` into a new bag with label
images, and ``sam2_ros evaluate`` with its report; so the ratios hold on a machine whose speed
drifts.  Loading the model is in none of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

from sam2_ros import recordings
from sam2_ros.evaluation.batch import evaluate
from sam2_ros.evaluation.evaluate import Job
from sam2_ros.file_processing.result_bag import write_results
from sam2_ros.messages import fill_image, seconds_and_rest
from sam2_ros.model import checkpoint
from sam2_ros.recordings import LabelWriter
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.moments import moments_of, prefetched
from sam2_ros.simulated_user import box_around
from sam2_ros.stream.replay import replay
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.types import Frame, Prompt

RECORDING = Path(recordings.__file__).parents[1] / "demo" / "recording"
IMAGE, PROMPT = "sensor_msgs/msg/Image", "sam2_ros/msg/Prompt"
NAMES = ("1", "2")


def write_bag(path: Path, frames: int) -> list[tuple[Frame, list[Prompt]]]:
    """Images, truth and prompts of the demo as a bag; returns (frame, prompts) for each image."""
    kept: list[tuple[Frame, list[Prompt]]] = []
    with BagWriter(path, kept_free=0) as writer:
        for moment in islice(moments_of(recordings.open(RECORDING)), frames):
            seconds, rest = seconds_and_rest(moment.frame.stamp)
            header = SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest), frame_id="camera")
            masks = moment.truth.masks if moment.truth else {}
            truth = sum(
                (int(name) * masks[int(name)].astype("uint8") for name in NAMES if int(name) in masks),
                start=0 * moment.frame.image[..., 0],
            )
            for topic, picture in (("/camera/image", moment.frame.image), ("/ground_truth", truth)):
                writer.write(topic, IMAGE, moment.frame.stamp, fill_image(SimpleNamespace(header=header), picture))
            prompts: list[Prompt] = []
            if not kept:
                for name in NAMES:
                    prompts.append(Prompt(name, box=box_around(masks[int(name)])))
            for prompt in prompts:
                box = SimpleNamespace(**dict(zip(("x0", "y0", "x1", "y1"), prompt.box or ())))
                writer.write(
                    "/sam2_ros/prompt",
                    PROMPT,
                    moment.frame.stamp + 1,
                    SimpleNamespace(header=header, name=prompt.name, box=[box]),
                )
            kept.append((moment.frame, prompts))
    return kept


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Elapsed time, and time of all cores together: reading and writing run beside the model."""
    elapsed, busy = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - elapsed, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the model on a CPU (%(default)s)")
    chosen = parser.parse_args()
    checkpoint.use_threads(chosen.threads)
    setup = TrackerSetup(chosen.model, chosen.device)
    setup.tracker()  # loads the model
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        frames = write_bag(home / "bag", chosen.frames)

        def alone(_: int) -> None:
            tracker = setup.tracker()
            for frame, prompts in frames:
                tracker.track(frame)
                for prompt in prompts:
                    tracker.prompt(prompt)

        def replayed(number: int) -> None:
            recording = recordings.open(home / "bag")
            with BagWriter(home / f"replayed-{number}", kept_free=0) as writer:
                write_results(
                    prefetched(replay(recording, setup.tracker())),
                    recording,
                    writer,
                    LabelWriter(home / f"labels-{number}"),
                )

        def evaluated(number: int) -> None:
            (home / f"run-{number}").mkdir()
            evaluate([home / "bag"], Job(Path(), Path(), setup, threads=chosen.threads), home / f"run-{number}")

        rows = [
            [seconds(partial(act, number)) for act in (alone, replayed, evaluated)]
            for number in range(chosen.rounds + 1)
        ][1:]
    print(
        f"{len(frames)} images, {chosen.threads} threads\n          ms per image and over the tracker alone:"
        "\n          elapsed          of all cores together"
    )
    for column, name in enumerate(("alone", "replay", "evaluate")):
        print(
            f"{name:9}",
            *(
                f"{1000 * statistics.median(row[column][kind] for row in rows) / len(frames):7.1f}  "
                f"{statistics.median(row[column][kind] / row[0][kind] for row in rows):.3f}  "
                for kind in (0, 1)
            ),
        )


if __name__ == "__main__":
    main()
