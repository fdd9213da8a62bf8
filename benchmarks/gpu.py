"""What a GPU makes of the models, in one run of some minutes: parity, errors in bfloat16, speed, memory.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --quick --json /tmp/gpu.json

It needs this repository and torch with CUDA.  Where the official package sam2 can be imported it is timed on the same
images and boxes, at the end also compiled, which takes minutes.  Weights are random; speed does not depend on them.

After every part the JSON is written, so an interrupted run keeps what it has.  A part that fails leaves its error there
and the next one begins; a part is left out when the time is over.  --quick takes the smallest sizes, to show that the
script runs.

masks, graphs: what differs between CPU and GPU after the network, and between CUDA graphs and none.
ahead: what differs if the next image is encoded beside the present one; nothing should.
parity: the largest difference between CPU and GPU in float32 without TF32, relative to the largest number.
bfloat16: relative root mean square of the difference to float32 on the same device, for each method.
batches: milliseconds for each object by the number of objects that are followed at once, without CUDA graphs.
speed: milliseconds of a whole frame, from the camera's image to masks of its size; "ahead": while the next is encoded.
memory: the most that was allocated, and whether a tracker goes on where memory runs out.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

TESTS = Path(__file__).parents[1] / "test"
sys.path[:0] = [str(TESTS / "engines"), str(TESTS)]

import numpy as np
import torch
from methods import Case, answers
from torch import Tensor

from sam2_ros.engines import choice
from sam2_ros.errors import OutOfMemory
from sam2_ros.model import pixels
from sam2_ros.model.full_memory import FULL_MEMORY
from sam2_ros.model.interface import Model
from sam2_ros.model.precision import computed_in
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import PERCEIVER, SIZES, TEST, Size
from sam2_ros.tracking.batches import seconds_for_each
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt, Track

#: Frames until a memory is full, and until what is compiled or recorded has settled.
WARM_UP = 24
#: Seconds that are left for what must follow when a part is begun.
RESERVE = 5.0
#: What makes the official predictor the one that is compiled.
COMPILED = (
    "++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictorVOS",
    "++model.compile_image_encoder=true",
)
#: The part of the GPU's memory that the last part may use beyond what the model has.
SCARCE = 0.02


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured.  sides: of the images.  seconds: for all parts together."""

    families: tuple[Size, ...]
    timed: tuple[Size, ...]
    objects: tuple[int, ...]
    frames: int
    camera: tuple[int, int]
    seconds: float


def plan_of(*, quick: bool, seconds: float) -> Plan:
    """The whole run, or the smallest one that goes through every part."""
    perceiver = dataclasses.replace(TEST, name="test_edgetam", image_size=256, memory=PERCEIVER, version_2_1=False)
    if quick:
        return Plan((TEST, perceiver), (TEST,), (1, 2), 3, (48, 64), seconds)
    older = dataclasses.replace(SIZES["tiny"], name="tiny_2_0", version_2_1=False)
    families = (SIZES["tiny"].at(512), older.at(512), SIZES["edgetam"].at(512), SIZES["embedded"])
    return Plan(
        families, tuple(SIZES[name] for name in ("tiny", "base_plus", "large")), (1, 4, 8), 60, (720, 1280), seconds
    )


class Report:
    """The JSON of a run, written again after every part."""

    def __init__(self, path: Path, plan: Plan, device: torch.device) -> None:
        self._path, self._device = path, device
        self._end = time.monotonic() + plan.seconds
        self.contents: dict[str, Any] = {"machine": _machine(device), "parts": {}}

    def part(self, name: str, work: Callable[[], Any]) -> None:
        """Do a part if there is time for it; keep its result or its error."""
        if time.monotonic() + RESERVE > self._end:
            found: dict[str, Any] = {"left out": "the time was over"}
        else:
            started = time.monotonic()
            try:
                found = {"result": work()}
            except Exception as error:  # one failure must not lose the rest
                traceback.print_exc()
                found = {"error": f"{type(error).__name__}: {error}"}
            found["seconds"] = round(time.monotonic() - started, 2)
        _release(self._device)
        self.contents["parts"][name] = found
        self._path.write_text(json.dumps(self.contents, indent=1))
        print(f"{name}: {json.dumps(found)}", flush=True)


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}


