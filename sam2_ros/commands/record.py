"""Record a running node into a bag.

    sam2_ros record --out kitchen                 what /sam2_ros subscribes to and publishes, until Ctrl-C
    sam2_ros record --out kitchen --node /arm/sam2_ros /tf /joint_states

Overlay, markers and points are left out, because they follow from the rest.  ros2 bag can read the bag as well.  The
exit code is 1 if nothing was recorded.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="more topics")
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="folder of the new bag")
    parser.add_argument(
        "--node", default="/sam2_ros", help='the node whose topics are recorded; "" = none (%(default)s)'
    )
    parser.add_argument("--seconds", type=float, help="stop after this many seconds")


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.ros.record_bag import lines_of, record

    summary = record(parsed.out, parsed.topics, parsed.node, parsed.seconds)
    for line in lines_of(summary, parsed.topics):
        print(line)
    if not summary["written"]:
        what = parsed.node or "what the topics name"
        print(f"nothing was recorded: is {what} running, in this ROS_DOMAIN_ID? No bag is left")
        return 1
    print(f"recorded into {parsed.out}")
    return 0
