"""The held-out photographs and scanned objects, which no training may see: ``kept_aside.yaml``, drawn once with a seed.

``python -m sam2_ros.training.kept_aside PHOTOS OBJECTS`` draws the list again.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np

LIST = Path(__file__).parent / "kept_aside.yaml"
SEED, PHOTO_SHARE, OBJECT_SHARE = 2026, 0.1, 0.18


@cache
def kept_aside(kind: str) -> frozenset[str]:
    """The names of kind ``photos`` or ``objects``."""
    names, reading = set(), ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.endswith(":"):
            reading = line[:-1]
        elif line.startswith("- ") and reading == kind:
            names.add(line[2:].strip())
    return frozenset(names)


def draw(photos: list[dict], objects: list[dict]) -> dict[str, list[str]]:
    """A tenth of the photographs of each set and a sixth of the objects.

    Several pictures of one photograph (the exporter's name before ".rf.") go together.
    """
    random = np.random.default_rng(SEED)
    chosen: dict[str, list[str]] = {"photos": [], "objects": []}
    for name in sorted({photo["set"] for photo in photos}):
        groups: dict[str, list[str]] = {}
        for photo in photos:
            if photo["set"] == name:
                groups.setdefault(Path(photo["file"]).name.split(".rf.")[0], []).append(photo["id"])
        keys = sorted(groups)
        for number in random.permutation(len(keys))[: max(round(len(keys) * PHOTO_SHARE), 1)]:
            chosen["photos"] += sorted(groups[keys[number]])
    names = sorted(entry["name"] for entry in objects)
    chosen["objects"] = sorted(
        names[number] for number in random.permutation(len(names))[: round(len(names) * OBJECT_SHARE)]
    )
    return chosen


def main(arguments: list[str]) -> None:
    """The command line: folders of photographs and of objects."""
    photos = json.loads((Path(arguments[0]) / "index.json").read_text(encoding="utf-8"))["images"]
    objects = json.loads((Path(arguments[1]) / "objects.json").read_text(encoding="utf-8"))["objects"]
    chosen = draw(photos, objects)
    lines = [f"# No training may see these; drawn by kept_aside.py with seed {SEED}."]
    for kind, names in chosen.items():
        lines += [f"{kind}:", *(f"- {name}" for name in names)]
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