def _release(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def model_of(size: Size, device: torch.device) -> SAM2:
    """A model with random weights, the same on every device; its objects are seen."""
    torch.manual_seed(0)
    model = SAM2(size).eval()
    with torch.no_grad():
        model.get_parameter("sam_mask_decoder.pred_obj_score_head.layers.2.bias").fill_(4.0)
    return model.to(device)


# Parity --------------------------------------------------------------------------------------------


def parity(size: Size, device: torch.device) -> dict[str, Any]:
    """The largest difference of each answer between CPU and device, relative to the largest number."""
    case = Case(2, *FULL_MEMORY, 2)
    with _without_tf32():
        expected, found = (answers(model_of(size, one), case) for one in (torch.device("cpu"), device))
    worst = {name: _largest_error(value, found[name].cpu()) for name, value in expected.items()}
    return {"largest": max(worst.values()), "where": max(worst, key=worst.__getitem__)} | _worst_of_each(worst)


def _worst_of_each(errors: dict[str, float]) -> dict[str, float]:
    """The worst of what has the same first word."""
    grouped: dict[str, float] = {}
    for name, error in errors.items():
        grouped[name.split()[0]] = max(error, grouped.get(name.split()[0], 0.0))
    return grouped


def _largest_error(expected: Tensor, found: Tensor) -> float:
    return ((found.float() - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def bfloat16_errors(size: Size, device: torch.device) -> dict[str, float]:
    """Relative root mean square of what each method answers in the tracker's bfloat16, to float32, by first words."""
    model, case = model_of(size, device), Case(2, *FULL_MEMORY, 2)
    with _without_tf32():
        exact, lowered = answers(model, case), answers(computed_in(model, "bfloat16"), case)
    errors = {name: _relative_rms(value, lowered[name]) for name, value in exact.items() if "mask prompt" not in name}
    return _worst_of_each(errors)


def _relative_rms(exact: Tensor, found: Tensor) -> float:
    shown = exact > -1000  # an absent object has the same number everywhere
    if not shown.any():
        return 0.0
    difference = (found.float() - exact)[shown].square().mean()
    return (difference / exact[shown].square().mean().clamp(min=1e-12)).sqrt().item()


def masks_agree(device: torch.device) -> dict[str, float]:
    """Pixels that differ between CPU and device: holes that are filled, and masks at the size of the camera."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.nn.functional.interpolate(torch.randn(6, 1, 64, 64, generator=draw), size=(256, 256))
    found = {"holes": (pixels.fill_holes(logits, 8) != pixels.fill_holes(logits.to(device), 8).cpu()).sum().item()}
    for exclusive in (True, False):
        ours, theirs = (pixels.to_masks(one, (720, 1280), exclusive) for one in (logits, logits.to(device)))
        found[f"masks, exclusive {exclusive}"] = int((ours != theirs).sum())
    return found


def graphs_agree(size: Size, plan: Plan, device: torch.device) -> dict[str, Any]:
    """How far the tracker with CUDA graphs is from the one without."""
    models = [choice.with_engine(model_of(size, device), engine) for engine in ("auto", "torch")]
    return _largest_differences([_tracking(model, 2, plan.camera) for model in models])


def ahead_agrees(size: Size, plan: Plan, device: torch.device) -> dict[str, Any]:
    """How far the tracker that encodes the next image beside the present one is from the one that does not."""
    model = choice.with_engine(model_of(size, device), "auto")
    return _largest_differences([_tracking(model, 2, plan.camera, ahead=ahead) for ahead in (True, False)])


def _largest_differences(steps: Sequence[Callable[[int], list[Track]]]) -> dict[str, Any]:
    """How far two trackers are from each other after each image: share of pixels, and score."""
    pixel_share, score = 0.0, 0.0
    for number in range(WARM_UP):
        for one, other in zip(*(step(number) for step in steps)):
            pixel_share = max(pixel_share, float((one.mask != other.mask).mean()))
            score = max(score, abs(one.object_score - other.object_score))
    return {"pixels": pixel_share, "score": score}


# Speed ---------------------------------------------------------------------------------------------


def pictures(camera: tuple[int, int]) -> np.ndarray:
    """Eight images, shown in turn."""
    return np.random.default_rng(0).integers(0, 256, (8, *camera, 3), np.uint8)


def boxes(count: int, camera: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Boxes of objects side by side."""
    height, width = camera
    step = width / (count + 1)
    return [(n * step, height * 0.2, n * step + 0.9 * step, height * 0.8) for n in range(count)]


def _tracking(
    model: Model, objects: int, camera: tuple[int, int], *, ahead: bool = False
) -> Callable[[int], list[Track]]:
    """Tracks image number n, with so many objects from the first one on; ahead: and names the next one before."""
    tracker, shown = Tracker(model, TrackerSettings()), itertools.cycle(pictures(camera))
    coming = Frame(next(shown), 1)

    def step(number: int) -> list[Track]:
        nonlocal coming
        present, coming = coming, Frame(next(shown), number + 2)
        if ahead:
            tracker.prepare(coming)
        tracks = tracker.track(present)
        if number == 0:
            for n, box in enumerate(boxes(objects, camera)):
                tracker.prompt(Prompt(f"object {n}", box=box))
        return tracks

    return step


def speed(
    size: Size, engine: str, objects: int, plan: Plan, device: torch.device, *, ahead: bool = False
) -> dict[str, Any]:
    """Milliseconds of each frame with a full memory: the tracker as the node uses it, or as track and replay do."""
    model = choice.with_engine(model_of(size, device), engine)
    step = _tracking(model, objects, plan.camera, ahead=ahead)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    found = _timed(step, plan.frames, device) | {"engine": choice.engine_of(model)}
    if device.type == "cuda":
        found["peak MB"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return found


@torch.inference_mode()
def batches(size: Size, device: torch.device) -> dict[int, float]:
    """Milliseconds for each object by the number of objects that are followed at once, as measured at the start."""
    model = computed_in(model_of(size, device), "auto")
    found = seconds_for_each(model, partial(_wait, device))
    return {objects: round(1000 * seconds, 3) for objects, seconds in found.items()}


def _timed(step: Callable[[int], object], frames: int, device: torch.device) -> dict[str, Any]:
    """The median and deciles of the frames after the warm-up, in milliseconds, and images per second."""
    times = []
    for number in range(WARM_UP + frames):
        _wait(device)
        started = time.perf_counter()
        step(number)
        _wait(device)
        times.append(1000 * (time.perf_counter() - started))
    counted = times[WARM_UP:]
    deciles = statistics.quantiles(counted, n=10, method="inclusive")
    median = statistics.median(counted)
    return {
        "median": round(median, 3),
        "p10": round(deciles[0], 3),
        "p90": round(deciles[-1], 3),
        "images per second": round(1000 / median, 1),
        "slowest before": round(max(times[1:WARM_UP]), 1),
    }


def official_speed(
    size: Size, objects: int, plan: Plan, device: torch.device, *, compiled: bool = False
) -> dict[str, Any]:
    """The same of the official video predictor, in bfloat16 as in its example.

    compiled: the class in which it compiles all of its parts.  The first images then take minutes.
    """
    from oracle import official_model
    from parts.official import OfficialStream

    predictor = official_model(size, video=True, overrides=COMPILED if compiled else ())
    predictor.load_state_dict(model_of(size, torch.device("cpu")).state_dict())
    predictor.to(device)
    shown = torch.cat([pixels.normalise(image, size.image_size, device) for image in pictures(plan.camera)])
    images = shown.repeat(-(-(WARM_UP + plan.frames) // len(shown)), 1, 1, 1)
    stream = OfficialStream(size, predictor, images, plan.camera, boxes(objects, plan.camera))
    fast = device.type == "cuda"
    with torch.autocast(device.type, torch.bfloat16, enabled=fast):
        return _timed(stream.track, plan.frames, device)


# Memory --------------------------------------------------------------------------------------------


def scarce_memory(size: Size, plan: Plan, device: torch.device) -> dict[str, Any]:
    """Objects are added while memory is scarce: how many there were, what was said, whether the others are followed."""
    if device.type != "cuda":
        return {"not run": "a CPU has no such bound"}
    tracker, shown = Tracker(model_of(size, device)), pictures(plan.camera)
    used = torch.cuda.memory_reserved(device) / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(used + SCARCE, 1.0), device)
    said, number = "", 0
    try:
        for number in range(1, 400):
            try:
                tracker.track(Frame(shown[number % len(shown)], number))
                tracker.prompt(Prompt(f"object {number}", box=boxes(1, plan.camera)[0]))
            except OutOfMemory as error:
                said = str(error)
                break
        left = len(tracker.objects)
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        return {"said": said, "objects": left, "followed after": len(tracker.track(Frame(shown[0], number + 1)))}
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", type=torch.device)
    parser.add_argument("--quick", action="store_true", help="the smallest sizes")
    parser.add_argument("--seconds", type=float, default=450.0, help="for all parts together")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    options = parser.parse_args(arguments)
    device: torch.device = options.device
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu --quick shows that the script runs")
    plan = plan_of(quick=options.quick, seconds=options.seconds)
    report = Report(options.json, plan, device)
    for size in plan.families:
        report.part(f"parity {size.name}", partial(parity, size, device))
        report.part(f"bfloat16 {size.name}", partial(bfloat16_errors, size, device))
    report.part("masks", partial(masks_agree, device))
    report.part("graphs", partial(graphs_agree, plan.timed[0], plan, device))
    report.part("ahead", partial(ahead_agrees, plan.timed[0], plan, device))
    report.part("scarce memory", partial(scarce_memory, plan.timed[0], plan, device))
    for size in plan.timed:
        report.part(f"batches {size.name}", partial(batches, size, device))
    for size, objects in itertools.product(plan.timed, plan.objects):
        for engine, ahead, words in (("auto", False, "graphs"), ("auto", True, "ahead"), ("torch", False, "eager")):
            work = partial(speed, size, engine, objects, plan, device, ahead=ahead)
            report.part(f"speed {size.name} {objects} {words}", work)
        if size is not TEST:
            report.part(f"speed {size.name} {objects} official", partial(official_speed, size, objects, plan, device))
    # Last, since compiling takes minutes: what is killed here loses nothing else.
    if device.type == "cuda":
        for size, objects in itertools.product(plan.timed, plan.objects[:1]):
            compiled = partial(official_speed, size, objects, plan, device, compiled=True)
            report.part(f"speed {size.name} {objects} official, compiled", compiled)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
