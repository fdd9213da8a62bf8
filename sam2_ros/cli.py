"""The command line: parse, call one function.  Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from sam2_ros import cpu_threads, interrupts, middleware
from sam2_ros.errors import Sam2RosError

#: Command: where its function ``main(arguments) -> exit code`` is, and what the command does.
COMMANDS = {
    "node": ("sam2_ros.ros.node:main", "track the images of a ROS topic"),
    "segment": ("sam2_ros.commands.offline:main_segment", "segment objects in one picture"),
    "track": ("sam2_ros.commands.offline:main_track", "follow objects through a video, a folder of pictures or a bag"),
    "evaluate": ("sam2_ros.commands.evaluate:main", "turn recordings into numbers and a report"),
    "compare": ("sam2_ros.evaluation.compare:main", "put evaluations side by side"),
    "export": ("sam2_ros.evaluation.export:main", "write the masklets of an evaluation as a data set"),
    "replay": ("sam2_ros.evaluation.result_bag:main", "run the tracker over a recording again, into a new bag"),
    "record": ("sam2_ros.commands.live:main_record", "record a running node into a bag"),
    "play": ("sam2_ros.commands.live:main_play", "publish a bag to a running node"),
    "demo": ("sam2_ros.demo.run:main", "a camera, the node and an operator who clicks, on this machine"),
    "train": ("sam2_ros.training.train:main", "train or fine-tune a model"),
}
#: Commands that start ROS, which takes signals as well: they take them by themselves.
ON_ROS = {"node", "record", "play", "demo"}
#: Generated where the package is built, by pip or colcon.
GENERATED = ("sam2_ros.msg", "sam2_ros.srv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what follows the command's name is its own to parse.

    What sam2_ros refuses, and what the system does, is one sentence on standard error and the exit code 1.
    """
    cpu_threads.prepare()
    _print_every_name()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="sam2_ros", description="Follow objects in a camera stream with SAM 2.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    command = parser.parse_args(given[:1]).command
    try:
        return _run(command, given[1:])
    except Sam2RosError as error:
        print(f"sam2_ros {command}: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"sam2_ros {command} {_missing(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads the output has seen enough, as in: sam2_ros compare A B | head
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        print(f"sam2_ros {command}: {what}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if arguments is None:  # the process ends here, and a Ctrl-C has nothing more to say
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _drop_output() -> None:
    """What could not be written to the standard output is not tried again when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: str, arguments: Sequence[str]) -> int:
    module, function = COMMANDS[command][0].split(":")
    with interrupts.immediate():
        if command in ON_ROS:
            middleware.check_choice()
        call = getattr(importlib.import_module(module), function)
    code = (call(arguments) if command in ON_ROS else _interruptible(call, arguments)) or 0
    sys.stdout.flush()
    return code


def _interruptible(call: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command that any signal which ends a process interrupts once: what is half written is then cleared away."""
    with interrupts.Interrupts() as signals:
        try:
            with signals.raised():
                return call(arguments)
        except KeyboardInterrupt:
            return 128 + (signals.came or signal.SIGINT)  # raised without a signal, by a library


def _missing(error: ImportError) -> str:
    """What a command needs that cannot be imported; raises ``error`` again where the fault is ours."""
    name = error.name or ""
    if name in GENERATED:
        return (
            f"needs the messages in {name}, which are not built here; "
            "build the package with pip or colcon, and source it"
        )
    if name.partition(".")[0] in ("", "sam2_ros"):
        raise error
    if name == "rclpy" and isinstance(error, ModuleNotFoundError):
        return (
            "needs ROS 2, whose module rclpy is not found here: on a robot build this package with colcon and "
            "source it; pip brings ROS 2 on Linux x86-64 only, and not where SAM2_ROS_WITHOUT_ROS was set"
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"needs the Python module {name}, which is not installed here; the README says how to install what it needs"
        )
    return f"cannot load {name}: {str(error).splitlines()[0]}; is ROS sourced, and is it of this Python?"


def _print_every_name() -> None:
    """File names need not be valid text: both outputs show escapes for them, also when they are other streams."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
