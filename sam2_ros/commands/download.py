"""Download published weights in advance, or install a file that was copied here.

    sam2_ros download edgetam tiny                     into ~/.cache/sam2_ros, or $SAM2_ROS_CACHE
    sam2_ros download --list                           the known names, and which files are here
    sam2_ros download edgetam --to /media/stick        on a computer with a network ...
    sam2_ros download edgetam --from /media/stick      ... and on a robot without one

An interrupted download continues where it stopped.  Every file is checked against its published checksum, and only a
complete file is installed.  The exit code is 1 if one of the models could not be installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sam2_ros.commands import options
from sam2_ros.errors import InvalidInput, Sam2RosError


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    options.suggest(add("models", nargs="*", metavar="MODEL", help="known names"), options.models)
    add("--list", action="store_true", help="print the known names and where their files are, without a download")
    add("--to", type=Path, metavar="FOLDER", help="where to store the files (default: where the node looks for them)")
    add("--from", dest="source", type=Path, metavar="PATH", help="a file that was copied here, or its folder")


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.model import downloads

    if parsed.list:
        for line in downloads.overview(parsed.to):
            print(line)
        return 0
    _refuse_unclear(parsed)
    failed = False
    for model in parsed.models:
        try:
            print(downloads.bring(model, parsed.to, parsed.source), flush=True)
        except Sam2RosError as error:  # the others are brought all the same
            print(f"sam2_ros download: {error}", file=sys.stderr)
            failed = True
    return int(failed)


def _refuse_unclear(parsed: argparse.Namespace) -> None:
    if not parsed.models:
        raise InvalidInput("name the models to download, for example edgetam; --list prints every name")
    if parsed.source is not None and len(parsed.models) > 1 and not parsed.source.is_dir():
        raise InvalidInput(f"--from {parsed.source} is one file, and {len(parsed.models)} models are named; name one")
