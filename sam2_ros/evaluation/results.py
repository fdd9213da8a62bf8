"""The results of an evaluation, and the folder that stores them.

RUN/result.json              every number, configuration, versions, hardware
RUN/report.html              the same as a page, in one file
RUN/sequences/NAME/labels/   label images with the true ids (or the tracker's own)
RUN/sequences/NAME/scores.csv, timing.csv, sheet.jpg; with depth also positions.csv
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import platform
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidInput, RecordingError
from sam2_ros.evaluation.metrics import Latency, ObjectResult, Summary, latency
from sam2_ros.evaluation.positions import PositionResult
from sam2_ros.files import make_folder, shown, write_whole

#: Libraries whose versions can change a number.
_LIBRARIES = ("sam2_ros", "numpy", "opencv-python-headless", "opencv-contrib-python-headless", "torch", "rosbags")


@dataclass(frozen=True, slots=True)
class Timing:
    """One image: what became of it and what it took, in milliseconds."""

    frame: int
    stamp: int
    dropped: bool
    track_ms: float
    prompt_ms: float
    delay_ms: float
    prompted: str
    clicks: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """J&F (0 to 1) when a user may click on at most ``frames`` frames of each object.

    prompted_frames, clicks: how many there were, all objects together.
    """

    frames: int
    j_and_f: float
    prompted_frames: int
    clicks: int


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """One recording.

    folder: name of its folder in the run; the same as its own unless several are called so.
    protocol: how its objects were prompted.  error: why there is nothing else, or "".
    positions: of the objects that had depth.
    frames: images in it; tracked: those that were not dropped; annotated: those with truth.
    names: value in the label images of each prompted object.  unprompted: true ids that nobody prompted.
    image_iou: mean IoU of single images by number of clicks, over image_objects objects on them.
    computed: device, precision and engine of the model.
    lost, refused: sentences; recorded: on the model and the settings that were taken from the recording.
    timings: of every image, which are not in result.json but in timing.csv.
    """

    name: str
    folder: str
    path: str
    error: str = ""
    protocol: str = ""
    frames: int = 0
    tracked: int = 0
    annotated: int = 0
    objects: tuple[ObjectResult, ...] = ()
    positions: tuple[PositionResult, ...] = ()
    summary: Summary | None = None
    latency: Mapping[str, Latency] = field(default_factory=dict)
    prompted_frames: int = 0
    clicks: int = 0
    curve: tuple[CurvePoint, ...] = ()
    image_iou: Mapping[int, float] = field(default_factory=dict)
    image_objects: int = 0
    names: Mapping[str, int] = field(default_factory=dict)
    unprompted: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    computed: Mapping[str, str] = field(default_factory=dict)
    timings: tuple[Timing, ...] = ()


def plain(value: Any) -> Any:
    """``value`` as JSON has it: dataclasses become objects, nan and infinity null."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (np.generic,)):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def percent(value: float | None) -> float | None:
    """A score from 0 to 1 as a percentage, as exact as ``plain`` leaves shares; None for nan and None.

    Fewer digits here would be rounded a second time where they are shown: 31.55 as 31.6 beside 31.5.
    """
    return None if value is None or math.isnan(value) else round(100 * value, 4)


def headline(summary: Summary | None) -> dict[str, float | None]:
    """``j_and_f``, ``j`` and ``f`` in percent."""
    if summary is None:
        return {"j_and_f": None, "j": None, "f": None}
    return {"j_and_f": percent(summary.j_and_f), "j": percent(summary.j.mean), "f": percent(summary.f.mean)}


def sequence_object(result: SequenceResult) -> dict[str, Any]:
    """A sequence as it stands in result.json: its scores in percent first, then everything."""
    entry = {"name": result.name, **headline(result.summary), **plain(dataclasses.replace(result, timings=()))}
    del entry["timings"]
    for written, found in zip(entry["objects"], result.objects):
        written.update(j_and_f=percent(found.j_and_f))
    return entry


def versions() -> dict[str, str]:
    """Python and the libraries whose versions can change a number."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The machine in words; timings are only comparable on equal ones."""
    from sam2_ros.model.graphics import graphics  # brings torch, which comparing results does without

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _line("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "gpus": graphics(),
    }


