"""Track the images of a ROS topic.

Parameters and topics are set as for every ROS node:

    sam2_ros node --ros-args -p model:=embedded -r image:=/camera/image_raw

config/track.yaml lists all parameters.
"""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="...",
        help="parameters (-p NAME:=VALUE, --params-file FILE), topics and names (-r FROM:=TO)",
    )


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.ros.node import main

    return main(parsed.ros_args)
