"""Follows objects through a video, a folder of pictures or a bag."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sam2_ros import drawing, recordings
from sam2_ros.errors import InvalidPrompt, RecordingError
from sam2_ros.file_processing.track_values import values_of
from sam2_ros.files import make_folder
from sam2_ros.geometry.positions import distances
from sam2_ros.ranges import AUTO
from sam2_ros.recordings.bags.bag import Bag, refuse_without_bag
from sam2_ros.recordings.folders import PictureFolder
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.moments import Moment, moments_of, with_following
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.recordings.video_writer import MPEG4, VideoWriter
from sam2_ros.stream.recorded_depth import RecordedDepth
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.types import Frame, Prompt, Track, label_image

#: Pictures on the contact sheet of a tracked video.
SHEET = 12
#: What ``track`` writes.
RESULTS = ("masks", "overlay.mp4", "states.jsonl", "sheet.png")
#: Said of a video that some people will not be able to look at.
NO_H264 = (
    "overlay.mp4 is MPEG-4 Part 2, because the OpenCV of this machine writes no H.264: VLC and ffplay show it, "
    "browsers do not; to convert it: ffmpeg -i overlay.mp4 -c:v libx264 -pix_fmt yuv420p overlay_h264.mp4"
)


def track(
    source: Path,
    prompts: Sequence[tuple[int, Prompt]],
    setup: TrackerSetup,
    out: Path,
    image_range: str = AUTO,
    **topics: str,
) -> tuple[int, list[str]]:
    """Follow the prompted objects through a video, folder or bag; the number of images, and what there is to say.

    Writes masks/*.png (labels), overlay.mp4, sheet.png and states.jsonl (one line for each
    image) into ``out``, which holds none of them yet; with depth in a bag also positions.  The sentences are on what
    was lost, and on the codec of the video.  topics: image_topic, depth_topic and camera_info_topic of a bag.
    Raises RecordingError, InvalidPrompt and CheckpointError; then, and after Ctrl-C, nothing is left of them.
    """
    recording = recordings.open(source, image_range=image_range, **topics)
    refuse_without_bag(recording, **topics)
    by_frame: dict[int, list[Prompt]] = {}
    for number, prompt in prompts:
        by_frame.setdefault(number, []).append(prompt)
    _refuse_unreachable(by_frame, recording)
    _refuse_former_results(out, source)
    make_folder(out)
    tracker = setup.tracker()  # what takes long comes after what may be refused
    try:
        count, codec = _follow(recording, by_frame, tracker, RecordedDepth(recording, setup.depth()), out)
    except BaseException as error:  # the next try would be refused for the remains of this one
        for result in (out / name for name in RESULTS):
            if result.is_dir():
                shutil.rmtree(result)
            else:
                result.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RecordingError(f"cannot write the results in {out}: {error.strerror or error}") from error
        raise
    notes = [NO_H264] if codec == MPEG4 else []
    return count, notes + recording.lost


def _follow(
    recording: recordings.Recording,
    prompts: dict[int, list[Prompt]],
    tracker: ObjectTracker,
    sensor: RecordedDepth,
    out: Path,
) -> tuple[int, str]:
    """The number of images and the codec of the video; prompts: by the number of their image."""
    labels, tiles = LabelWriter(out / "masks"), _Tiles(recording.frames)
    count = 0
    with VideoWriter(out / "overlay.mp4", recording.rate or 10.0) as video, open(out / "states.jsonl", "w") as states:
        pairs = with_following(_in_order(moments_of(recording, sensor)))
        for (moment, frame), following in tqdm(pairs, total=recording.frames, unit="image", disable=None):
            if following is not None:
                tracker.prepare(following[1])
            tracks: Sequence[Track] = tracker.track(frame)
            for prompt in prompts.pop(count, ()):
                tracks = tracker.prompt(prompt).newest
            stem = recording.stem(count)
            labels.write(label_image(tracks, frame.size), stem)
            known = sensor.locate(moment, tracks).positions
            picture = drawing.overlay(frame.image, tracks, notes=distances(known))
            video.write(picture)
            tiles.offer(count, picture)
            objects = [values_of(one, known.get(one.id)) for one in tracks]
            line = {"frame": count, "image": stem, "stamp": moment.frame.stamp, "objects": objects}
            states.write(json.dumps(line) + "\n")
            count += 1
    if prompts:
        raise InvalidPrompt(
            f"--frame {min(prompts)} was never reached: {recording.path} has {count} images, counted from 0"
        )
    recording.lost += sensor.lost()
    write_picture(out / "sheet.png", drawing.contact_sheet(tiles.pictures, 4, tiles.captions))
    return count, video.codec


def _in_order(moments: Iterable[Moment]) -> Iterator[tuple[Moment, Frame]]:
    """Each with its image as a frame without a stamp: a stamp that goes back or repeats would cost it its masks."""
    for moment in moments:
        yield moment, Frame(moment.frame.image)


def _refuse_unreachable(frames: Collection[int], recording: recordings.Recording) -> None:
    """Before the model has gone through all of it; videos may hold more or less than they say."""
    counted = recording.frames if isinstance(recording, (PictureFolder, Bag)) else None
    if counted is not None and frames and max(frames) >= counted:
        raise InvalidPrompt(
            f"--frame {max(frames)} is not in {recording.path}, which has {counted} images, counted from 0"
        )


def _refuse_former_results(out: Path, source: Path) -> None:
    """RecordingError where results lie already: two runs in one folder would be a mixture of both."""
    if out.exists() and source.exists() and out.samefile(source):
        raise RecordingError(f"{out} is the recording itself; name another folder with --out")
    found = [name for name in RESULTS if (out / name).exists()]
    if found:
        raise RecordingError(f"{out} holds results already ({', '.join(found)}); name another folder with --out")


class _Tiles:
    """A few pictures spread over a recording whose length may be unknown."""

    def __init__(self, total: int | None) -> None:
        self._every = max((total or 0) // SHEET, 1)
        self.pictures: list[np.ndarray] = []
        self.captions: list[str] = []

    def offer(self, index: int, picture: np.ndarray) -> None:
        if index % self._every == 0:
            self.pictures.append(picture)
            self.captions.append(f"image {index}")
        if len(self.pictures) == 2 * SHEET:  # longer than announced: keep every second one
            self.pictures, self.captions, self._every = self.pictures[::2], self.captions[::2], 2 * self._every
