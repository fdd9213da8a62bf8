"""One HTML page about a run that needs nothing else: numbers, plots and pictures are inside it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2_ros.drawing import colour
from sam2_ros.evaluation import plots
from sam2_ros.evaluation.results import percent, read_result
from sam2_ros.files import shown, write_whole

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1b1b }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse } th, td { padding: .25rem .5rem; text-align: right }
.wide { overflow-x: auto; margin: 1rem 0; font-size: 14px }
th { font-weight: 600; border-bottom: 1px solid #999 } td:first-child, th:first-child { text-align: left }
tbody tr:nth-child(even) { background: #f5f5f5 } tfoot td { font-weight: 600; border-top: 2px solid #555 }
.sorts th { cursor: pointer } .sorts th:hover { background: #eee } th[data-order="1"]::after { content: " ↑" }
th[data-order="-1"]::after { content: " ↓" } a { color: #0050a0 }
.swatch { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border: 1px solid #555 }
img { max-width: 100%; display: block; margin: .8rem 0 }
.big { font-size: 2.4rem; font-weight: 600 } .note { color: #555 } .bad { color: #a40000 }
details { margin: 2.5rem 0 } summary { cursor: pointer }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12px }
.figures { display: flex; gap: 2rem } .figures div { min-width: 7rem } .figures img { max-width: 48% }
"""

#: A click on the head of a column sorts the table by it; a second click reverses the order.  Cells without a number
#: come last.  Without JavaScript the table stays as it is.
_SORT = """
const head = event.target.closest("thead th");
if (head) {
  const body = this.tBodies[0], order = head.dataset.order === "1" ? -1 : 1;
  const text = row => row.cells[head.cellIndex].textContent, number = row => parseFloat(text(row));
  const compare = (a, b) => head.cellIndex === 0 ? order * text(a).localeCompare(text(b), undefined, {numeric: true})
    : isNaN(number(a)) - isNaN(number(b)) || order * (number(a) - number(b)) || 0;
  this.querySelectorAll("th").forEach(other => delete other.dataset.order);
  head.dataset.order = order;
  body.append(...[...body.rows].sort(compare));
}
"""


#: Heads of columns: scores of sequences and objects, and what only sequences have.
_SCORES = ("J&F", "J", "J in view", "F", "J recall", "J decay")
_RETURNS = ("occlusion F1", "late by", "missed", "found again", "switches")
_WORK = ("prompts", "dropped", "p50 ms", "p95 ms")
#: Of positions in metres.
_POSITIONS = ("images with depth", "with position", "with truth", "valid %", "median mm", "p95 mm", "while absent")


class _Html(str):
    """A cell that is HTML already."""


def write_report(run: Path) -> Path:
    """Write ``run``/report.html from the files of the run.  Raises RecordingError."""
    path = run / "report.html"
    write_whole(path, shown(page(run)))
    return path


def page(run: Path) -> str:
    """The report of a run's folder as HTML."""
    result = read_result(run)
    parts = [_head(result, run.name), _overview(result), _all_positions(result), _all_plots(result, run)]
    parts += [
        _sequence(entry, run / "sequences" / entry["folder"], number)
        for number, entry in enumerate(result["sequences"])
    ]
    parts.append(_how(result))
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(run.name)}</title>'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _head(result: Mapping[str, Any], name: str) -> str:
    configuration, model = result["configuration"], result["model"]
    protocols = dict.fromkeys(entry["protocol"] for entry in result["sequences"] if entry["protocol"])
    words = [
        f"model {model['name']}" + (f" (SAM {model['version']})" if model.get("version") else ""),
        "prompts: " + " and ".join(protocols),
        f"rules: {configuration['rules']['name']}",
        "on the clock" if configuration["on_clock"] else "every image",
    ]
    total = result["summary"] or {}
    figures = [
        ("J&F", result["j_and_f"]),
        ("J", result["j"]),
        ("J in view", percent(total.get("j_in_view"))),
        ("F", result["f"]),
        ("objects scored", total.get("scored", result["objects"])),
        ("images", result["frames"]),
        ("dropped", result["frames"] - result["tracked"]),
    ]
    boxes = "".join(f'<div><div class="big">{_number(value)}</div>{_text(label)}</div>' for label, value in figures)
    return f'<h1>{_text(name)}</h1><p class="note">{_text(" · ".join(words))}</p><div class="figures">{boxes}</div>'


