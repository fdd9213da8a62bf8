# PYTHON_ARGCOMPLETE_OK
"""The command line: find the command, parse, run it.  Heavy libraries are imported only before a command is run."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn, Protocol, cast

from sam2_ros import cpu_threads, interrupts, middleware
from sam2_ros.errors import Sam2RosError
from sam2_ros.installation import what_is_missing

#: Command, whose options are in commands/: the module that does its work, and what the command does.
COMMANDS = {
    "node": ("sam2_ros.ros.node", "track the images of a ROS topic"),
    "segment": ("sam2_ros.file_processing.segment", "segment objects in one picture"),
    "track": ("sam2_ros.file_processing.track", "follow objects through a video, a folder of pictures or a bag"),
    "evaluate": ("sam2_ros.evaluation.batch", "measure the tracker on recordings, and write a report"),
    "compare": ("sam2_ros.evaluation.compare", "compare evaluations"),
    "export": ("sam2_ros.evaluation.export", "write the masks of an evaluation as a data set"),
    "export-onnx": ("sam2_ros.engines.onnx", "write a model as ONNX files, for TensorRT and other engines"),
    "quantise": ("sam2_ros.engines.quantisation", "convert the image encoder to int8 for OpenVINO, with your images"),
    "replay": ("sam2_ros.file_processing.result_bag", "run the tracker over a recording again, into a new bag"),
    "record": ("sam2_ros.ros.record_bag", "record a running node into a bag"),
    "play": ("sam2_ros.ros.play_bag", "publish a bag to a running node"),
    "demo": ("sam2_ros.demo.run", "run a camera, the node and a simulated operator on this machine"),
    "download": (
        "sam2_ros.model.downloads",
        "download published weights in advance, or install a file that was copied here",
    ),
    "doctor": ("sam2_ros.doctor", "check what would stop the node on this machine, and print what a bug report needs"),
    "train": ("sam2_ros.training.train", "train or fine-tune a model"),
}
#: Commands that start ROS, which takes signals as well: they take them by themselves.
ON_ROS = {"node", "record", "play", "demo"}
#: Said at the end of ``sam2_ros --help``.
EPILOG = """\
exit codes:
  0        the command did its work; node, record and play also end with 0 after Ctrl-C
  1        it could not do its work, or not all of it: a sentence on standard error gives the reason and the remedy
  2        wrong usage: an unknown command or option, or a value that is not possible
  128 + N  signal N ended it, and it removed half-written results: 130 after Ctrl-C, 143 after SIGTERM

completion of commands, options and their values with the tab key, in bash:
  eval "$(register-python-argcomplete sam2_ros)"
In zsh first: autoload -U compinit bashcompinit && compinit && bashcompinit
"""


class Command(Protocol):
    """A module in commands/."""

    __doc__: str | None

    def add_options(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, parsed: argparse.Namespace, /) -> int: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what follows the command's name is its own to parse.

    What sam2_ros refuses, and what the system does, is one sentence on standard error and the exit code 1.
    """
    cpu_threads.prepare()
    _print_every_name()
    _complete()
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = _parser().parse_args(given[:1]).command
    try:
        return _run(command, given[1:])
    except Sam2RosError as error:
        print(f"sam2_ros {command}: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"sam2_ros {command} {what_is_missing(error)}", file=sys.stderr)
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


def _parser(complete: Collection[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command's name; complete: commands whose options it knows as well."""
    parser = argparse.ArgumentParser(
        prog="sam2_ros",
        description="Follow objects in a camera stream with SAM 2.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        one = commands.add_parser(name, help=text, add_help=name in complete)
        if name in complete:
            command_of(name).add_options(one)
    return parser


class _Version(argparse.Action):
    """Looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from sam2_ros import __version__

        print(f"sam2_ros {__version__}")
        parser.exit()


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command's options."""
    module = command_of(command)
    title, _, more = (module.__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog=f"sam2_ros {command}",
        description=title,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(parser)
    return parser


def command_of(name: str) -> Command:
    return cast(Command, importlib.import_module(f"sam2_ros.commands.{name.replace('-', '_')}"))


def _complete() -> None:
    """Where the shell asks which words can follow, answer and end the process."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(_parser(os.environ.get("COMP_LINE", "").split()))


def _run(command: str, arguments: Sequence[str]) -> int:
    parsed = parse(command, list(arguments))
    with interrupts.immediate():
        if command in ON_ROS:
            middleware.check_choice()
        importlib.import_module(COMMANDS[command][0])
    run = command_of(command).run
    code = run(parsed) if command in ON_ROS else _interruptible(run, parsed)
    sys.stdout.flush()
    return code


def parse(command: str, words: list[str]) -> argparse.Namespace:
    """The options of a command; what begins with --ros-args is left as it is, where the command takes it."""
    parser, own = parser_of(command), argparse.Namespace()
    if command == "node" and "--ros-args" in words:
        start = words.index("--ros-args")
        words, own.ros_args = words[:start], words[start:]
    return parser.parse_args(words, own)


def _interruptible(run: Callable[[argparse.Namespace], int], parsed: argparse.Namespace) -> int:
    """Run a command that any signal which ends a process interrupts once: what is half written is then cleared away."""
    with interrupts.Interrupts() as signals:
        try:
            with signals.raised():
                return run(parsed)
        except KeyboardInterrupt:
            return 128 + (signals.came or signal.SIGINT)  # raised without a signal, by a library


def _drop_output() -> None:
    """Drop output that could not be written, so that Python does not try again when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_every_name() -> None:
    """File names need not be valid text: both outputs show escapes for them, also when they are other streams."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
