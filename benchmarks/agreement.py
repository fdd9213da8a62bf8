"""Does another engine or precision find the same masks?  Real sequences, compared with PyTorch in float32.

    python benchmarks/agreement.py DAVIS --engine openvino
    python benchmarks/agreement.py DAVIS --precision bfloat16

For each sequence and first prompt: J&F of both in per cent, and the mean IoU of their masks over all objects and all
images after the first (1 where both are empty).  A row is printed as soon as it is known.  Results are kept in the
folder ``--out``, by the checksum of the weights: the same command continues where it was stopped, and another engine
or precision is compared with the kept results of PyTorch.  Name another folder after a change of the code.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sam2_ros import cpu_threads

cpu_threads.prepare()

import numpy as np

from sam2_ros import recordings
from sam2_ros.commands.options import ENGINES
from sam2_ros.evaluation.choices import FIRST_PROMPTS
from sam2_ros.evaluation.evaluate import Job, evaluate_one
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.evaluation.results import sequence_object
from sam2_ros.files import write_whole
from sam2_ros.recordings.labels import read_labels
from sam2_ros.stream.tracker_setup import TrackerSetup

#: Two engines agree if the mean IoU is at least this, and J&F is no further apart than this, in per cent.
LEAST_IOU, MOST_J_AND_F = 0.985, 0.3
PRECISIONS = "float32", "bfloat16", "float16", "auto"
HEAD = (
    "| sequence | first prompt | computed by | J&F | J&F of PyTorch, float32 | mean IoU of the masks |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What one engine found in one sequence.

    used: engine and precision that computed it.  j_and_f: of each object, in per cent.
    labels: the folder of its label images.
    """

    used: str
    j_and_f: list[float]
    labels: Path


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence and one prompt; j_and_f, of_torch: of each object, in per cent; iou: of each object and image."""

    sequence: str
    prompt: str
    used: str
    j_and_f: list[float]
    of_torch: list[float]
    iou: list[float]


def found(sequence: recordings.Recording, prompt: str, setup: TrackerSetup, out: Path) -> Found:
    """What the setup finds: read from the folder if it is there, else computed.  Ends the program after an error."""
    folder = out / f"{setup.engine}-{setup.tracker_settings().precision}-{prompt}" / sequence.name
    kept = folder / "found.json"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        result = evaluate_one(Job(sequence.path, folder, setup, protocol=prompt))
        if result.error:
            raise SystemExit(f"{sequence.name}: {result.error}")
        scores = [one["j_and_f"] for one in sequence_object(result)["objects"]]
        write_whole(kept, json.dumps({"used": setup.computed_by(), "j_and_f": scores}))
    return Found(**json.loads(kept.read_text()), labels=folder / "labels")


def agreement(one: Path, other: Path) -> list[float]:
    """The IoU of the masks of two folders of label images: of each object on each image after the first."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir()), "not the same images"
    pairs = [(read_labels(one / name), read_labels(other / name)) for name in names]
    objects = sorted({int(value) for pair in pairs for labels in pair for value in np.unique(labels)} - {0})
    return [region_similarity(mine == value, theirs == value) for mine, theirs in pairs[1:] for value in objects]


def line(row: Row) -> str:
    """A row of the table."""
    scores = f"{np.mean(row.j_and_f):.2f} | {np.mean(row.of_torch):.2f} | {np.mean(row.iou):.4f}"
    return f"| {row.sequence} | {row.prompt} | {row.used} | {scores} |"


def together(rows: Sequence[Row]) -> Row:
    """Rows of one prompt as one: each object weighs the same in J&F, each mask in the IoU."""
    scores = ([value for row in rows for value in getattr(row, name)] for name in ("j_and_f", "of_torch", "iou"))
    return Row("all", rows[0].prompt, ", ".join(sorted({row.used for row in rows})), *scores)


def verdict(row: Row) -> str:
    """Whether the bounds hold, in a sentence."""
    apart = abs(float(np.mean(row.j_and_f) - np.mean(row.of_torch)))
    holds = apart <= MOST_J_AND_F and np.mean(row.iou) >= LEAST_IOU
    return (
        f"{row.prompt}: {'agrees' if holds else 'DOES NOT AGREE'}, J&F {apart:.2f} apart (at most {MOST_J_AND_F}), "
        f"mean IoU {np.mean(row.iou):.4f} (at least {LEAST_IOU})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="DATA", help="sequences with masks, such as DAVIS")
    parser.add_argument("--model", default="embedded", help="a name or a file of weights (%(default)s)")
    parser.add_argument("--engine", choices=ENGINES, default="torch", help="what is compared (%(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of what is compared (%(default)s)")
    parser.add_argument("--prompt", choices=FIRST_PROMPTS, nargs="+", default=["mask", "1-click"])
    parser.add_argument("--sequences", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument("--out", type=Path, default=Path("agreement"), metavar="DIR", help="kept here (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    chosen = parser.parse_args()
    exact, other = (
        TrackerSetup(chosen.model, "cpu", (("precision", precision),), chosen_engine=engine)
        for engine, precision in (("torch", "float32"), (chosen.engine, chosen.precision))
    )
    if other == exact:
        parser.error("PyTorch in float32 would be compared with itself; choose another --engine or --precision")
    folder = chosen.out / exact.identity()["sha256"][:12]
    sequences = [
        one
        for one in itertools.chain.from_iterable(map(recordings.find, chosen.recordings))
        if not chosen.sequences or one.name in chosen.sequences
    ]
    rows: dict[str, list[Row]] = {prompt: [] for prompt in chosen.prompt}
    print(HEAD, flush=True)
    for sequence, prompt in itertools.product(sequences, chosen.prompt):
        compared, of_torch = (found(sequence, prompt, setup, folder) for setup in (other, exact))
        ious = agreement(compared.labels, of_torch.labels)
        rows[prompt].append(Row(sequence.name, prompt, compared.used, compared.j_and_f, of_torch.j_and_f, ious))
        print(line(rows[prompt][-1]), flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps([asdict(row) for part in rows.values() for row in part]) + "\n")
    totals = [together(part) for part in rows.values() if part]
    print("\n".join([*map(line, totals), *map(verdict, totals)]))


if __name__ == "__main__":
    main()
