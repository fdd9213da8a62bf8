"""The command line: parse, call one function.  Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

#: Command: where its function ``main(arguments) -> exit code`` lives, and what it does.
COMMANDS = {
    "node": ("sam2_ros.ros.node", "track the images of a ROS topic"),
    "demo": ("sam2_ros.demo.run", "a camera, the node and an operator who clicks, on this machine"),
    "train": ("sam2_ros.training.run", "train or fine-tune a model"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what follows the command's name is its own to parse."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="sam2_ros", description="Follow objects in a camera stream with SAM 2.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    command = parser.parse_args(arguments[:1]).command
    return importlib.import_module(COMMANDS[command][0]).main(arguments[1:]) or 0
