"""Publish a bag to a running node.

    sam2_ros play kitchen                         the camera and the prompts again, with /clock
    sam2_ros play kitchen --start 12.5 --loop     from 12.5 s on, again and again until Ctrl-C

Recorded masks and objects are left out unless --topics names them.  Bags of ros2 bag can be played as well.  The exit
code is 1 if nothing was published.
"""

from __future__ import annotations

import argparse
from pathlib import Path

#: Seconds of a recording without a message that are waited for.
LONGEST_GAP = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bag", type=Path, metavar="BAG")
    add("--topics", nargs="+", default=(), metavar="TOPIC", help="publish these topics only")
    add("--rate", type=float, default=1.0, help="speed; 1 = as recorded")
    add(
        "--start",
        "--start-offset",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="begin this long after the first message",
    )
    add("--loop", "-l", action="store_true", help="begin again at the end, until Ctrl-C")
    add("--no-clock", action="store_true", help="do not publish /clock")
    add(
        "--longest-gap",
        type=float,
        default=LONGEST_GAP,
        metavar="SECONDS",
        help="skip pauses longer than this; inf = skip none (%(default)g)",
    )


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.ros.play_bag import play
    from sam2_ros.ros.player import Playback

    topics = [f"/{topic.removeprefix('/')}" for topic in parsed.topics]
    how = Playback(
        rate=parsed.rate,
        clock=not parsed.no_clock,
        start=parsed.start,
        loop=parsed.loop,
        longest_gap=parsed.longest_gap,
    )
    count = play(parsed.bag.expanduser(), topics, how)
    print(f"{count} messages played")
    return 0 if count else 1
