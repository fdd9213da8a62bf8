"""Runs side by side: the command ``sam2_ros compare RUN RUN...``.

The first run is what the others are compared with.  Objects are paired by id and sequence, whose
path counts where a run has several of one name; what only one run has is left out and said.  The
interval is a percentile bootstrap over the sequences: it says how much of a difference could be luck
in their choice.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.metrics import Difference, paired_difference
from sam2_ros.evaluation.results import read_result

Scores = dict[tuple[str, int], float]  # J&F in percent by sequence (name or path) and object id


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run against the first.

    mean: of the shared objects, in percent; difference: to the first run, in points of J&F.
    sequences: mean difference of the shared objects of each sequence.
    """

    name: str
    mean: float
    difference: Difference
    sequences: Mapping[str, float]
    shared: int
    unshared: int


def scores_of(result: Mapping[str, Any], by_path: Collection[str] = ()) -> Scores:
    """J&F of every object of a run that has one; by_path: names of sequences that are known by their paths instead."""
    return {(entry["path"] if entry["name"] in by_path else entry["name"], found["id"]): found["j_and_f"]
            for entry in result["sequences"] for found in entry["objects"] if found["j_and_f"] is not None}


def repeated(results: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names that several sequences of one run carry."""
    counts = [Counter(entry["name"] for entry in result["sequences"]) for result in results]
    return {name for count in counts for name, number in count.items() if number > 1}


def compare(first: Scores, others: Mapping[str, Scores]) -> list[Comparison]:
    """Each of ``others`` against ``first``.  Raises InvalidInput when they share no object."""
    found = []
    for name, scores in others.items():
        shared = sorted(set(first) & set(scores))
        if not shared:
            raise InvalidInput(f"{name} has no object in common with the first run; compare runs over the same data")
        before, after = (np.array([run[key] for key in shared]) for run in (first, scores))
        sequences = {sequence: float(np.mean([scores[key] - first[key] for key in shared if key[0] == sequence]))
                     for sequence in dict.fromkeys(key[0] for key in shared)}
        found.append(Comparison(name, float(after.mean()), paired_difference(before, after, [key[0] for key in shared]), sequences, len(shared),
                                len(set(first) ^ set(scores))))
    return found


def table(first_name: str, first: Scores, comparisons: Sequence[Comparison]) -> str:
    """The comparison as a table in plain text (Markdown), J&F in percent."""
    sequences = sorted({key[0] for key in first})
    lines = [["sequence", first_name, *(one.name for one in comparisons)]]
    for sequence in sequences:
        base = float(np.mean([value for key, value in first.items() if key[0] == sequence]))
        lines.append([sequence, f"{base:.1f}", *(_signed(one.sequences.get(sequence)) for one in comparisons)])
    lines.append(["**all objects**", f"{np.mean(list(first.values())):.1f}",
                  *(f"{one.mean:.1f} ({_signed(one.difference.mean)})" for one in comparisons)])
    lines.append(["95 % interval", "", *(f"{one.difference.low:+.1f} to {one.difference.high:+.1f}"
                                         for one in comparisons)])
    lines.append(["objects", str(len(first)), *(str(one.shared) for one in comparisons)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]])


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"


def main(arguments: Sequence[str]) -> int:
    """``sam2_ros compare``."""
    parser = argparse.ArgumentParser(prog="sam2_ros compare", description="Put evaluations side by side.",
                                     epilog=__doc__.partition("\n\n")[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of sam2_ros evaluate, two or more")
    runs = parser.parse_args(arguments).runs
    if len(runs) < 2:
        raise InvalidInput("give two or more runs to compare")
    results = [(_unique(path, runs), read_result(path)) for path in runs]
    by_path = repeated(result for _, result in results)
    (first_name, first), *others = [(name, scores_of(result, by_path)) for name, result in results]
    comparisons = compare(first, dict(others))
    print(table(first_name, first, comparisons))
    for note in _differences_in_kind(results):
        print(note)
    for one in comparisons:
        if one.unshared:
            print(f"note: {one.unshared} objects are only in {first_name} or only in {one.name}")
    return 0


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
        notes += [f"note: {first_name} has {key} {mine[key]}, {name} has {others[key]}"
                  for key in mine if key in others and mine[key] != others[key]]
    return notes


def _kind(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for scores to be comparable, in words of the command line."""
    kept = ["prompt", "on_clock", "device", "precision"]
    if str(configuration.get("prompt")).startswith(("online", "offline")):
        kept += ["clicks", "budgets"]
    if configuration.get("prompt") == "images":
        kept += ["every"]
    rules, tracker = configuration.get("rules") or {}, configuration.get("tracker") or {}
    return {"rules": rules.get("name"), **{key: configuration.get(key) for key in kept},
            **{f"--set {name}": value for name, value in tracker.items() if name != "precision"}}  # what "auto" stands for counts
