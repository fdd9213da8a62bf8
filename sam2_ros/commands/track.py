"""Follow objects through a recording.

    sam2_ros track demo.mp4 --name cup --point 320,240 --name hand --frame 12 --box 10,20,90,120 --out out

Options are read from left to right: --name and --frame choose the object and the image of the points,
boxes and masks that come after them.  The tracker is the node's own.

Pictures write a name that is not ASCII as "#" and the id of its object; states.jsonl holds it in full.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options, prompt_options
from sam2_ros.files import make_folder
from sam2_ros.ranges import limits_of


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="VIDEO|FOLDER|BAG")
    prompt_options.add_prompts(parser, frames=True)
    options.add_image_topic(parser)
    options.add_image_range(parser)
    options.add_model(parser)
    options.add_out(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.model import checkpoint
    from sam2_ros.offline.follow import follow, refuse_former_results
    from sam2_ros.tracking.tracker import Tracker

    refuse_former_results(parsed.out, parsed.source)  # said before a model is loaded
    limits_of(parsed.image_range)
    prompts = prompt_options.prompts_of(parsed)
    make_folder(parsed.out)
    tracker = Tracker(checkpoint.load(parsed.model, parsed.device))
    count, lost = follow(parsed.source, prompts, tracker, parsed.out, parsed.image_topic, parsed.image_range)
    for sentence in lost:
        print(sentence)
    print(f"{count} images; results in {parsed.out}")
    return 0
