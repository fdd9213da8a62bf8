"""Run the tracker over a recording again, into a new bag.

    sam2_ros replay kitchen.mcap --out replayed             every image, as fast as possible, the same each time
    sam2_ros replay kitchen.mcap --out replayed --on-clock  images for which it is too slow are dropped

Recorded prompts and removals are applied again at their images, with the model and the parameters that sam2_ros record
stored, unless you choose others.  All messages that ROS 2 recorded are copied unchanged, even damaged ones.  Masks and
objects are written as the node publishes them, with the header of their image and, where the bag holds registered
depth, with positions in metres.  Images of a folder or a video become messages.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recording",
        type=Path,
        metavar="BAG|FOLDER|VIDEO",
        help="objects are followed only if it holds prompts",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="folder of the new bag")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="also write label images")
    parser.add_argument("--on-clock", action="store_true", help="drop the images that this machine is too slow for")
    options.add_model(parser, recorded=True)
    options.add_engine(parser, recorded=True)
    options.add_settings(parser)
    options.add_threads(parser, "one for each core")
    options.add_image_topic(parser)
    options.add_depth_topics(parser)
    options.add_prompted_node(parser)
    options.add_image_range(parser, recorded=True)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.file_processing.result_bag import replay_into_bag
    from sam2_ros.stream.tracker_setup import TrackerSetup, settings_from

    settings = tuple(settings_from(parsed.set, parsed.image_range).items())
    written = replay_into_bag(
        parsed.recording,
        TrackerSetup(parsed.model, parsed.device, settings, parsed.image_side, parsed.engine),
        parsed.out,
        print,
        threads=parsed.threads or os.cpu_count() or 1,
        on_clock=parsed.on_clock,
        labels=parsed.labels,
        image_topic=parsed.image_topic,
        depth_topic=parsed.depth_topic,
        camera_info_topic=parsed.camera_info_topic,
        node=parsed.node,
    )
    print(f"{written.images} images, {written.dropped} dropped, {written.prompts} prompts; results in {parsed.out}")
    return 0
