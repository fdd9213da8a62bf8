"""Make the image encoder of a model in int8 for the engine OpenVINO, from images like those of your camera.

    sam2_ros quantise embedded kitchen.mcap
    sam2_ros quantise tiny pictures/ --image-side 512
    sam2_ros track kitchen.mp4 --model tiny_512 --engine openvino_int8 ...

It is kept in the cache of the user, under the checksum of the weights and the image side; a former one is replaced.
What it gains depends on the processor, and masks get a little worse: see docs/engines.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    words = "a known name or the path of a checkpoint"
    options.suggest(parser.add_argument("model", metavar="MODEL", help=words), options.models)
    words = "images of all that the camera sees; at most 64 of them, spread over all, are used"
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
