"""Segment objects in one picture.

    sam2_ros segment cup.jpg --point 320,240 --out out
    sam2_ros segment table.jpg --name cup --box 10,20,90,120 --name hand --point 200,80 --out out

Options are read from left to right: --name chooses the object of the points, boxes and masks after it.
It uses the same tracker as the node, and writes masks.png (label image), overlay.png and result.json.

If a name is not ASCII, pictures show "#" and the id of its object; result.json has the name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options, prompt_options


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IMAGE")
    prompt_options.add_prompts(parser, frames=False)
    options.add_image_range(parser)
    options.add_model(parser)
    options.add_engine(parser)
    options.add_out(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.file_processing.segment import segment
    from sam2_ros.stream.tracker_setup import TrackerSetup

    prompts = prompt_options.prompts_from(parsed.said)
    setup = TrackerSetup(parsed.model, parsed.device, chosen_side=parsed.image_side, chosen_engine=parsed.engine)
    for track in segment(parsed.source, prompts, setup, parsed.out, parsed.image_range):
        print(f"{track.name}: {track.area} pixels, predicted IoU {track.predicted_iou:.2f}")
    print(f"results in {parsed.out}")
    return 0
