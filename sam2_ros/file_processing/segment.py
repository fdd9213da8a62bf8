"""Segments objects in one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sam2_ros import drawing
from sam2_ros.errors import RecordingError
from sam2_ros.file_processing.track_values import values_of
from sam2_ros.files import write_whole
from sam2_ros.ranges import AUTO, Range
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.pictures import picture_of, write_picture
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.types import Frame, Prompt, Track, label_image


def segment(
    image: Path, prompts: Sequence[tuple[int, Prompt]], setup: TrackerSetup, out: Path, image_range: str = AUTO
) -> Sequence[Track]:
    """Segment one picture; writes masks.png (labels), overlay.png and result.json into ``out``.

    Files of these names are replaced.  image_range: how 16 bits become 8, see ``ranges.Range``.
    Raises RecordingError, InvalidPrompt and CheckpointError.
    """
    if not image.is_file():
        raise RecordingError(f"there is no picture {image}")
    picture, labels = picture_of(image, Range(image_range)), LabelWriter(out)
    tracker = setup.tracker()  # what takes long comes after what may be refused
    tracker.track(Frame(picture))
    for _, prompt in prompts:
        tracker.prompt(prompt)
    tracks = tracker.newest()
    labels.write(label_image(tracks, picture.shape[:2]), "masks")
    write_picture(out / "overlay.png", drawing.overlay(picture, tracks))
    write_whole(out / "result.json", json.dumps([values_of(track) for track in tracks], indent=1) + "\n")
    return tracks
