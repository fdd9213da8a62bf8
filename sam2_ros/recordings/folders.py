"""Folders of pictures as recordings, with their masks.

Known layouts, recognised by the names of their folders:

    DAVIS        JPEGImages/[480p/]SEQUENCE/*.jpg          Annotations/[480p/]SEQUENCE/*.png
    YouTube-VOS  the same, with annotations on every fifth picture
    SA-V         JPEGImages_24fps/SEQUENCE/*.jpg           Annotations_6fps/SEQUENCE/OBJECT/*.png
    COCO         JPEGImages/SEQUENCE/*.jpg                 annotations.json (that of YouTube-VIS)
    pictures     *.jpg, *.png, ... in one folder           none

Folders of objects are read in each of the first three: Annotations/SEQUENCE/OBJECT/*.png, OBJECT a
number.  There a picture without a file is not scored for that object, an empty mask says that it is
absent, and pixels of 255 beside other values are not counted for it.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from sam2_ros.errors import RecordingError
from sam2_ros.files import some_of
from sam2_ros.ranges import Range
from sam2_ros.recordings.annotations import annotations_of
from sam2_ros.recordings.pictures import PICTURE_SUFFIXES, doubles_among, natural, picture_of, pictures_in
from sam2_ros.recordings.recording import DEFAULT_RATE, Event, Recording, shortened, stamp_of
from sam2_ros.types import Frame

_LAYOUTS = (("JPEGImages", "Annotations"), ("JPEGImages_24fps", "Annotations_6fps"))
_COCO_FILE = "annotations.json"
_IMAGE_TOPIC, _TRUTH_TOPIC = "image", "truth"


@dataclass
class PictureFolder(Recording):
    """A folder of pictures in natural order, with label images of the same names or none.

    annotations: folder of label PNGs (one for each picture or for some of them), folder of one
    folder of binary PNGs for each object, JSON file with run-length codes, or None.
    """

    rate: float = DEFAULT_RATE
    annotations: Path | None = None
    pictures: list[Path] = field(default_factory=list, repr=False)
    _shown: list[Path] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.pictures = pictures_in(self.path)
        if not self.pictures:
            raise RecordingError(f"{self.path} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        self.frames = len(self.pictures)

    @property
    def has_truth(self) -> bool:
        return self.annotations is not None

    def stem(self, index: int) -> str:
        known = self._shown if index < len(self._shown) else self.pictures
        return known[index].stem if index < len(known) else super().stem(index)

    def events(self) -> Iterator[Event]:
        self.lost.clear()
        self._shown.clear()
        doubles = doubles_among(self.pictures)
        if doubles:
            raise RecordingError(
                f"{self.path} holds several pictures of one name ({some_of(doubles, 4)}), whose results "
                "would be mixed; leave one of each there, and move masks to a folder of their own"
            )
        masks = annotations_of(self.annotations, self.path.name, self.pictures)
        grey = Range(self.image_range)
        unreadable: list[str] = []
        for index, path in enumerate(self.pictures):
            try:
                image = picture_of(path, grey)
            except RecordingError as error:
                unreadable.append(str(error))
                continue
            self._shown.append(path)
            stamp = stamp_of(index, self.rate)
            yield Event(stamp, _IMAGE_TOPIC, Frame(image, stamp))
            truth = masks.truth(index, stamp, image.shape[:2])
            if truth is not None:
                yield Event(stamp, _TRUTH_TOPIC, truth)
        if not self._shown:
            raise RecordingError(f"none of the {len(self.pictures)} pictures in {self.path} can be read")
        self.lost += [*shortened(unreadable, "pictures are not readable"), *masks.all_lost()]
        self.reduced = grey.reduced


def sequences_in(folder: Path, rate: float = DEFAULT_RATE) -> list[PictureFolder]:
    """The sequences of a folder: those of a data set in a known layout, or one of the pictures in it.

    Raises RecordingError when there is none.
    """
    for images_name, annotations_name in _LAYOUTS:
        images, annotations = folder / images_name, folder / annotations_name
        if images.is_dir():
            return _sequences(_resolution(images), _resolution(annotations), rate)
    if pictures_in(folder):
        return [PictureFolder(folder.name, folder, rate=rate, annotations=_annotations_beside(folder))]
    children = sorted(path.name for path in folder.iterdir())
    raise RecordingError(
        f"{folder} is neither a folder of pictures, a data set in DAVIS, YouTube-VOS or SA-V layout, "
        f"nor a bag; it holds: {some_of(children, 8) or 'nothing'}"
    )


def splits(folder: Path) -> dict[str, list[str]]:
    """The lists of sequences of a data set in DAVIS layout, by their names: train, val, ..."""
    for part in ("2017", "2016", ""):
        files = sorted((folder / "ImageSets" / part).glob("*.txt"))
        lists = {path.stem: _names_in(path) for path in files if not path.name.startswith(".")}
        if lists:
            return lists
    return {}


def _names_in(file: Path) -> list[str]:
    """The names of folders in a file, one in each line; names need not be UTF-8.

    DAVIS 2016 has a line for each picture instead: /JPEGImages/480p/bear/00000.jpg and the path of its mask.
    """
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise RecordingError(f"{file} is UTF-16; save it as UTF-8")
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    names = [os.fsdecode(line.strip()) for line in lines if line.strip()]
    folders = [PurePath(name.split()[0]).parent.name if name.startswith("/JPEGImages/") else name for name in names]
    return list(dict.fromkeys(folders))


def _sequences(images: Path, annotations: Path, rate: float) -> list[PictureFolder]:
    folders = sorted((path for path in images.iterdir() if path.is_dir() and pictures_in(path)), key=natural)
    if not folders:
        raise RecordingError(f"{images} holds no sequences (folders of pictures)")
    return [
        PictureFolder(path.name, path, rate=rate, annotations=_annotations_of(path.name, annotations))
        for path in folders
    ]


def _annotations_of(name: str, annotations: Path) -> Path | None:
    """The masks of a sequence: its folder in ``annotations``, or the JSON file beside ``annotations``."""
    folder, file = annotations / name, annotations.parent / _COCO_FILE
    if folder.is_dir():
        return folder
    return file if file.is_file() else None


def _resolution(folder: Path) -> Path:
    """The folder of a resolution, if there is one, as in DAVIS; evaluations use the smaller one."""
    for name in ("480p", "Full-Resolution"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _annotations_beside(pictures: Path) -> Path | None:
    """The masks for a folder of pictures that is one sequence of a data set."""
    for images_name, annotations_name in _LAYOUTS:
        near, far = pictures.parent, pictures.parent.parent
        if near.name == images_name:
            return _annotations_of(pictures.name, far / annotations_name)
        if far.name == images_name:  # with a folder of a resolution in between
            return _annotations_of(pictures.name, far.parent / annotations_name / near.name)
    return None
