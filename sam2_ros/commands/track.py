"""Follow objects through a recording.

    sam2_ros track demo.mp4 --name cup --point 320,240 --name hand --frame 12 --box 10,20,90,120 --out out

Options are read from left to right: --name and --frame choose the object and the image of the points,
boxes and masks after them.  It uses the same tracker as the node, and writes label images into masks/,
overlay.mp4, sheet.png and states.jsonl.

In a bag with depth that is registered to the images, objects have positions in metres: in states.jsonl, and as
distances in overlay.mp4.

If a name is not ASCII, pictures show "#" and the id of its object; states.jsonl has the name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options, prompt_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="VIDEO|FOLDER|BAG")
    prompt_options.add_prompts(parser, frames=True)
    options.add_image_topic(parser)
    options.add_depth_topics(parser)
    options.add_image_range(parser)
    options.add_model(parser)
    options.add_engine(parser)
    options.add_out(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.file_processing.track import track
    from sam2_ros.stream.tracker_setup import TrackerSetup

    prompts = prompt_options.prompts_from(parsed.said)
    setup = TrackerSetup(parsed.model, parsed.device, chosen_side=parsed.image_side, chosen_engine=parsed.engine)
    count, sentences = track(
        parsed.source,
        prompts,
        setup,
        parsed.out,
        parsed.image_range,
        image_topic=parsed.image_topic,
        depth_topic=parsed.depth_topic,
        camera_info_topic=parsed.camera_info_topic,
    )
    for sentence in sentences:
        print(sentence)
    print(f"{count} images; results in {parsed.out}")
    return 0
