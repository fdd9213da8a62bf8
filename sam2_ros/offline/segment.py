"""Objects in one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sam2_ros import drawing
from sam2_ros.files import write_whole
from sam2_ros.offline.described import describe
from sam2_ros.ranges import AUTO, Range
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.pictures import picture_of, write_picture
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt, Track, label_image


def segment(
    image: Path, prompts: Sequence[tuple[int, Prompt]], tracker: Tracker, out: Path, image_range: str = AUTO
) -> list[Track]:
    """Segment one picture; writes masks.png (labels), overlay.png and result.json into ``out``.

    Files of these names are replaced.  image_range: how 16 bits become 8, see ``ranges.Range``.
    Raises RecordingError and InvalidPrompt.
    """
    picture = picture_of(image, Range(image_range))
    tracker.track(Frame(picture))
    for _, prompt in prompts:
        tracker.prompt(prompt)
    tracks = tracker.current()
    LabelWriter(out).write(label_image(tracks, picture.shape[:2]), "masks")
    write_picture(out / "overlay.png", drawing.overlay(picture, tracks))
    write_whole(out / "result.json", json.dumps([describe(track) for track in tracks], indent=1) + "\n")
    return tracks
