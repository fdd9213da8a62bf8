"""The prompt options of ``segment`` and ``track``.

They are read from left to right: --name and --frame choose the object and the image of the points, boxes and masks
after them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidPrompt, RecordingError
from sam2_ros.types import Prompt


def add_prompts(parser: argparse.ArgumentParser, frames: bool) -> None:
    """The options; frames: whether there are several images, of which ``--frame`` chooses one."""
    parser.set_defaults(said=())
    add = parser.add_argument
    add("--point", action=_Said, type=_point, metavar="x,y[,0]", help="a click; ,0 = not on the object")
    add("--box", action=_Said, type=_box, metavar="x0,y0,x1,y1", help="a box around the object")
    add("--mask", action=_Said, type=_mask, metavar="PNG", help="the object's mask; 0 = not on it")
    add("--name", action=_Said, metavar="NAME", help="the object of the prompts that come after it")
    if frames:
        add(
            "--frame",
            action=_Said,
            type=_index,
            metavar="N",
            help="the image of the prompts that come after it, counted from 0",
        )


class _Said(argparse.Action):
    """Keeps every prompt option in the order in which it was said."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        namespace.said = [*namespace.said, (self.dest, value)]


def prompts_from(said: Sequence[tuple[str, Any]]) -> list[tuple[int, Prompt]]:
    """What the options ask for, in their order, as (frame index, Prompt).  Raises InvalidPrompt."""
    name, index = "object", 0
    gathered: dict[tuple[int, str], dict[str, Any]] = {}
    _refuse_idle(said)
    for option, value in said:
        if option == "name":
            name = value
        elif option == "frame":
            index = value
        else:
            parts = gathered.setdefault((index, name), {"points": [], "labels": []})
            if option == "point":
                parts["points"].append(value[:2])
                parts["labels"].append(value[2])
            elif option in parts:
                raise InvalidPrompt(f"two of --{option} for {name!r} on image {index}; put --name before the second")
            else:
                parts[option] = value
    if not gathered:
        raise InvalidPrompt("give a prompt: --point x,y, --box x0,y0,x1,y1 or --mask FILE")
    return [(index, Prompt(name, **parts)) for (index, name), parts in gathered.items()]


def _refuse_idle(said: Sequence[tuple[str, Any]]) -> None:
    """InvalidPrompt for a --name or --frame that no prompt follows: it would say nothing about those before it."""
    idle: dict[str, Any] = {}
    for option, value in [*said, ("name", None), ("frame", None)]:
        if option not in ("name", "frame"):
            idle.clear()
        elif option in idle:
            raise InvalidPrompt(
                f"no --point, --box or --mask comes after --{option} {idle[option]}; it is for those that "
                "come after it, so put it before them"
            )
        else:
            idle[option] = value


def _numbers(text: str, counts: tuple[int, ...], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}, in pixels")
    return numbers


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be the number of an image, counted from 0")
    return int(text)


def _point(text: str) -> tuple[float, float, int]:
    x, y, *label = _numbers(text, (2, 3), "x,y or x,y,0")
    if label and label[0] not in (0, 1):
        raise argparse.ArgumentTypeError(f"the third number of {text!r} is 1 (on the object) or 0 (not on it)")
    return x, y, int(label[0]) if label else 1


def _box(text: str) -> tuple[float, ...]:
    return tuple(_numbers(text, (4,), "x0,y0,x1,y1"))


def _mask(text: str) -> np.ndarray:
    from sam2_ros.recordings.labels import read_labels

    try:
        return read_labels(Path(text)) > 0
    except RecordingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