def _overview(result: Mapping[str, Any]) -> str:
    rows = [
        _row(_Html(f'<a href="#s{number}">{_text(entry["name"])}</a>'), entry, entry.get("summary"))
        for number, entry in enumerate(result["sequences"])
    ]
    total = _row("all objects", result, result["summary"]) if len(rows) > 1 and result["summary"] else None
    header = ("sequence", "objects", *_SCORES, *_RETURNS, *_WORK)
    text = '<h2 id="all">Sequences</h2>' + _table(header, rows, total, sorts=True)
    note = (
        "Scores are means over the objects that have one, all with the same weight, also in the last row. J in "
        "view: only over images that show the object; on the other images an empty mask scores 100. Occlusion: "
        "the flag “not in view”, over images; late by: images until the flag follows a disappearance or a return, "
        "mean over those that it follows; missed: those that it does not follow, because it was on before the "
        "object disappeared, off before it returned, or did not change in time. Found again: returns after an absence "
        "with an IoU of at least 0.5. Prompts: clicks, boxes and masks. p50, p95: from an image to its masks, waiting "
        "included."
    )
    failed = [entry["name"] for entry in result["sequences"] if entry["error"]]
    lost = f'<p class="bad">In no mean, because they failed: {_text(", ".join(failed))}</p>' if failed else ""
    return text + lost + _note(note)


def _row(name: str, entry: Mapping[str, Any], total: Mapping[str, Any] | None) -> list[Any]:
    delay = (entry.get("latency") or {}).get("delay", {})
    work = [entry.get("clicks"), entry["frames"] - entry["tracked"], delay.get("p50"), delay.get("p95")]
    if not total:
        return [name, None, *[None] * len(_SCORES + _RETURNS), *work]
    occlusion, recovery = total["occlusion"], total["recovery"]
    returns = [
        percent(occlusion["f1"]),
        occlusion["delay"],
        occlusion["missed"] if occlusion["absent_frames"] else None,
        f"{recovery['recovered']} of {recovery['returns']}" if recovery["returns"] else None,
        total["identity_switches"],
    ]
    return [name, total.get("scored", total["objects"]), *_scores(entry["j_and_f"], total), *returns, *work]


def _scores(j_and_f: float | None, found: Mapping[str, Any]) -> list[float | None]:
    """The cells under ``_SCORES``; j_and_f: in percent.  Older results have no J in view."""
    j, f = found["j"], found["f"]
    return [j_and_f, *map(percent, (j["mean"], found.get("j_in_view"), f["mean"], j["recall"], j["decay"]))]


def _all_positions(result: Mapping[str, Any]) -> str:
    """The positions of every object that had depth; older results have none."""
    rows = [
        [_Html(f'<a href="#s{number}">{_text(entry["name"])}</a>'), _named(found), *_position_cells(found)]
        for number, entry in enumerate(result["sequences"])
        for found in entry.get("positions", ())
    ]
    if not rows:
        return ""
    total = ["all objects", None, *_position_cells(result["positions"])] if len(rows) > 1 else None
    return (
        "<h2>Positions</h2>"
        + _table(("sequence", "object", *_POSITIONS), rows, total, sorts=True)
        + _note(
            "Truth: the surface under the true mask, by the same depth, so an error is that of the mask. Valid: share "
            "of the images with truth on which the position was measured. Median, p95: distance to the truth on these. "
            "While absent: positions on images on which the object is not."
        )
    )


def _all_plots(result: Mapping[str, Any], run: Path) -> str:
    if not plots.AVAILABLE:
        return '<p class="note">Plots need matplotlib: pip install "sam2_ros[evaluate]"</p>'
    points = {
        entry["folder"]: [
            (point["frames"], 100 * point["j_and_f"]) for point in entry["curve"] if point["j_and_f"] is not None
        ]
        for entry in result["sequences"]
    }
    points = {name: line for name, line in points.items() if len(line) > 1}
    if len(points) > 8:  # a line for each would be a tangle
        points = _mean_curve(list(points.values()))
    timings = [run / "sequences" / entry["folder"] / "timing.csv" for entry in result["sequences"]]
    return (
        f'<div class="figures">{_image(plots.curve(points, "frames clicked on"), "clicks against J&F")}'
        f"{_image(plots.delays(timings), 'latency')}</div>"
    )


