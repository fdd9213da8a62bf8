"""Convert the image encoder of a model to int8 for OpenVINO, calibrated with images like those of your camera.

    sam2_ros quantise embedded kitchen.mcap
    sam2_ros quantise tiny pictures/ --image-side 512
    sam2_ros track kitchen.mp4 --model tiny_512 --engine openvino_int8 ...

The encoder is kept in the cache, one for each model and image side; an earlier one is replaced.  The gain depends on
the processor, and masks get a little worse: see docs/engines.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    words = "a known name or the path of a checkpoint"
    options.suggest(parser.add_argument("model", metavar="MODEL", help=words), options.models)
    words = "images that show what the camera will see; at most 64, evenly spread, are used"
    parser.add_argument("images", type=Path, metavar="BAG|FOLDER|VIDEO", help=words)
    options.add_image_side(parser)
    options.add_image_topic(parser)
    options.add_image_range(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.engines import quantisation
    from sam2_ros.model import checkpoint

    topics = {"image_topic": parsed.image_topic} if parsed.image_topic else {}
    model = checkpoint.load(parsed.model, "cpu", parsed.image_side)
    quantisation.quantise(model, parsed.images, print, image_range=parsed.image_range, **topics)
    return 0
