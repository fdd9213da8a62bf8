"""Every kind of recording behind one door: ``open`` it and iterate over its frames."""

from __future__ import annotations

from pathlib import Path

from sam2_ros.errors import RecordingError
from sam2_ros.evaluation.events import Event, PromptEvent, Recording, Truth
from sam2_ros.evaluation.folders import VIDEO_SUFFIXES, Video, sequences_in
from sam2_ros.evaluation.labels import LabelWriter, read_labels

__all__ = ["Event", "LabelWriter", "PromptEvent", "Recording", "Truth", "find", "open", "read_labels"]


def open(path: str | Path, *, rate: float | None = None) -> Recording:  # noqa: A001 - recordings.open reads well
    """The one recording at ``path``: a video file, a folder of pictures or one sequence of a data set.

    rate: images per second of pictures that carry no times.
    Raises RecordingError when there is none, or several.
    """
    found = find(path, rate=rate)
    if len(found) > 1:
        names = ", ".join(recording.name for recording in found[:12])
        raise RecordingError(f"{path} holds {len(found)} sequences ({names}); name one of them, "
                             f"for example {found[0].path}")
    return found[0]


def find(path: str | Path, *, rate: float | None = None) -> list[Recording]:
    """Every recording at ``path``; a data set holds many.  Raises RecordingError when there is none."""
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    if path.is_dir():
        return list(sequences_in(path, rate))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return [Video(path.stem, path, rate=rate)]
    raise RecordingError(f"{path} is of no known kind; give a bag, a video ({', '.join(sorted(VIDEO_SUFFIXES))}) "
                         "or a folder of pictures")