def _mean_curve(lines: Sequence[Sequence[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """One line by its name: every point of it is a mean over the same sequences, those that have all points."""
    places = {frames for line in lines for frames, _ in line}
    whole = [line for line in lines if len(line) == len(places)]
    return {f"mean of {len(whole)} sequences": _mean_line(whole)} if whole else {}


def _mean_line(lines: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    values: dict[int, list[float]] = {}
    for frames, value in (point for line in lines for point in line):
        values.setdefault(frames, []).append(value)
    return [(frames, sum(column) / len(column)) for frames, column in sorted(values.items())]


def _sequence(entry: Mapping[str, Any], folder: Path, number: int) -> str:
    back = '<a href="#all" title="to the table">↑</a>'
    parts = [f'<h2 id="s{number}">{_text(entry["name"])} {back}</h2>']
    if entry["error"]:
        return parts[0] + f'<p class="bad">{_text(entry["error"])}</p>'
    if entry["image_iou"]:
        parts.append(_table(("clicks", "mean IoU"), [[n, percent(iou)] for n, iou in entry["image_iou"].items()]))
        parts.append(_note(f"Over {entry.get('image_objects')} objects on {entry['annotated']} images."))
    over_time = plots.over_time(folder / "scores.csv", folder / "timing.csv")
    if over_time is not None:
        parts.append(
            _image(over_time, "J&F over time")
            + _note(
                "Band: the object is not in the image. Dots above: the tracker says so. Triangles: prompted images. "
                "Gap: no truth."
            )
        )
    if entry["objects"]:
        header = ("object", "images", "in view", *_SCORES, "occlusion P", "R", "F1", "switches")
        parts.append(_table(header, [_object_row(found) for found in entry["objects"]]))
    if over_time := plots.positions_over_time(folder / "positions.csv"):
        parts.append(_image(over_time, "distance and error of positions over time"))
        parts.append(_note("Dashed: the surface under the true mask. Gap: no position of this image."))
    sheet = folder / "sheet.jpg"
    if sheet.exists():
        parts.append(_image(sheet.read_bytes(), "images", "jpeg"))
        if entry["annotated"]:
            parts.append(
                _note(
                    "Tinted: what was found, with its name. Outline between white lines: the truth, in the "
                    "colour of the true object and with its id. J: mean over the objects in view; best and "
                    "worst are of images with such objects."
                )
            )
    if entry["unprompted"]:
        fate = "left out" if entry["protocol"] == "recorded" else "counted as missed"
        parts.append(_note(f"Nobody prompted the true objects {', '.join(map(str, entry['unprompted']))}: {fate}."))
    parts += [f'<p class="bad">{_text(sentence)}</p>' for sentence in (*entry["lost"], *entry["refused"])]
    return "\n".join(part for part in parts if part)


def _position_cells(found: Mapping[str, Any]) -> list[Any]:
    """The cells under ``_POSITIONS``."""
    with_truth = found["with_truth"]
    compared = [with_truth, percent(found["valid"]), found["median_mm"], found["p95_mm"], found["while_absent"]]
    return [found["images"], found["measured"], *(compared if with_truth else [None] * len(compared))]


def _object_row(found: Mapping[str, Any]) -> list[Any]:
    occlusion = found["occlusion"]
    return [
        _named(found),
        found["frames"],
        found.get("visible_frames"),
        *_scores(found["j_and_f"], found),
        *[percent(occlusion[key]) for key in ("precision", "recall", "f1")],
        found["identity_switches"],
    ]


def _named(found: Mapping[str, Any]) -> _Html:
    """An object with its colour, its id and its name."""
    paint = "rgb({}, {}, {})".format(*colour(found["id"]))
    name = found["name"] if found["name"] == str(found["id"]) else f"{found['id']} {found['name']}"
    return _Html(f'<span class="swatch" style="background: {paint}"></span>{_text(name)}')


def _how(result: Mapping[str, Any]) -> str:
    facts = {key: result[key] for key in ("command", "model", "configuration", "versions", "hardware", "seconds")}
    return f"<details><summary>How this was made</summary><pre>{_text(json.dumps(facts, indent=1))}</pre></details>"


# -- pieces --------------------------------------------------------------------------------------


def _table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], total: Sequence[Any] | None = None, sorts: bool = False
) -> str:
    """total: a last row set apart, which stays there.  sorts: whether a click on a column's head sorts by it."""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    foot = f"<tfoot>{_line(total)}</tfoot>" if total else ""
    act = f'onclick="{html.escape(_SORT)}" title="a click on the head of a column sorts by it"'
    kind = f' class="sorts" {act}' if sorts else ""
    return (
        f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(_line, rows))}</tbody>{foot}</table></div>"
    )


def _line(row: Sequence[Any]) -> str:
    return "<tr>" + "".join(f"<td>{_number(cell)}</td>" for cell in row) + "</tr>"


def _image(data: bytes | None, description: str, kind: str = "png") -> str:
    if data is None:
        return ""
    return f'<img alt="{_text(description)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, _Html):
        return value
    return f"{value + 0.0:.1f}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return html.escape(str(value))
