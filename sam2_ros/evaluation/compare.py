"""Compares runs; the docstring of ``commands/compare.py`` says how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.metrics import Difference, paired_difference
from sam2_ros.evaluation.results import read_result
from sam2_ros.files import some_of

Scores = dict[tuple[str, int], float]  # J&F in percent by sequence (name or path) and object id


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run against the first, over the objects that all of the runs have.

    mean, first: of both runs over these objects, in percent; difference: in points of J&F.
    sequences: mean difference of each sequence, over the objects that all runs with that sequence have.
    shared: these objects.  unshared: objects that only this run or only the first has.
    """

    mean: float
    first: float
    difference: Difference
    sequences: Mapping[str, float]
    shared: int
    unshared: int


def scores_of(result: Mapping[str, Any], by_path: Collection[str] = ()) -> Scores:
    """J&F of every object of a run that has one; by_path: names of sequences that are known by their paths instead."""
    return {
        (_sequence_key(entry, by_path), found["id"]): found["j_and_f"]
        for entry in result["sequences"]
        for found in entry["objects"]
        if found["j_and_f"] is not None
    }


def _sequence_key(entry: Mapping[str, Any], by_path: Collection[str]) -> str:
    """The name of a sequence, or its path where the name is one of ``by_path``."""
    return str(entry.get("path", "") if entry["name"] in by_path else entry["name"])


