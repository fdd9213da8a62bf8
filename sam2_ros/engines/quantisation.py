"""The image encoder of a model in int8, for the engine OpenVINO: made once, from images like those of the camera.

    sam2_ros quantise embedded kitchen.mcap

NNCF, the tool of OpenVINO for it, looks at the values that these images bring about, and fits the steps of int8 to
them.  What it makes is kept in the cache of the user, under the checksum of the weights and the image side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros import recordings
from sam2_ros.engines import openvino
from sam2_ros.errors import CheckpointError, RecordingError, first_sentence
from sam2_ros.files import shown
from sam2_ros.model.downloads import ELSEWHERE, alone
from sam2_ros.model.pixels import normalise
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EFFICIENTNET_STAGES, HIERA
from sam2_ros.types import Frame

#: Said where it is wanted and not installed.
MISSING = "quantising needs NNCF, which is not installed here: pip install 'sam2_ros[int8]'"
#: Layers of an EfficientNet that stay in float32: in the first ones large numbers nearly cancel each other.
EXACT = r".*\.trunk\.(stem|blocks\.[0-2]\.).*"
#: Images that are used: the most, of a long recording at least half of it; and how few are worth a warning.
MOST, FEW = 64, 16


def quantise(model: SAM2, path: Path, tell: Callable[[str], object], **options: Any) -> Path:
    """Make the encoder in int8 of a model on a CPU from the recordings at ``path``; the folder where it is kept.

    tell: called with each sentence that a user must know.  options: of ``recordings.find``.
    Raises MissingDependency, RecordingError, InvalidInput, and CheckpointError where it cannot be made.
    """
    nncf = openvino.imported("nncf", MISSING)
    images = _inputs(chain.from_iterable(recordings.find(path, **options)), model.size.image_size)
    if not images:
        raise RecordingError(f"{shown(path)} holds no image")
    if len(images) < FEW:
        tell(f"{shown(path)} holds {len(images)} images; int8 is better with {FEW} that show all the camera sees")
    folder = openvino.int8_folder(model)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, "quantises a model into"), openvino.unreported():  # NNCF imports when it begins
            _make(nncf, model, images, folder)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder} ({error.strerror or error}); {ELSEWHERE}") from error
    except RuntimeError as error:  # of OpenVINO and NNCF
        raise CheckpointError(f"NNCF cannot quantise this model ({error})") from error
    tell(f"{folder}: the encoder in int8, from {len(images)} images; use it with the engine openvino_int8")
    return folder


def _inputs(frames: Iterable[Frame], side: int) -> list[np.ndarray]:
    """At most ``MOST`` images as the encoder takes them, spread over all."""
    kept: list[np.ndarray] = []
    every = 1
    for number, frame in enumerate(frames):
        if number % every:
            continue
        kept.append(normalise(frame.image, side).numpy())
        if len(kept) > MOST:
            kept, every = kept[::2], 2 * every
    return kept


def _make(nncf: Any, model: SAM2, images: list[np.ndarray], folder: Path) -> None:
    library, trunk = openvino.imported(), model.size.trunk
    whole = openvino.read_networks(library, library.Core(), model)["encoder"]
    nncf.set_log_level(logging.WARNING)
    try:
        quantised = nncf.quantize(
            whole,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,  # activations below zero get steps of their own
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER if trunk == HIERA else None,
            ignored_scope=nncf.IgnoredScope(patterns=[EXACT]) if trunk in EFFICIENTNET_STAGES else None,
        )
    except Exception as error:  # of several kinds that have only this base
        raise RuntimeError(first_sentence(error)) from error
    with openvino.written_whole(folder) as unfinished:
        openvino.save(library, quantised, unfinished / "encoder.xml")
