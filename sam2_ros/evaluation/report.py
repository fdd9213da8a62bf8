"""One HTML page about a run that needs nothing else: numbers, plots and pictures are inside it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2_ros.evaluation import plots
from sam2_ros.evaluation.results import read_result
from sam2_ros.files import shown, write_whole

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1b1b1b }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse } th, td { padding: .25rem .5rem; text-align: right }
.wide { overflow-x: auto; margin: 1rem 0; font-size: 14px }
th { font-weight: 600; border-bottom: 1px solid #999 } td:first-child, th:first-child { text-align: left }
tr:nth-child(even) { background: #f5f5f5 } img { max-width: 100%; display: block; margin: .8rem 0 }
.big { font-size: 2.4rem; font-weight: 600 } .note { color: #555 } .bad { color: #a40000 }
details { margin: 2.5rem 0 } summary { cursor: pointer } pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12px }
.figures { display: flex; gap: 2rem } .figures div { min-width: 7rem } .figures img { max-width: 48% }
"""


def write_report(run: Path) -> Path:
    """Write ``run``/report.html from the files of the run.  Raises RecordingError."""
    path = run / "report.html"
    write_whole(path, shown(page(run)))
    return path


def page(run: Path) -> str:
    """The report of a run's folder as HTML."""
    result = read_result(run)
    parts = [_head(result, run.name), _overview(result), _all_plots(result, run)]
    parts += [_sequence(entry, run / "sequences" / entry["folder"]) for entry in result["sequences"]]
    parts.append(_how(result))
    body = "\n".join(part for part in parts if part)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(run.name)}</title>'
            f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n')


def _head(result: Mapping[str, Any], name: str) -> str:
    configuration, model = result["configuration"], result["model"]
    protocols = dict.fromkeys(entry["protocol"] for entry in result["sequences"] if entry["protocol"])
    words = [f"model {model['name']}" + (f" (SAM {model['version']})" if model.get("version") else ""),
             "prompts: " + " and ".join(protocols), f"rules: {configuration['rules']['name']}",
             "on the clock" if configuration["on_clock"] else "every image"]
    figures = [("J&F", result["j_and_f"]), ("J", result["j"]), ("F", result["f"]), ("objects", result["objects"]),
               ("images", result["frames"]), ("dropped", result["frames"] - result["tracked"])]
    boxes = "".join(f'<div><div class="big">{_number(value)}</div>{_text(label)}</div>' for label, value in figures)
    return f'<h1>{_text(name)}</h1><p class="note">{_text(" · ".join(words))}</p><div class="figures">{boxes}</div>'


def _overview(result: Mapping[str, Any]) -> str:
    header = ("sequence", "J&F", "J", "F", "J recall", "J decay", "occlusion F1", "late by", "missed", "found again",
              "switches", "clicks", "dropped", "p50 ms", "p95 ms")
    rows = [_row(entry["name"], entry, entry.get("summary")) for entry in result["sequences"]]
    if len(rows) > 1 and result["summary"]:
        rows.append(_row("all objects", result, result["summary"]))
    text = "<h2>Sequences</h2>" + _table(header, rows)
    note = ("Occlusion: “not in view”, over images; late by: images until the flag follows a disappearance or a "
            "return; missed: those that it did not follow at all. Found again: returns after an absence with an IoU of "
            "at least 0.5. p50, p95: from an image to its masks, waiting included.")
    return text + _note(note)


def _row(name: str, entry: Mapping[str, Any], total: Mapping[str, Any] | None) -> list[Any]:
    scores = [entry[key] for key in ("j_and_f", "j", "f")]
    delay = (entry.get("latency") or {}).get("delay", {})
    dropped = entry["frames"] - entry["tracked"]
    if not total:
        return [name, *scores, *[None] * 7, entry.get("clicks"), dropped, delay.get("p50"), delay.get("p95")]
    occlusion, recovery = total["occlusion"], total["recovery"]
    again = f"{recovery['recovered']} of {recovery['returns']}" if recovery["returns"] else None
    return [name, *scores, _percent(total["j"]["recall"]), _percent(total["j"]["decay"]), _percent(occlusion["f1"]),
            occlusion["delay"], occlusion["missed"] if occlusion["absent_frames"] else None, again,
            total["identity_switches"], entry.get("clicks"), dropped, delay.get("p50"), delay.get("p95")]


