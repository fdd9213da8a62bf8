"""Plots of the report as PNG files in memory; matplotlib is optional, without it there are none."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros import files
from sam2_ros.drawing import colour
from sam2_ros.evaluation.results import read_rows

try:
    from matplotlib.figure import Figure
    from matplotlib.patheffects import Normal, Stroke

    #: Whether there are plots.
    AVAILABLE = True
except ImportError:  # pip install "sam2_ros[evaluate]"
    AVAILABLE = False

#: Colours of lines that belong to no object, readable on white and for the colour-blind.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")


def _rimmed() -> dict[str, Any]:
    """A line of one of the colours of objects: with a dark rim, because some of them are pale on white."""
    rim = [Stroke(linewidth=2.4, foreground="#555555"), Normal()]
    return {"linewidth": 1.4, "marker": ".", "markersize": 3, "path_effects": rim}


def _axes(width: float, height: float = 2.6) -> Any:
    """One empty plot."""
    axes = Figure(figsize=(width, height), dpi=110, layout="constrained").add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return axes


def _png(axes: Any) -> bytes:
    file = io.BytesIO()
    axes.figure.savefig(file, format="png")
    return file.getvalue()


def _as_it_is(name: str) -> str:
    """A name for a legend: matplotlib would take $ for a formula, and hide a name that starts with _."""
    return files.shown(name).replace("$", r"\$").replace("_", " _", 1 if name.startswith("_") else 0)


def over_time(scores: Path, timing: Path) -> bytes | None:
    """J&F of each object over the images, in the object's colour of the pictures, with gaps where there is no truth.

    A band marks images without the object, by the truth.  Dots at the top mark images on which the tracker says
    the same, triangles at the bottom prompted images.  None without scores.
    """
    rows = [row for row in read_rows(scores) if row["j"]]
    if not rows or not AVAILABLE:
        return None
    ids = sorted({int(row["object"]) for row in rows})
    axes = _axes(9)
    for number, object_id in enumerate(ids):
        mine = [row for row in rows if int(row["object"]) == object_id]
        frames = np.array([int(row["frame"]) for row in mine])
        score = np.array([50 * (float(row["j"]) + float(row["f"])) for row in mine])
        paint, name = tuple(part / 255 for part in colour(object_id)), mine[-1]["name"]
        axes.plot(
            *with_gaps(frames, score),
            color=paint,
            label=_as_it_is(name if name == str(object_id) else f"{object_id} {name}"),
            **_rimmed(),
        )
        absent = np.array([row["absent"] == "1" for row in mine])
        where, shown = with_gaps(frames, absent.astype(float))
        axes.fill_between(where, 0, 100, where=shown == 1, step="mid", color=paint, alpha=0.15, linewidth=0)
        flagged = np.array([row["occluded"] == "1" for row in mine])
        axes.plot(
            frames[flagged], np.full(flagged.sum(), 104 + 4 * number), ".", color=paint, markersize=3, clip_on=False
        )
    prompted = [int(row["frame"]) for row in read_rows(timing) if row["prompted"]]
    axes.plot(prompted, np.full(len(prompted), -4), "^", color="black", markersize=4, clip_on=False)
    axes.set(xlabel="image", ylabel="J&F [%]", ylim=(-6, 102))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    return _png(axes)


def positions_over_time(positions: Path) -> bytes | None:
    """How far each object is from the camera, and how far its position is off, over the images; None without any."""
    rows = [row for row in read_rows(positions) if row["depth"] == "1"]
    if not rows or not AVAILABLE:
        return None
    far, off = Figure(figsize=(9, 4.2), dpi=110, layout="constrained").subplots(2, sharex=True)
    for object_id in sorted({int(row["object"]) for row in rows}):
        mine = [row for row in rows if int(row["object"]) == object_id]
        frames = np.array([int(row["frame"]) for row in mine])
        paint, name = tuple(part / 255 for part in colour(object_id)), mine[-1]["name"]
        is_new = np.array([row["measured"] == "1" for row in mine])
        distance = np.where(is_new, _lengths(mine, ("x", "y", "z")), np.nan)
        far.plot(*with_gaps(frames, distance), color=paint, label=_as_it_is(f"{object_id} {name}"), **_rimmed())
        far.plot(frames, _lengths(mine, ("true_x", "true_y", "true_z")), color=paint, linestyle="--", linewidth=1)
        off.plot(*with_gaps(frames, _lengths(mine, ("error_mm",))), color=paint, **_rimmed())
    far.set(ylabel="distance [m]")
    off.set(ylabel="error [mm]", xlabel="image", ylim=(0, None))
    far.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    return _png(far)


def _lengths(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> np.ndarray:
    """The lengths (T,) of vectors in some columns; nan where a cell is empty."""
    cells = [[float(row[column] or "nan") for column in columns] for row in rows]
    lengths: np.ndarray = np.linalg.norm(cells, axis=1)
    return lengths


def with_gaps(frames: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values over frame numbers, with a nan where truth is missing for longer than usual.

    If every fourth image has truth, lines between these images are right.
    """
    steps = np.diff(frames)
    holes = np.flatnonzero(steps > np.median(steps)) + 1 if len(steps) else np.empty(0, np.intp)
    return np.insert(frames.astype(float), holes, np.nan), np.insert(values.astype(float), holes, np.nan)


def delays(timings: Sequence[Path]) -> bytes | None:
    """Histogram of the milliseconds from an image to its masks; None without any."""
    values = [float(row["delay_ms"]) for path in timings for row in read_rows(path) if row["dropped"] == "0"]
    if not values or not AVAILABLE:
        return None
    axes = _axes(5)
    axes.hist(np.clip(values, 0, np.percentile(values, 99.5)), bins=40, color=COLOURS[0])
    for share, style in ((50, "-"), (95, "--")):
        axes.axvline(np.percentile(values, share), color="black", linestyle=style, linewidth=1, label=f"p{share}")
    axes.set(xlabel="image to masks [ms]", ylabel="images")
    axes.legend(fontsize="small")
    return _png(axes)


def curve(points: Mapping[str, Sequence[tuple[int, float]]], unit: str) -> bytes | None:
    """J&F (percent) against a number of frames or clicks, one line for each name; None without points."""
    if not points or not AVAILABLE:
        return None
    axes = _axes(5)
    for number, (name, line) in enumerate(points.items()):
        axes.plot(*zip(*line), marker="o", color=COLOURS[number % len(COLOURS)], label=_as_it_is(name))
    axes.set(xlabel=unit, ylabel="J&F [%]", xticks=sorted({x for line in points.values() for x, _ in line}))
    axes.legend(fontsize="small")
    return _png(axes)