def _line(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


# -- files ---------------------------------------------------------------------------------------


@contextmanager
def run_folder(out: Path, name: str) -> Iterator[Path]:
    """A new folder ``out/name``, numbered when that exists; then ``out/latest`` leads to it.

    Nothing is left when the block writes nothing, because it is refused.
    """
    existed, run, number = out.exists(), out / name, 1
    while run.exists():
        number += 1
        run = out / f"{name}-{number}"
    make_folder(run)
    try:
        yield run
    finally:
        link = out / "latest"
        if not any(run.iterdir()):
            run.rmdir()
            if not existed:
                out.rmdir()
        elif link.is_symlink() or not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(run.name)


def write_rows(path: Path, rows: Iterable[Any], kind: type) -> None:
    """A CSV file with one line for each dataclass instance; nan is left empty.  Raises RecordingError."""
    names = [item.name for item in dataclasses.fields(kind)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    write_whole(path, text.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file; none when it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def latencies(timings: Iterable[Timing]) -> dict[str, Latency]:
    """Latency of each stage over the images that were not dropped."""
    done = [timing for timing in timings if not timing.dropped]
    return {
        "track": latency(timing.track_ms for timing in done),
        "prompt": latency(timing.prompt_ms for timing in done if timing.prompted),
        "delay": latency(timing.delay_ms for timing in done),
    }


def read_result(run: Path) -> dict[str, Any]:
    """The result.json of a run's folder, or of the file itself.

    Raises RecordingError, also where a field that commands read again is missing or of another type.
    """
    path = run / "result.json" if run.is_dir() else run
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordingError(
            f"cannot read {shown(path)}: {error.strerror}; give the folder of an evaluation"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{shown(path)} is not a result of an evaluation: {error}") from error
    try:
        _refuse_other_types(result)
    except InvalidInput as error:
        raise RecordingError(f"{shown(path)} is not a whole result of an evaluation: {error}") from error
    return result


#: What commands read from a result again: types of fields by their names; with a question mark, one may be missing.
_SHAPE = {
    "sequences": [
        {
            "name": str,
            "folder?": str,
            "path?": str,
            "names?": dict,
            "objects": [{"id": int, "name?": str, "j_and_f": (int, float, type(None))}],
        }
    ],
    "configuration": {"topics?": dict, "rules?": dict, "tracker?": dict},
}


def _refuse_other_types(result: Any) -> None:
    _refuse_other_shape("it", result, _SHAPE)
    for number, entry in enumerate(result["sequences"]):
        folder = entry.get("folder", entry["name"])
        if folder in ("", ".", "..") or set(folder) & set("/\0"):
            raise InvalidInput(f"folder of sequence {number} is not a name of a folder: {folder!r}")
        for name, value in entry.get("names", {}).items():
            _refuse_other_shape(f"{name!r} of sequence {number}", value, int)


def _refuse_other_shape(place: str, value: Any, shape: Any) -> None:
    """InvalidInput unless ``value`` has the type, the fields, or the items that ``shape`` shows."""
    kind = type(shape) if isinstance(shape, (dict, list)) else shape
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidInput(f"{place} is {reprlib.repr(value)}")
    if isinstance(shape, list):
        for number, item in enumerate(value):
            _refuse_other_shape(f"{place}[{number}]", item, shape[0])
    elif isinstance(shape, dict):
        for name, inner in shape.items():
            key = name.removesuffix("?")
            if key in value:
                _refuse_other_shape(f"{key} of {place}", value[key], inner)
            elif key == name:
                raise InvalidInput(f"{place} has no {name}")


def write_result(
    run: Path, sequences: Sequence[SequenceResult], total: Summary | None, facts: Mapping[str, Any]
) -> None:
    """result.json: the headline in percent, the totals, the sequences, then ``facts`` about how it was made.

    Raises RecordingError.
    """
    result = {
        **headline(total),
        "summary": plain(total),
        **plain(facts),
        "versions": versions(),
        "hardware": hardware(),
        "command": " ".join(sys.argv),
        "sequences": [sequence_object(result) for result in sequences],
    }
    write_whole(run / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
