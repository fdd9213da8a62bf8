"""Watch a camera, the node and an operator who clicks, boxes and corrects, on this machine.

Everything goes over real ROS topics and services, at the recording's own rate.  It ends by
itself and leaves overlay.mp4, sheet.png and result.json.
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