def repeated(results: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names that several sequences of one run carry."""
    counts = [Counter(entry["name"] for entry in result["sequences"]) for result in results]
    return {name for count in counts for name, number in count.items() if number > 1}


def compare(first: Scores, others: Mapping[str, Scores]) -> list[Comparison]:
    """Each of ``others`` against ``first``.  Raises InvalidInput when they share no object."""
    for name, scores in others.items():
        if not set(first) & set(scores):
            raise InvalidInput(f"{name} has no object in common with the first run; compare runs over the same data")
    shared = sorted(set(first).intersection(*others.values()))
    if not shared:
        raise InvalidInput("no object is in all of these runs; compare them two at a time")
    before = np.array([first[key] for key in shared])
    rows = _by_sequence(first, others.values())
    found = []
    for scores in others.values():
        after = np.array([scores[key] for key in shared])
        sequences = {
            sequence: float(np.mean([scores[key] - first[key] for key in keys]))
            for sequence, keys in rows.items()
            if set(keys) <= set(scores)
        }
        found.append(
            Comparison(
                float(after.mean()),
                float(before.mean()),
                paired_difference(before, after, [key[0] for key in shared]),
                sequences,
                len(shared),
                len(set(first) ^ set(scores)),
            )
        )
    return found


def _by_sequence(first: Scores, others: Iterable[Scores]) -> dict[str, list[tuple[str, int]]]:
    """For each sequence the objects that all runs with that sequence have, of the first run and one more at least."""
    found: dict[str, list[tuple[str, int]]] = {}
    for sequence in sorted({key[0] for key in first}):
        own, *theirs = ({key for key in run if key[0] == sequence} for run in (first, *others))
        theirs = [keys for keys in theirs if keys]
        if theirs and own.intersection(*theirs):
            found[sequence] = sorted(own.intersection(*theirs))
    return found


def table(first_name: str, first: Scores, others: Mapping[str, Scores]) -> str:
    """The comparison as a table in plain text (Markdown), J&F in percent."""
    comparisons = compare(first, others)
    lines = [["sequence", first_name, *others]]
    for sequence, keys in _by_sequence(first, others.values()).items():
        base = float(np.mean([first[key] for key in keys]))
        lines.append([sequence, f"{base:.1f}", *(_signed(one.sequences.get(sequence)) for one in comparisons)])
    lines.append(
        [
            "**all objects**",
            f"{comparisons[0].first:.1f}",
            *(f"{one.mean:.1f} ({_signed(one.difference.mean)})" for one in comparisons),
        ]
    )
    lines.append(
        ["95 % interval", "", *(f"{one.difference.low:+.1f} to {one.difference.high:+.1f}" for one in comparisons)]
    )
    lines.append(["objects", *[str(comparisons[0].shared)] * (1 + len(others))])
    return _markdown(lines)


def positions_table(runs: Mapping[str, Mapping[str, Any]], by_path: Collection[str] = ()) -> str | None:
    """Errors of positions in metres as a table in Markdown; None unless two runs share an object that has some.

    runs: results by the names of the runs; those without errors of positions are left out.
    """
    errors = {name: _position_errors(result, by_path) for name, result in runs.items()}
    errors = {name: found for name, found in errors.items() if found}
    shared = set.intersection(*map(set, errors.values())) if len(errors) > 1 else set()
    if not shared:
        return None
    means = [np.mean([found[key] for key in shared], axis=0) for found in errors.values()]
    heads = ("error, median [mm]", "error, p95 [mm]", "measured [%]")
    return _markdown(
        [
            ["positions", *errors],
            *([head, *(f"{value:.1f}" for value in row)] for head, row in zip(heads, zip(*means))),
            ["objects", *[str(len(shared))] * len(errors)],
        ]
    )


def _position_errors(result: Mapping[str, Any], by_path: Collection[str]) -> dict[tuple[str, int], tuple[float, ...]]:
    """Median and p95 in millimetres and how much was measured in percent, of every object that has errors."""
    return {
        (_sequence_key(entry, by_path), found["id"]): (found["median_mm"], found["p95_mm"], 100 * found["valid"])
        for entry in result["sequences"]
        for found in entry.get("positions", ())  # older results have none
        if found["median_mm"] is not None
    }


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table; the first is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]])


def left_out(first_name: str, first: Scores, others: Mapping[str, Scores]) -> list[str]:
    """A sentence for each other run on the objects that only one of the two has, and that are in no mean."""
    notes = []
    for name, scores in others.items():
        shared, rest = {key[0] for key in set(first) & set(scores)}, set(first) ^ set(scores)
        whole = sorted({sequence for sequence, _ in rest} - shared)
        parts = [f"object {number} of {sequence}" for sequence, number in sorted(rest) if sequence in shared]
        if rest:
            notes.append(
                f"note: {len(rest)} objects are only in {first_name} or only in {name}: {some_of([*whole, *parts])}"
            )
    return notes


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"


def report(paths: Sequence[Path]) -> str:
    """The runs in these folders side by side: the table, and a line for each thing that one must know to read it.

    Raises InvalidInput for fewer than two, and for runs that have nothing to compare.
    """
    if len(paths) < 2:
        raise InvalidInput("give two or more runs to compare")
    results = [(_unique(path, paths), read_result(path)) for path in paths]
    by_path = repeated(result for _, result in results)
    names = [name for name, _ in results]
    labels = [
        name if name not in names[:number] else f"{name} ({number + 1})"  # one run given twice
        for number, name in enumerate(names)
    ]
    runs = {label: scores_of(result, by_path) for label, (_, result) in zip(labels, results)}
    without = [name for name, scores in runs.items() if not scores]
    if without:
        raise InvalidInput(f"no scores in: {some_of(without)}; a run has scores where its recordings have ground truth")
    first_name, *others = labels
    given = first_name, runs[first_name], {name: runs[name] for name in others}
    positions = positions_table(dict(zip(labels, (result for _, result in results))), by_path)
    tables = [table(*given), *(("", positions, "") if positions else ())]
    return "\n".join([*tables, *_differences_in_kind(results), *left_out(*given)])


def _unique(path: Path, paths: Sequence[Path]) -> str:
    """The folder's own name, or the whole path when several are called the same."""
    name = path.resolve().name
    return name if [other.resolve().name for other in paths].count(name) == 1 else str(path)


def _differences_in_kind(results: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Sentences about settings that make runs incomparable."""
    (first_name, first), notes = results[0], []
    mine = _kind(first["configuration"])
    for name, result in results[1:]:
        others = _kind(result["configuration"])
        notes += [
            f"note: {first_name} has {key} {mine[key]}, {name} has {others[key]}"
            for key in mine
            if key in others and mine[key] != others[key]
        ]
    return notes


def _kind(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for scores to be comparable, in words of the command line."""
    kept = ["prompt", "on_clock", "device", "precision"]
    if str(configuration.get("prompt")).startswith(("online", "offline")):
        kept += ["clicks", "budgets"]
    if configuration.get("prompt") == "images":
        kept += ["every"]
    rules, tracker = configuration.get("rules") or {}, configuration.get("tracker") or {}
    return {
        "rules": rules.get("name"),
        **{key: configuration.get(key) for key in kept},
        **{f"--set {name}": value for name, value in tracker.items() if name != "precision"},
    }  # what "auto" stands for counts
