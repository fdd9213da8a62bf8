"""Masks that belong to pictures and videos, in the file formats of the known data sets.

If a mask is damaged, only that mask is left out, with a sentence in ``lost``.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.files import some_of
from sam2_ros.recordings import coco_rle
from sam2_ros.recordings.labels import IGNORE_LABEL, holds_ids, read_labels
from sam2_ros.recordings.pictures import masks_of, natural, pictures_in
from sam2_ros.recordings.recording import Truth, shortened
from sam2_ros.types import MAX_OBJECT_ID

#: The training videos of SA-V have 24 images per second, and every fourth is annotated.
_SA_V_STEP = 4


class Annotations:
    """The masks of one sequence; this base class has none.

    lost: sentences on masks that could not be used.
    """

    def __init__(self) -> None:
        self.lost: list[str] = []

    def truth(self, index: int, stamp: int, size: tuple[int, int]) -> Truth | None:
        """The truth of image number ``index``; size: its (height, width).  None if it is not annotated."""

    def all_lost(self) -> list[str]:
        """``lost`` after the last image, a long list shortened."""
        return shortened(self.lost, "sentences about masks")


def annotations_of(place: Path | None, sequence: str, pictures: Sequence[Path]) -> Annotations:
    """The masks of a folder of pictures.

    place: a folder of label PNGs, a folder with a folder of PNGs for each object, a COCO file for videos, or None.
    """
    if place is None:
        return Annotations()
    if place.is_file():
        return CocoTracks(place, sequence, pictures)
    folders = sorted((path for path in place.iterdir() if path.is_dir()), key=natural)
    objects = [path for path in folders if path.name.isdecimal()]
    found = ObjectImages(objects, pictures) if objects else LabelImages(place, pictures)
    others = [path.name for path in folders if path not in objects]
    if others:
        found.lost.append(
            f"{place} holds folders that are not used: {some_of(others, 6)}; the folder of an object "
            "is called by its number"
        )
    return found


class LabelImages(Annotations):
    """One label image for each picture, or for some of them.

    files: the label image of each picture, by its number.
    """

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        super().__init__()
        self.files = _pairs(folder, pictures, self.lost)
        self._white_is_void = functools.cache(lambda: any(map(_holds_ids, self.files.values())))

    def labels(self, index: int) -> np.ndarray:
        """The (H, W) ids on image number ``index``, which must be in ``files``.  Raises RecordingError."""
        return read_labels(self.files[index], self._white_is_void)

    def truth(self, index: int, stamp: int, size: tuple[int, int]) -> Truth | None:
        if index not in self.files:
            return None
        try:
            return Truth.from_labels(_fitting(self.labels(index), size, self.files[index]), stamp)
        except RecordingError as error:
            self.lost.append(str(error))
            return None


class ObjectImages(Annotations):
    """One folder of masks for each object, which may overlap; a picture without a file is not annotated for it.

    255 beside other values, in any file of the folder, is not counted.
    """

    def __init__(self, folders: Sequence[Path], pictures: Sequence[Path]) -> None:
        super().__init__()
        # SA-V counts its objects from 000, and 0 is the background of every label image.
        first = 1 if int(folders[0].name) == 0 else 0
        self._files: dict[int, dict[int, Path]] = {}
        for folder in folders:
            number = int(folder.name) + first
            if number in self._files or number > MAX_OBJECT_ID:
                self.lost.append(
                    f"{folder} is not used: its number is {'taken' if number in self._files else 'too large'}"
                )
            else:
                self._files[number] = _pairs(folder, pictures, self.lost)
        self._white_is_void = functools.cache(lambda number: any(map(_holds_ids, self._files[number].values())))

    def truth(self, index: int, stamp: int, size: tuple[int, int]) -> Truth | None:
        masks, ignores = {}, {}
        for number in self._files:
            path = self._files[number].get(index)
            if path is None:
                continue
            try:
                values = _fitting(read_labels(path, lambda: True), size, path)
            except RecordingError as error:
                self.lost.append(str(error))
                continue
            void = np.zeros(size, bool) if values.dtype != np.uint8 else values == IGNORE_LABEL
            if void.any() and (holds_ids(values) or self._white_is_void(number)):
                ignores[number] = void
            if number not in ignores or not void.all():  # an image that is all void is not annotated
                masks[number] = (values > 0) & ~ignores.get(number, np.False_)
        return Truth(stamp, masks, complete=False, ignores=ignores) if masks else None


class CocoTracks(Annotations):
    """The tracks of one sequence in a COCO file for videos (that of YouTube-VIS)."""

    def __init__(self, file: Path, sequence: str, pictures: Sequence[Path]) -> None:
        super().__init__()
        self._file = file
        content = _content(file, "a COCO file for videos", "videos", "annotations")
        video = self._video(content["videos"], sequence)
        names = video.get("file_names", [])
        self._places = {Path(name).stem: place for place, name in enumerate(names) if isinstance(name, str)}
        self._stems = [path.stem for path in pictures]
        self._annotated = self._annotated_places(video.get("annotated"), range(len(names)), sequence)
        there = set(self._stems)
        gone = [stem for stem, place in self._places.items() if place in self._annotated and stem not in there]
        if gone:
            self.lost.append(
                f"{len(gone)} annotated images of {sequence} in {file} are not among its pictures ({some_of(gone, 3)})"
            )
        self._tracks: dict[int, list[Any]] = {}
        ids = [one.get("id") for one in content["videos"] if isinstance(one, dict)]
        tracks = [one for one in content["annotations"] if isinstance(one, dict)]
        strangers = [one for one in tracks if one.get("video_id") not in ids]
        if strangers:
            self.lost.append(
                f"{file}: {len(strangers)} annotations are not used: no video has their video_id, such as "
                f"{strangers[0].get('video_id')!a:.40}"
            )
        ours = [one for one in tracks if video and one.get("video_id") == video.get("id")]
        for count, track in enumerate(ours, start=1):
            self._add(track.get("object_id", count), track.get("segmentations"), len(names))

    def _video(self, videos: list[Any], sequence: str) -> dict[str, Any]:
        """The video whose pictures are in the folder ``sequence``; empty where there is none."""
        found: list[dict[str, Any]] = [one for one in videos if _sequence_of(one) == sequence]
        if not found:
            self.lost.append(f"{self._file} has no video with pictures in a folder {sequence}")
            return {}
        if len(found) > 1:
            self.lost.append(
                f"{self._file} has {len(found)} videos with pictures in a folder {sequence}; the first one is used"
            )
        return found[0]

    def _annotated_places(self, listed: Any, every: range, sequence: str) -> set[int]:
        """The numbers of the annotated images: the listed ones, or all if there is no list."""
        if listed is None:
            return set(every)
        if isinstance(listed, list) and all(type(place) is int and place in every for place in listed):
            return set(listed)
        self.lost.append(
            f"{self._file}: annotated of {sequence} is not a list of places in file_names, counted from 0; "
            "every image is taken as annotated"
        )
        return set(every)

    def _add(self, number: Any, codes: Any, images: int) -> None:
        if type(number) is not int or not 1 <= number <= MAX_OBJECT_ID:
            self.lost.append(
                f"{self._file}: {number!r} is not a number of an object (1 to {MAX_OBJECT_ID}); its masks are not used"
            )
        elif number in self._tracks:
            self.lost.append(f"{self._file}: two objects have the number {number}; the second one is not used")
        elif not isinstance(codes, list):
            self.lost.append(f"{self._file}: object {number} has no list of segmentations")
        else:
            self._tracks[number] = codes
            if len(codes) > images:
                self.lost.append(
                    f"{self._file}: object {number} has masks of {len(codes)} images, its video has {images}; "
                    "the rest is not used"
                )

    def truth(self, index: int, stamp: int, size: tuple[int, int]) -> Truth | None:
        place = self._places.get(self._stems[index])
        if place is None or place not in self._annotated:
            return None
        masks, absent, damaged = {}, [], False
        for number, codes in self._tracks.items():
            try:
                if place >= len(codes):
                    raise RecordingError(f"its list ends after {len(codes)} images")
                if codes[place] is None or codes[place] == []:
                    absent.append(number)
                else:
                    masks[number] = coco_rle.mask_of(codes[place], size)
            except RecordingError as error:
                damaged = True
                self.lost.append(f"{self._file}: object {number} on {self._stems[index]}: {error}")
        if not damaged:
            return Truth(stamp, masks)
        # The damaged ones are unknown, not absent; so the absent ones get an empty mask.
        masks |= {number: np.zeros(size, bool) for number in absent}
        return Truth(stamp, masks, complete=False) if masks else None


class MaskletFile(Annotations):
    """The masklet file of a training video of SA-V.

    Its images are those that are annotated, also where it says on which an object appears first.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        content = _content(file, "a masklet file of SA-V", "masklet")
        self._masklets = content["masklet"]  # for each annotated image, a code for each object
        first = content.get("masklet_first_appeared_frame")
        self._first = first if isinstance(first, list) else []
        self._seen = 0  # images of the video so far

    def truth(self, index: int, stamp: int, size: tuple[int, int]) -> Truth | None:
        self._seen = max(self._seen, index + 1)
        place, rest = divmod(index, _SA_V_STEP)
        if rest or place >= len(self._masklets) or self._masklets[place] is None:
            return None
        masks = {}
        codes = self._masklets[place]
        for number, code in enumerate(codes if isinstance(codes, list) else [codes], start=1):
            if code is None or place < self._first_of(number):
                continue
            try:
                masks[number] = coco_rle.mask_of(code, size)
            except RecordingError as error:
                self.lost.append(f"{self._file}: object {number} on image {index}: {error}")
        return Truth(stamp, masks, complete=False) if masks else None

    def _first_of(self, number: int) -> float:
        """The number of the annotated image on which an object first appears; 0 if the file does not tell."""
        first = self._first[number - 1] if number <= len(self._first) else 0
        return first if type(first) is int or (type(first) is float and math.isfinite(first)) else 0

    def all_lost(self) -> list[str]:
        beyond = len(self._masklets) - -(-self._seen // _SA_V_STEP)
        if beyond > 0:
            self.lost.append(
                f"{self._file} has masks of {beyond} images beyond the last of the video, "
                f"which has {self._seen}; every fourth is annotated"
            )
        return super().all_lost()


def _pairs(folder: Path, pictures: Sequence[Path], lost: list[str]) -> dict[int, Path]:
    """The label images of a folder by the number of their picture; a sentence on those that belong to none."""
    files = pictures_in(folder)
    masks = [path for path in files if path.suffix.lower() == ".png"]
    if len(masks) < len(files):
        others = [path.name for path in files if path not in masks]
        lost.append(f"{len(others)} files in {folder} are not used ({some_of(others, 3)}): masks are PNG files")
    found, left = masks_of(pictures, masks)
    if left:
        lost.append(
            f"{len(left)} masks in {folder} belong to no picture ({some_of([path.name for path in left], 3)}); "
            "give each the name of its picture"
        )
    if not files:
        lost.append(f"{folder} holds no masks")
    return found


def _fitting(values: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """(H, W) values as they are.  Raises RecordingError unless they have the size of their picture."""
    if values.shape != size:
        raise RecordingError(
            f"{path} has {values.shape[1]}x{values.shape[0]} pixels and its picture (turned as its EXIF "
            f"data say) {size[1]}x{size[0]}; give both one size"
        )
    return values


def _holds_ids(path: Path) -> bool:
    try:
        return holds_ids(read_labels(path, lambda: True))
    except RecordingError:  # reported when this image is read
        return False


def _content(file: Path, what: str, *lists: str) -> dict[str, Any]:
    """The content of a JSON file, an object with lists of these names.  Raises RecordingError."""
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise RecordingError(f"{file} is not {what}: {error or type(error).__name__}") from error
    missing = [name for name in lists if not isinstance(content, dict) or not isinstance(content.get(name), list)]
    if missing:
        raise RecordingError(f"{file} is not {what}: it has no list {missing[0]}")
    return content


def _sequence_of(video: Any) -> str | None:
    """The name of the folder with the pictures of a video; None if ``video`` has none."""
    names = video.get("file_names") if isinstance(video, dict) else None
    first = names[0] if isinstance(names, list) and names else None
    return Path(first).parent.name if isinstance(first, str) else None