def _all_plots(result: Mapping[str, Any], run: Path) -> str:
    if not plots.AVAILABLE:
        return '<p class="note">Plots need matplotlib: pip install "sam2_ros[evaluate]"</p>'
    points = {entry["folder"]: [(point["frames"], 100 * point["j_and_f"]) for point in entry["curve"]
                                if point["j_and_f"] is not None] for entry in result["sequences"]}
    points = {name: line for name, line in points.items() if len(line) > 1}
    if len(points) > 8:  # a line for each would be a tangle
        points = {"mean of the sequences": _mean_line(list(points.values()))}
    timings = [run / "sequences" / entry["folder"] / "timing.csv" for entry in result["sequences"]]
    return (f'<div class="figures">{_image(plots.curve(points, "frames clicked on"), "clicks against J&F")}'
            f'{_image(plots.delays(timings), "latency")}</div>')


def _mean_line(lines: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    values: dict[int, list[float]] = {}
    for frames, value in (point for line in lines for point in line):
        values.setdefault(frames, []).append(value)
    return [(frames, sum(column) / len(column)) for frames, column in sorted(values.items())]


def _sequence(entry: Mapping[str, Any], folder: Path) -> str:
    parts = [f"<h2>{_text(entry['name'])}</h2>"]
    if entry["error"]:
        return parts[0] + f'<p class="bad">{_text(entry["error"])}</p>'
    if entry["image_iou"]:
        parts.append(_table(("clicks", "mean IoU"), [[n, _percent(iou)] for n, iou in entry["image_iou"].items()]))
    over_time = plots.over_time(folder / "scores.csv", folder / "timing.csv")
    if over_time is not None:
        parts.append(_image(over_time, "J&F over time") + _note(
            "Band: the object is not in the image. Dots above: the tracker says so. Triangles: prompted images."))
    if entry["objects"]:
        header = ("object", "images", "J&F", "J", "F", "J recall", "J decay", "occlusion P", "R", "F1", "switches")
        parts.append(_table(header, [_object_row(found) for found in entry["objects"]]))
    sheet = folder / "sheet.jpg"
    if sheet.exists():
        parts.append(_image(sheet.read_bytes(), "images", "jpeg"))
        if entry["annotated"]:
            parts.append(_note("Coloured: what was found. White outline: the truth. J: mean over the objects."))
    if entry["unprompted"]:
        fate = "left out" if entry["protocol"] == "recorded" else "counted as missed"
        parts.append(_note(f"Nobody prompted the true objects {', '.join(map(str, entry['unprompted']))}: {fate}."))
    parts += [f'<p class="bad">{_text(sentence)}</p>' for sentence in (*entry["lost"], *entry["refused"])]
    return "\n".join(part for part in parts if part)


def _object_row(found: Mapping[str, Any]) -> list[Any]:
    occlusion = found["occlusion"]
    return [found["name"], found["frames"], found["j_and_f"], *[_percent(found[key]["mean"]) for key in "jf"],
            _percent(found["j"]["recall"]), _percent(found["j"]["decay"]),
            *[_percent(occlusion[key]) for key in ("precision", "recall", "f1")], found["identity_switches"]]


def _how(result: Mapping[str, Any]) -> str:
    facts = {key: result[key] for key in ("command", "model", "configuration", "versions", "hardware", "seconds")}
    return f"<details><summary>How this was made</summary><pre>{_text(json.dumps(facts, indent=1))}</pre></details>"


# -- pieces --------------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_number(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _image(data: bytes | None, description: str, kind: str = "png") -> str:
    if data is None:
        return ""
    return f'<img alt="{_text(description)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return html.escape(str(value))
