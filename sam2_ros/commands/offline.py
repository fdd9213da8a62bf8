"""The tracker without ROS: segment one image, or follow objects through a video or folder.

    sam2_ros segment cup.jpg --point 320,240 --out out
    sam2_ros track demo.mp4 --name cup --point 320,240 --name hand --frame 12 --box 10,20,90,120 --out out

Both run the node's own tracker.  Options are read from left to right: --name and --frame say
whose the points, boxes and masks that follow are, and on which image.

Pictures write a name that is not ASCII as "#" and the id of its object; states.jsonl and result.json hold it in full.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sam2_ros import drawing, recordings
from sam2_ros.errors import InvalidPrompt, RecordingError
from sam2_ros.files import write_whole
from sam2_ros.model import checkpoint
from sam2_ros.ranges import AUTO, HELP, Range, limits_of
from sam2_ros.recordings.bags import Bag, refuse_without_bag
from sam2_ros.recordings.folders import PictureFolder
from sam2_ros.recordings.labels import LabelWriter, read_labels
from sam2_ros.recordings.pictures import picture_of, write_picture
from sam2_ros.recordings.video_writer import MPEG4, VideoWriter
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt, Track, label_image

#: Pictures on the contact sheet of a tracked video.
SHEET = 12
#: What ``follow`` writes.
RESULTS = ("masks", "overlay.mp4", "states.jsonl", "sheet.png")
#: Said of a video that some people will not be able to look at.
NO_H264 = (
    "overlay.mp4 is MPEG-4 Part 2, because the OpenCV of this machine writes no H.264: VLC and ffplay show it, "
    "browsers do not; to convert it: ffmpeg -i overlay.mp4 -c:v libx264 -pix_fmt yuv420p overlay_h264.mp4"
)


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


def follow(
    source: Path,
    prompts: Sequence[tuple[int, Prompt]],
    tracker: Tracker,
    out: Path,
    image_topic: str = "",
    image_range: str = AUTO,
) -> tuple[int, list[str]]:
    """Follow the prompted objects through a video, folder or bag; the number of images, and what there is to say.

    Writes masks/*.png (labels), overlay.mp4, sheet.png and states.jsonl (one line for each
    image) into ``out``, which holds none of them yet.  The sentences are on what was lost, and on
    the codec of the video.  Raises RecordingError and InvalidPrompt; then, and after Ctrl-C,
    nothing is left of them.
    """
    recording = recordings.open(source, image_topic=image_topic, image_range=image_range)
    refuse_without_bag(recording, image_topic=image_topic)
    waiting = sorted(prompts, key=lambda item: item[0])
    _refuse_unreachable(waiting, recording)
    refuse_former_results(out, source)
    try:
        count, codec = _follow(recording, waiting, tracker, out)
    except BaseException as error:  # the next try would be refused for the remains of this one
        for name in RESULTS:
            shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RecordingError(f"cannot write the results in {out}: {error.strerror or error}") from error
        raise
    return count, [*[NO_H264] * (codec == MPEG4), *recording.lost]


def _follow(
    recording: recordings.Recording, waiting: list[tuple[int, Prompt]], tracker: Tracker, out: Path
) -> tuple[int, str]:
    """The number of images and the codec of the video."""
    labels, tiles = LabelWriter(out / "masks"), _Tiles(recording.frames)
    count = 0
    with VideoWriter(out / "overlay.mp4", recording.rate or 10.0) as video, open(out / "states.jsonl", "w") as states:
        for count, (frame, tracks) in enumerate(_steps(recording, waiting, tracker), start=1):
            stem = recording.stem(count - 1)
            labels.write(label_image(tracks, frame.size), stem)
            picture = drawing.overlay(frame.image, tracks)
            video.write(picture)
            tiles.offer(count - 1, picture)
            line = {
                "frame": count - 1,
                "image": stem,
                "stamp": frame.stamp,
                "objects": [describe(track) for track in tracks],
            }
            states.write(json.dumps(line) + "\n")
    if waiting:
        raise InvalidPrompt(
            f"--frame {waiting[0][0]} was never reached: {recording.path} has {count} images, counted from 0"
        )
    write_picture(out / "sheet.png", drawing.contact_sheet(tiles.pictures, 4, tiles.captions))
    return count, video.codec


def _refuse_unreachable(waiting: Sequence[tuple[int, Prompt]], recording: recordings.Recording) -> None:
    """Before the model has gone through all of it; videos may hold more or less than they say."""
    if isinstance(recording, (PictureFolder, Bag)) and waiting and waiting[-1][0] >= recording.frames:
        raise InvalidPrompt(
            f"--frame {waiting[-1][0]} is not in {recording.path}, which has {recording.frames} images, counted from 0"
        )


def refuse_former_results(out: Path, source: Path) -> None:
    """RecordingError where results lie already: two runs in one folder would be a mixture of both."""
    if out.exists() and source.exists() and out.samefile(source):
        raise RecordingError(f"{out} is the recording itself; name another folder with --out")
    found = [name for name in RESULTS if (out / name).exists()]
    if found:
        raise RecordingError(f"{out} holds results already ({', '.join(found)}); name another folder with --out")


def describe(track: Track) -> dict[str, Any]:
    """What is written about one object on one image; boxes and centroids in pixels."""
    return {
        "id": track.id,
        "name": track.name,
        "state": track.state.name,
        "occluded": track.occluded,
        "object_score": round(track.object_score, 4),
        "probability": round(track.probability, 4),
        "predicted_iou": round(track.predicted_iou, 4),
        "box": track.box,
        "centroid": track.centroid,
        "area": track.area,
        "frames_since_seen": track.frames_since_seen,
        "prompted_frames": track.prompted_frames,
    }


def _steps(
    recording: Iterable[Frame], waiting: list[tuple[int, Prompt]], tracker: Tracker
) -> Iterator[tuple[Frame, list[Track]]]:
    """Each frame with its tracks; prompts are taken from the front of ``waiting`` when their frame comes.

    The order is that of the file, whatever the stamps: one that goes back or comes twice would cost an image its masks.
    """
    total = getattr(recording, "frames", None)
    for index, frame in enumerate(tqdm(recording, total=total, unit="image", disable=not sys.stderr.isatty())):
        tracks = tracker.track(Frame(frame.image))
        while waiting and waiting[0][0] == index:
            tracks = tracker.prompt(waiting.pop(0)[1]).newest
        yield frame, tracks


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


# -- the command line ------------------------------------------------------------------------


class _Said(argparse.Action):
    """Keeps every prompt option in the order in which it was said."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        namespace.said = [*(getattr(namespace, "said", None) or []), (self.dest, value)]


def prompts_from(said: Sequence[tuple[str, Any]]) -> list[tuple[int, Prompt]]:
    """Gather options in their order into (frame index, Prompt).  Raises InvalidPrompt."""
    name, index, gathered = "object", 0, {}
    _refuse_idle(said)
    for option, value in said:
        if option == "name":
            name = value
        elif option == "frame":
            index = value
        else:
            parts = gathered.setdefault((index, name), {"points": [], "labels": []})
            if option == "point":
                parts["points"].append(value[:2])
                parts["labels"].append(value[2])
            elif option in parts:
                raise InvalidPrompt(f"two of --{option} for {name!r} on image {index}; put --name before the second")
            else:
                parts[option] = value
    if not gathered:
        raise InvalidPrompt("say what to look for with --point x,y, --box x0,y0,x1,y1 or --mask FILE")
    return [(index, Prompt(name, **parts)) for (index, name), parts in gathered.items()]


def _refuse_idle(said: Sequence[tuple[str, Any]]) -> None:
    """InvalidPrompt for a --name or --frame that no prompt follows: it would say nothing about those before it."""
    idle: dict[str, Any] = {}
    for option, value in [*said, ("name", None), ("frame", None)]:
        if option not in ("name", "frame"):
            idle.clear()
        elif option in idle:
            raise InvalidPrompt(
                f"no --point, --box or --mask comes after --{option} {idle[option]}; it is for those that "
                "come after it, so put it before them"
            )
        else:
            idle[option] = value


def _numbers(text: str, counts: tuple[int, ...], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}, in pixels")
    return numbers


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an image; they are counted from 0")
    return int(text)


def _point(text: str) -> tuple[float, float, int]:
    x, y, *label = _numbers(text, (2, 3), "x,y or x,y,0")
    if label and label[0] not in (0, 1):
        raise argparse.ArgumentTypeError(f"the third number of {text!r} is 1 (on the object) or 0 (not on it)")
    return x, y, int(label[0]) if label else 1


def _box(text: str) -> tuple[float, ...]:
    return tuple(_numbers(text, (4,), "x0,y0,x1,y1"))


def _mask(text: str) -> np.ndarray:
    try:
        return read_labels(Path(text)) > 0
    except RecordingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser(command: str, source: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"sam2_ros {command}",
        description=description,
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar=source)
    parser.add_argument("--point", action=_Said, type=_point, metavar="x,y[,0]", help="a click; ,0 = not on the object")
    parser.add_argument("--box", action=_Said, type=_box, metavar="x0,y0,x1,y1", help="a box around the object")
    parser.add_argument("--mask", action=_Said, type=_mask, metavar="PNG", help="the object's mask; 0 = not on it")
    parser.add_argument("--name", action=_Said, metavar="NAME", help="whose the prompts that follow are")
    if command == "track":
        parser.add_argument(
            "--frame",
            action=_Said,
            type=_index,
            metavar="N",
            help="on which image, from 0, the prompts that follow are",
        )
        parser.add_argument("--image-topic", default="", metavar="TOPIC", help="the camera's topic in a bag")
    parser.add_argument("--image-range", default=AUTO, metavar="RANGE", help=HELP)
    parser.add_argument("--model", default="embedded", help="a known name or the path of a checkpoint (%(default)s)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; auto = a GPU if there is one")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results are written")
    return parser


def main_segment(arguments: Sequence[str]) -> int:
    """``sam2_ros segment``."""
    parsed = _parser("segment", "IMAGE", "Segment objects in one picture.").parse_args(arguments)
    if not parsed.source.is_file():  # said before a model is loaded
        raise RecordingError(f"there is no picture {parsed.source}")
    prompts, tracker = _prepared(parsed)
    for track in segment(parsed.source, prompts, tracker, parsed.out, parsed.image_range):
        print(f"{track.name}: {track.area} pixels, predicted IoU {track.predicted_iou:.2f}")
    print(f"results in {parsed.out}")
    return 0


def main_track(arguments: Sequence[str]) -> int:
    """``sam2_ros track``."""
    parsed = _parser("track", "VIDEO|FOLDER|BAG", "Follow objects through a recording.").parse_args(arguments)
    refuse_former_results(parsed.out, parsed.source)  # said before a model is loaded
    prompts, tracker = _prepared(parsed)
    count, lost = follow(parsed.source, prompts, tracker, parsed.out, parsed.image_topic, parsed.image_range)
    for sentence in lost:
        print(sentence)
    print(f"{count} images; results in {parsed.out}")
    return 0


def _prepared(parsed: argparse.Namespace) -> tuple[list[tuple[int, Prompt]], Tracker]:
    limits_of(parsed.image_range)
    prompts = prompts_from(getattr(parsed, "said", None) or [])
    try:
        parsed.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"cannot create the folder {parsed.out}: {error.strerror}") from error
    return prompts, Tracker(checkpoint.load(parsed.model, parsed.device), TrackerSettings())
