"""Folders of pictures and video files as recordings, with the masks that lie beside them.

Known layouts, recognised by the names of their folders:

    DAVIS        JPEGImages/[480p/]SEQUENCE/*.jpg          Annotations/[480p/]SEQUENCE/*.png
    YouTube-VOS  the same, with annotations on every fifth picture
    SA-V         JPEGImages_24fps/SEQUENCE/*.jpg           Annotations_6fps/SEQUENCE/OBJECT/*.png
    COCO         JPEGImages/SEQUENCE/*.jpg                 annotations.json (that of YouTube-VIS)
    SA-V train   VIDEO.mp4                                 VIDEO_manual.json or VIDEO_auto.json
    pictures     *.jpg, *.png, ... in one folder           none
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from sam2_ros.errors import RecordingError
from sam2_ros.evaluation import coco_rle
from sam2_ros.evaluation.events import DEFAULT_RATE, Event, Recording, Truth, stamp_of
from sam2_ros.evaluation.labels import holds_ids, read_labels
from sam2_ros.files import plain_name
from sam2_ros.pictures import PICTURE_SUFFIXES, natural, pictures_in, read_picture
from sam2_ros.types import Frame

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
_LAYOUTS = (("JPEGImages", "Annotations"), ("JPEGImages_24fps", "Annotations_6fps"))
_COCO_FILE = "annotations.json"
#: SA-V's training videos are annotated on each so many-th image.
_SA_V_STEP = 4
_IMAGE_TOPIC, _TRUTH_TOPIC = "image", "truth"


@dataclass
class PictureFolder(Recording):
    """A folder of pictures in natural order, with label images of the same names or none.

    annotations: folder of label PNGs (one for each picture or for some of them), folder of one
    folder of binary PNGs for each object, JSON file with run-length codes, or None.
    """

    annotations: Path | None = None
    pictures: list[Path] = field(default_factory=list, repr=False)
    _shown: list[Path] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.pictures = pictures_in(self.path)
        if not self.pictures:
            raise RecordingError(f"{self.path} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        self.frames = len(self.pictures)
        self.rate = self.rate or DEFAULT_RATE

    @property
    def has_truth(self) -> bool:
        return self.annotations is not None

    def stem(self, index: int) -> str:
        known = self._shown if index < len(self._shown) else self.pictures
        return known[index].stem if index < len(known) else super().stem(index)

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        self._shown.clear()
        truth_of = _truth_reader(self.annotations, self.path.name)
        for index, path in enumerate(self.pictures):
            image = read_picture(path)
            if image is None:
                self.lost.append(f"{path.name} is not a readable picture")
                continue
            self._shown.append(path)
            stamp = stamp_of(index, self.rate)
            yield Event(stamp, _IMAGE_TOPIC, Frame(image, stamp))
            try:
                truth = truth_of(path.stem, stamp)
            except RecordingError as error:
                self.lost.append(str(error))
                continue
            if truth is not None:
                yield Event(stamp, _TRUTH_TOPIC, truth)
        if not self._shown:
            raise RecordingError(f"none of the {len(self.pictures)} pictures in {self.path} can be read")


@dataclass
class Video(Recording):
    """A video file, decoded by OpenCV one image at a time; annotations: the JSON file of SA-V beside it, or None."""

    annotations: Path | None = None

    def __post_init__(self) -> None:
        beside = [self.path.with_name(f"{self.path.stem}_{kind}.json") for kind in ("manual", "auto")]
        self.annotations = self.annotations or next((path for path in beside if path.is_file()), None)
        capture = self._open()
        self.rate = self.rate or _plausible_rate(capture.get(cv2.CAP_PROP_FPS))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = count if count > 0 else None
        capture.release()

    @property
    def has_truth(self) -> bool:
        return self.annotations is not None

    def _open(self) -> cv2.VideoCapture:
        with plain_name(self.path) as name:
            capture = cv2.VideoCapture(name)
        if not capture.isOpened():
            raise RecordingError(f"{self.path} cannot be opened as a video; is it damaged or of an unknown codec?")
        return capture

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        capture = self._open()
        truth_of = _sa_v_reader(self.annotations)
        index, previous, period = 0, 0, stamp_of(0, self.rate)
        try:
            while True:
                found, image = capture.read()
                if not found:
                    break
                # The container's own time, for videos of changing rate; not every backend knows it.
                elapsed = capture.get(cv2.CAP_PROP_POS_MSEC)
                stamp = max(previous + 1, period + round(elapsed * 1e6)) if elapsed > 0 else previous + period
                yield Event(stamp, _IMAGE_TOPIC, Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), stamp))
                truth = truth_of(index, stamp)
                if truth is not None:
                    yield Event(stamp, _TRUTH_TOPIC, truth)
                index, previous = index + 1, stamp
        finally:
            capture.release()
        if not index:
            raise RecordingError(f"no image of {self.path} can be decoded")
        if self.frames is not None and index < self.frames:
            self.lost.append(f"the file announces {self.frames} images but only {index} could be decoded")


def sequences_in(folder: Path, rate: float | None = None) -> list[PictureFolder]:
    """Every sequence of a folder: of a data set in a known layout, or the folder's own pictures.

    Raises RecordingError when there is none.
    """
    for images_name, annotations_name in _LAYOUTS:
        images, annotations = folder / images_name, folder / annotations_name
        if images.is_dir():
            return _sequences(_resolution(images), _resolution(annotations), rate)
    if pictures_in(folder):
        return [PictureFolder(folder.name, folder, rate=rate, annotations=_annotations_beside(folder))]
    children = sorted(path.name for path in folder.iterdir())[:8]
    raise RecordingError(f"{folder} is neither a folder of pictures, a data set in DAVIS, YouTube-VOS or SA-V layout, "
                         f"nor a bag; it holds: {', '.join(children) or 'nothing'}")


def splits(folder: Path) -> dict[str, list[str]]:
    """The lists of sequences that a data set in DAVIS layout brings, by their names: train, val, ..."""
    for part in ("2017", "2016", ""):
        files = sorted((folder / "ImageSets" / part).glob("*.txt"))
        lists = {path.stem: [line.strip() for line in path.read_text().splitlines() if line.strip()] for path in files}
        if lists:
            return lists
    return {}


def _sequences(images: Path, annotations: Path, rate: float | None) -> list[PictureFolder]:
    folders = sorted((path for path in images.iterdir() if path.is_dir() and pictures_in(path)), key=natural)
    if not folders:
        raise RecordingError(f"{images} holds no sequences (folders of pictures)")
    return [PictureFolder(path.name, path, rate=rate, annotations=_annotations_of(path.name, annotations))
            for path in folders]


def _annotations_of(name: str, annotations: Path) -> Path | None:
    """The masks of a sequence: in its folder of ``annotations``, or in the JSON file beside that."""
    folder, file = annotations / name, annotations.parent / _COCO_FILE
    return folder if folder.is_dir() else file if file.is_file() else None


def _resolution(folder: Path) -> Path:
    """DAVIS puts a folder of the resolution between; the smaller one is the evaluators' standard."""
    for name in ("480p", "Full-Resolution"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _annotations_beside(pictures: Path) -> Path | None:
    """Masks of one sequence of a data set, when its picture folder was named directly."""
    for images_name, annotations_name in _LAYOUTS:
        for depth, parent in enumerate(list(pictures.parents)[:2]):
            if parent.name == images_name:
                between = parent.relative_to(parent) if depth == 0 else Path(pictures.parent.name)
                return _annotations_of(pictures.name, parent.parent / annotations_name / between)
    return None


def _truth_reader(annotations: Path | None, sequence: str) -> Callable[[str, int], Truth | None]:
    """A function (picture name, stamp) -> Truth or None for one of the ways to keep masks."""
    if annotations is None:
        return lambda name, stamp: None
    if annotations.is_file():
        return _coco_reader(annotations, sequence)
    objects = sorted((path for path in annotations.iterdir() if path.is_dir() and path.name.isdigit()),
                     key=lambda path: int(path.name))
    if not objects:
        among_ids = functools.cache(lambda: any(map(_holds_ids, pictures_in(annotations))))
        return lambda name, stamp: _labels_truth(annotations / f"{name}.png", stamp, among_ids)
    # SA-V counts its objects from 000, and 0 is the background of every label image.
    first = 1 if int(objects[0].name) == 0 else 0
    return lambda name, stamp: _objects_truth({int(folder.name) + first: folder / f"{name}.png"
                                               for folder in objects}, stamp)


def _labels_truth(path: Path, stamp: int, among_ids: Callable[[], bool]) -> Truth | None:
    return Truth.from_labels(read_labels(path, among_ids), stamp) if path.exists() else None


def _holds_ids(path: Path) -> bool:
    try:
        return holds_ids(read_labels(path, lambda: True))
    except RecordingError:  # whoever wants this very image will say so
        return False


def _objects_truth(paths: dict[int, Path], stamp: int) -> Truth | None:
    masks = {number: read_labels(path) > 0 for number, path in paths.items() if path.exists()}
    return Truth(stamp, masks, complete=False) if masks else None


def _coco_reader(file: Path, sequence: str) -> Callable[[str, int], Truth | None]:
    """The same for the run-length codes of one sequence in a COCO file for videos."""
    try:
        content = json.loads(file.read_text())
        video = next((one for one in content["videos"] if Path(one["file_names"][0]).parent.name == sequence), None)
        if video is None:
            return lambda name, stamp: None
        index_of = {Path(path).stem: index for index, path in enumerate(video["file_names"])}
        tracks = {one.get("object_id", number): one["segmentations"] for number, one in enumerate(
            (one for one in content["annotations"] if one["video_id"] == video["id"]), start=1)}
        annotated = set(video.get("annotated", range(len(index_of))))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RecordingError(f"{file} is not a COCO file for videos: {error!r}") from error

    def truth_of(name: str, stamp: int) -> Truth | None:
        index = index_of.get(name)
        if index not in annotated:
            return None
        return Truth(stamp, {number: coco_rle.decode(codes[index]) for number, codes in tracks.items() if codes[index]})

    return truth_of


def _sa_v_reader(file: Path | None) -> Callable[[int, int], Truth | None]:
    """A function (number of the image, stamp) -> Truth or None for a masklet file of SA-V's training videos."""
    if file is None:
        return lambda index, stamp: None
    try:
        content = json.loads(file.read_text())
        masklets = content["masklet"]  # every fourth image, then the objects
        first = content.get("masklet_first_appeared_frame") or [0] * len(masklets[0])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RecordingError(f"{file} is not a masklet file of SA-V: {error!r}") from error

    def truth_of(index: int, stamp: int) -> Truth | None:
        place, rest = divmod(index, _SA_V_STEP)
        if rest or place >= len(masklets):
            return None
        masks = {number: coco_rle.decode(code) for number, code in enumerate(masklets[place], start=1)
                 if index >= first[number - 1]}
        return Truth(stamp, masks, complete=False)

    return truth_of


def _plausible_rate(rate: float) -> float:
    return rate if 0 < rate < 1000 else DEFAULT_RATE
