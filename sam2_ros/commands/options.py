"""Options that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from sam2_ros.node_settings import NodeSettings

#: Values of the parameter ``engine``.
ENGINES = next(field.metadata["choices"] for field in dataclasses.fields(NodeSettings) if field.name == "engine")
#: What holds where nothing is chosen, in front of what holds where nothing was recorded either.
RECORDED = "as recorded, else "


def add_model(parser: argparse.ArgumentParser, more: str = "", device: bool = True, recorded: bool = False) -> None:
    """``--model``, and with ``device`` also ``--image-side`` and ``--device``.

    more: what else can be named in place of a model.
    recorded: "" and None stand for what was recorded, else for the default.
    """
    default = NodeSettings.model
    words = f"a known name or the path of a checkpoint{more} ({RECORDED if recorded else ''}{default})"
    suggest(parser.add_argument("--model", default="" if recorded else default, metavar="MODEL", help=words), models)
    if device:
        add_image_side(parser, recorded)
        words = "cpu, cuda, ...; auto = a GPU if there is one"
        suggest(parser.add_argument("--device", default="auto", metavar="DEVICE", help=words), _devices)


def add_engine(parser: argparse.ArgumentParser, recorded: bool = False) -> None:
    """``--engine``; recorded: without the option it is "", for the recorded engine."""
    words = next(field.metadata["description"] for field in dataclasses.fields(NodeSettings) if field.name == "engine")
    default = NodeSettings.engine
    if recorded:
        words = f"{words} ({RECORDED}{default})"
    parser.add_argument("--engine", choices=ENGINES, default="" if recorded else default, help=words)


def add_image_side(parser: argparse.ArgumentParser, recorded: bool = False) -> None:
    """``--image-side``; recorded: None stands for the one that was recorded, else the default."""
    parser.add_argument(
        "--image-side",
        type=_side,
        default=None if recorded else 0,
        metavar="PIXELS",
        help=f"side of the square to which images are scaled; 0 = the model's own ({RECORDED if recorded else ''}0)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """``--set``, of the tracker, its session and depth."""
    words = f"a setting of tracker, session or depth; repeatable ({RECORDED}the defaults)"
    suggest(parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=words), _settings)


def add_threads(parser: argparse.ArgumentParser, default: str) -> None:
    """``--threads``; default: what holds without it, in words."""
    parser.add_argument(
        "--threads", type=positive, metavar="N", help=f"threads of the model on a CPU (default: {default})"
    )


def add_image_range(parser: argparse.ArgumentParser, recorded: bool = False) -> None:
    """``--image-range``; recorded: "" stands for the one that was recorded, else the default."""
    from sam2_ros.ranges import AUTO, HELP  # brings NumPy and OpenCV, which sam2_ros doctor may find missing

    default = f"{RECORDED}{AUTO}" if recorded else AUTO
    parser.add_argument("--image-range", default="" if recorded else AUTO, metavar="RANGE", help=f"{HELP} ({default})")


def add_image_topic(parser: argparse.ArgumentParser) -> None:
    """``--image-topic``."""
    parser.add_argument("--image-topic", default="", metavar="TOPIC", help="the camera's topic in a bag")


def add_depth_topics(parser: argparse.ArgumentParser) -> None:
    """``--depth-topic`` and ``--camera-info-topic``."""
    words = "depth in a bag that is registered to the camera's images (default: the only one)"
    parser.add_argument("--depth-topic", default="", metavar="TOPIC", help=words)
    words = "calibration of the camera in a bag (default: camera_info beside the images)"
    parser.add_argument("--camera-info-topic", default="", metavar="TOPIC", help=words)


def add_prompted_node(parser: argparse.ArgumentParser) -> None:
    """``--node``, of a bag in which prompts were recorded."""
    parser.add_argument(
        "--node",
        default="",
        metavar="NAME",
        help="the node whose prompts are used, if a bag has prompts of several nodes",
    )


def add_out(parser: argparse.ArgumentParser, what: str = "folder where results are written") -> None:
    """``--out``, without which the command does not start."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=what)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def _side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of pixels, or 0 for the model's own")
    return int(text)


def suggest(option: argparse.Action, values: Callable[..., Iterable[str]]) -> None:
    """Let the shell offer the values that ``values`` returns; argcomplete looks for them in this attribute."""
    option.completer = values  # type: ignore[attr-defined]


def models(**_: object) -> list[str]:
    from sam2_ros.model.names import known_names

    return known_names()


def _devices(**_: object) -> tuple[str, ...]:
    return "auto", "cpu", "cuda"


def _settings(**_: object) -> list[str]:
    from sam2_ros.geometry.settings import DepthSettings
    from sam2_ros.stream.settings import SessionSettings
    from sam2_ros.tracking.settings import TrackerSettings

    kinds = (SessionSettings, TrackerSettings, DepthSettings)
    return [f"{field.name}=" for kind in kinds for field in dataclasses.fields(kind)]
