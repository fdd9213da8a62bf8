"""Writes the masks of a run as a data set, in the layouts that ``commands/export.py`` lists."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.evaluation.choices import FORMATS
from sam2_ros.evaluation.results import read_result
from sam2_ros.files import shown, write_whole
from sam2_ros.recordings import coco_rle
from sam2_ros.recordings.folders import PictureFolder
from sam2_ros.recordings.labels import LabelWriter, ids_in, read_labels
from sam2_ros.recordings.pictures import is_turned, picture_of, pictures_in, write_picture
from sam2_ros.simulated_user import box_around

#: SA-V annotates six images of a second.
SA_V_RATE = 6.0


@dataclass
class Masklets:
    """One sequence of a run: label images by the name of their picture, and what each id is called."""

    name: str
    path: str
    topics: dict[str, str]
    labels: list[Path]
    names: dict[int, str]

    def recording(self) -> recordings.Recording:
        """The recording that was evaluated.  Raises RecordingError when it is gone."""
        return recordings.open(self.path, **self.topics)


def masklets_of(run: Path) -> list[Masklets]:
    """The sequences of a run that have label images.  Raises RecordingError when there is none."""
    result = read_result(run)
    try:
        found = [one for one in (_masklets(run, entry, result) for entry in result["sequences"]) if one.labels]
    except KeyError as error:
        raise RecordingError(
            f"{shown(run)} is not a whole result of an evaluation: no {error} in result.json"
        ) from error
    if not found:
        raise RecordingError(f"{run} holds no label images; evaluate with another --prompt than images")
    return found


def _masklets(run: Path, entry: Mapping[str, Any], result: Mapping[str, Any]) -> Masklets:
    folder = run / "sequences" / entry["folder"] / "labels"
    names = {value: name for name, value in entry["names"].items()}
    names |= {one["id"]: one["name"] for one in entry["objects"]}
    labels = pictures_in(folder) if folder.is_dir() else []
    return Masklets(entry["folder"], entry["path"], result["configuration"]["topics"], labels, names)


def export(run: Path, kind: str, out: Path, every: int = 1) -> int:
    """Write the data set; returns the number of its sequences.

    out: a new folder, since masks there may have been corrected by hand.  every: masks of every N-th
    image only.  Raises RecordingError; then nothing is left in it.
    """
    if kind not in FORMATS:
        raise RecordingError(f"the format is one of {', '.join(FORMATS)}; got {kind!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecordingError(
            f"{out} exists and is not an empty folder; name a new one (recordings that were evaluated "
            "in one run are exported together)"
        )
    sequences = masklets_of(run)
    images = out / ("JPEGImages_24fps" if kind == "sa-v" else "JPEGImages")
    try:
        for sequence in sequences:
            _write_pictures(sequence, images / sequence.name)
        WRITERS[kind](sequences, out, every)
    except BaseException as error:  # the next try would be refused for the remains of this one
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError):
            raise RecordingError(f"cannot write the data set {shown(out)}: {error.strerror or error}") from error
        raise
    return len(sequences)


def _write_pictures(sequence: Masklets, folder: Path) -> None:
    """The pictures of the recording under the names of their label images."""
    recording = sequence.recording()
    folder.mkdir(parents=True)
    if isinstance(recording, PictureFolder):
        wanted = {path.stem for path in sequence.labels}
        for path in recording.pictures:
            if path.stem in wanted:
                _write_as_shown(path, folder / path.name)
        return
    for frame, label in zip(recording, sequence.labels):
        write_picture(folder / f"{label.stem}.jpg", frame.image)


def _write_as_shown(path: Path, copy: Path) -> None:
    """A copy of a picture; one that its EXIF data turn, which not every reader does, is turned for good."""
    if is_turned(path):
        write_picture(copy, picture_of(path))
    else:
        shutil.copyfile(path, copy)


def _write_davis(sequences: Sequence[Masklets], out: Path, every: int) -> None:
    for sequence in sequences:
        writer = LabelWriter(out / "Annotations" / sequence.name)
        for path in sequence.labels[::every]:
            writer.write(read_labels(path), path.stem)
    (out / "ImageSets").mkdir(exist_ok=True)
    write_whole(out / "ImageSets" / "val.txt", "".join(f"{sequence.name}\n" for sequence in sequences))


def _write_youtube_vos(sequences: Sequence[Masklets], out: Path, every: int) -> None:
    _write_davis(sequences, out, every)
    videos = {}
    for sequence in sequences:
        shown: dict[int, list[str]] = {}
        for stem, labels in _label_images(sequence, every):
            for number in ids_in(labels):
                shown.setdefault(number, []).append(stem)
        videos[sequence.name] = {
            "objects": {
                str(number): {"category": sequence.names.get(number, str(number)), "frames": frames}
                for number, frames in sorted(shown.items())
            }
        }
    write_whole(out / "meta.json", json.dumps({"videos": videos}, indent=1) + "\n")


def _write_sa_v(sequences: Sequence[Masklets], out: Path, every: int) -> None:
    for sequence in sequences:
        rate = sequence.recording().rate or SA_V_RATE
        step = every if every > 1 else max(round(rate / SA_V_RATE), 1)
        ids = sorted({number for _, labels in _label_images(sequence) for number in ids_in(labels)})
        folder = out / "Annotations_6fps" / sequence.name
        writers = {number: LabelWriter(folder / f"{index:03d}") for index, number in enumerate(ids)}
        for stem, labels in _label_images(sequence, step):
            for number, writer in writers.items():
                writer.write((labels == number).astype(np.uint8), stem)


def _write_coco(sequences: Sequence[Masklets], out: Path, every: int) -> None:
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for sequence in sequences:
        files = {path.stem: f"{sequence.name}/{path.name}" for path in (out / "JPEGImages" / sequence.name).iterdir()}
        stems = [path.stem for path in sequence.labels]
        height, width = read_labels(sequence.labels[0]).shape
        videos.append(
            {
                "id": len(videos) + 1,
                "name": sequence.name,
                "file_names": [files[stem] for stem in stems],
                "height": height,
                "width": width,
                "length": len(stems),
                "annotated": list(range(0, len(stems), every)),
            }
        )
        for number, masks in _coco_tracks(sequence, every).items():
            category = categories.setdefault(sequence.names.get(number, str(number)), len(categories) + 1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": len(videos),
                    "object_id": number,
                    "category_id": category,
                    "iscrowd": 0,
                    **{
                        key: [masks[stem][key] if stem in masks else None for stem in stems]
                        for key in ("segmentations", "areas", "bboxes")
                    },
                }
            )
    listed = [{"id": number, "name": name} for name, number in categories.items()]
    text = json.dumps({"videos": videos, "categories": listed, "annotations": annotations})
    write_whole(out / "annotations.json", text + "\n")


def _coco_tracks(sequence: Masklets, every: int) -> dict[int, dict[str, dict[str, Any]]]:
    """Code, area and box of each object by its id and the picture."""
    tracks: dict[int, dict[str, dict[str, Any]]] = {}
    for stem, labels in _label_images(sequence, every):
        for number in ids_in(labels):
            tracks.setdefault(number, {})[stem] = _coco_mask(labels == number)
    return dict(sorted(tracks.items()))


def _coco_mask(mask: np.ndarray) -> dict[str, Any]:
    """An (H, W) bool mask as YouTube-VIS writes it; a box is x, y, width, height in pixels."""
    x0, y0, x1, y1 = box_around(mask)
    return {
        "segmentations": coco_rle.encode(mask),
        "areas": int(mask.sum()),
        "bboxes": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
    }


def _label_images(sequence: Masklets, every: int = 1) -> Iterator[tuple[str, np.ndarray]]:
    """The stem of each ``every``-th picture, and its (H, W) label image."""
    for path in sequence.labels[::every]:
        yield path.stem, read_labels(path)


WRITERS = {"davis": _write_davis, "youtube-vos": _write_youtube_vos, "sa-v": _write_sa_v, "coco-rle": _write_coco}
