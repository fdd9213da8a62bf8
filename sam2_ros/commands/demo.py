"""Run a camera, the node and a simulated operator on this machine.

All three use real ROS topics and services, at the rate of the recording.  The operator clicks one object, draws a box
around another and corrects a mask.  The demo ends by itself and writes overlay.mp4, sheet.png and result.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo_out"), metavar="DIR", help="where results are written (%(default)s)")
    options.add_model(parser, device=False)
    add(
        "--recording",
        type=Path,
        metavar="FOLDER",
        help="a sequence in DAVIS layout whose first image shows at least two labelled objects (default: one of ours)",
    )
    add("--picture", type=Path, metavar="FILE.webp", help="also write a moving picture of the overlay")


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.demo.run import RECORDING, main

    return main(parsed.out, parsed.model, parsed.recording or RECORDING, parsed.picture)
