"""Packs all data of a training into one file, small enough to be sent to a machine with a GPU.

    python -m sam2_ros.training.packing PACK.zip --initial WEIGHTS --photos PHOTOS --footage DAVIS --scenes SCENES

Pictures are made smaller and compressed as JPEG; held-out ones are not packed.  ``unpack`` makes the folders that a
training reads.
"""

from __future__ import annotations

import argparse
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.labels import decode_labels, encode_labels
from sam2_ros.training.footage import Footage, Sequence
from sam2_ros.training.photographs import Photographs
from sam2_ros.training.robot_clips import RobotClips

#: The shorter side of a packed picture, and the quality of its JPEG.
SIDE, QUALITY = 256, 80
#: How much of the room each kind of source gets.
SHARES = {"photos": 0.32, "footage": 0.36, "scenes": 0.28, "robots": 0.04}
WEIGHTS = "initial.safetensors"
#: Pictures that are compressed to tell how large all of them will be.
SAMPLES = 40

#: Names and contents that belong together.
Files = list[tuple[str, bytes]]


def pack(path: Path, megabytes: float, sources: dict[str, Path], initial: Path) -> dict[str, int]:
    """Write the weights and as much of each source as fits; how many photographs, videos and scenes that is."""
    room = megabytes * 2**20 - initial.stat().st_size
    whole = sum(SHARES[kind] for kind in sources)
    counts = dict.fromkeys(sources, 0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(initial, WEIGHTS)
        for kind, folder in sources.items():
            left = room * SHARES[kind] / whole
            for files in PARTS[kind](folder, left):
                left -= sum(len(data) + 200 for _, data in files)  # with what a zip file notes of each
                if left < 0:
                    break
                for name, data in files:
                    archive.writestr(f"{kind}/{name}", data)
                counts[kind] += 1
    return counts


def unpack(path: Path, folder: Path) -> dict[str, str]:
    """Make folders of a packed file, and name them as the settings of a training do."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    named = {"initial": str(folder / WEIGHTS)}
    for kind in SHARES:
        if (folder / kind).is_dir():
            MAKE_WHOLE[kind](folder / kind)
            named[kind] = str(folder / kind)
    return named


def _photos(folder: Path, _: float) -> Iterator[Files]:
    photographs = Photographs(folder)
    entries = {entry["id"]: entry for entry in json.loads((folder / "index.json").read_text("utf-8"))["images"]}
    names = [name for names in photographs.sets.values() for name in names]
    for number in np.random.default_rng(0).permutation(len(names)):
        picture, labels = photographs.photo(names[number])
        yield [
            (f"entries/{names[number]}.json", json.dumps(entries[names[number]]).encode()),
            *_picture(picture, labels, f"images/{names[number]}.jpg", f"masks/{names[number]}.png"),
        ]


def _footage(folder: Path, room: float) -> Iterator[Files]:
    """All videos, with as many of their pictures as fit."""
    sequences = Footage(folder).sequences
    places = [(sequence, number) for sequence in sequences for number in range(len(sequence.pictures))]
    random = np.random.default_rng(0)
    drawn = [places[number] for number in random.integers(len(places), size=SAMPLES)]
    sizes = [sum(len(data) + 200 for _, data in _moment(sequence, number)) for sequence, number in drawn]
    stride = max(math.ceil(1.1 * len(places) * float(np.mean(sizes)) / room), 1)
    for sequence in sequences:
        yield [part for number in range(0, len(sequence.pictures), stride) for part in _moment(sequence, number)]


def _moment(sequence: Sequence, number: int) -> Files:
    labels = sequence.label(number)
    name = f"{sequence.name}/{number:05d}"
    picture = sequence.picture(number, labels.shape)
    return _picture(picture, labels, f"JPEGImages/{name}.jpg", f"Annotations/{name}.png")


def _scenes(folder: Path, _: float) -> Iterator[Files]:
    scenes = RobotClips(folder)
    for number in np.random.default_rng(0).permutation(len(scenes.files)):
        pictures, labels = scenes.scene(int(number))
        name = scenes.files[number].stem
        files = [
            part
            for place in range(len(labels))
            for part in _picture(pictures[place], labels[place], f"{name}/{place:05d}.jpg", f"{name}/{place:05d}.png")
        ]
        names = scenes.names(int(number))
        yield [*files, *([(f"{name}.visible.csv", f"# {','.join(names)}\n".encode())] if names else [])]


def _picture(picture: np.ndarray, labels: np.ndarray, name: str, label_name: str) -> Files:
    height, width = labels.shape
    scale = min(SIDE / min(height, width), 1.0)
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(np.ascontiguousarray(picture[..., ::-1]), size, interpolation=cv2.INTER_AREA)
    ids = cv2.resize(np.ascontiguousarray(labels), size, interpolation=cv2.INTER_NEAREST)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return [(name, data), (label_name, encode_labels(ids))]


PARTS: dict[str, Callable[[Path, float], Iterator[Files]]] = {
    "photos": _photos,
    "footage": _footage,
    "scenes": _scenes,
    "robots": _scenes,
}


def _whole_photos(folder: Path) -> None:
    entries = [json.loads(path.read_text("utf-8")) for path in sorted((folder / "entries").iterdir())]
    (folder / "index.json").write_text(json.dumps({"images": entries}), "utf-8")


def _whole_scenes(folder: Path) -> None:
    for scene in [path for path in folder.iterdir() if path.is_dir()]:
        frames = []
        for path in sorted(scene.glob("*.jpg")):
            labels = decode_labels(path.with_suffix(".png").read_bytes(), white_is_void=lambda: True)
            picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise RecordingError(f"{path} is not a readable picture; pack the scenes again")
            frames.append(np.dstack([picture[..., ::-1], labels]))
        np.save(scene.with_suffix(".npy"), np.stack(frames).astype(np.uint8))


MAKE_WHOLE: dict[str, Callable[[Path], None]] = {
    "photos": _whole_photos,
    "footage": lambda _: None,
    "scenes": _whole_scenes,
    "robots": _whole_scenes,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--megabytes", type=float, default=44.0)
    parser.add_argument("--initial", type=Path, required=True, help="weights to begin with, best in half precision")
    for kind in SHARES:
        parser.add_argument(f"--{kind}", type=Path, help=f"folder, as sam2_ros train --{kind} takes it")
    options = parser.parse_args()
    sources = {kind: getattr(options, kind) for kind in SHARES if getattr(options, kind)}
    counts = pack(options.pack, options.megabytes, sources, options.initial)
    size = options.pack.stat().st_size / 2**20
    print(f"{options.pack}: {size:.1f} MiB, " + ", ".join(f"{count} of {kind}" for kind, count in counts.items()))


if __name__ == "__main__":
    main()
