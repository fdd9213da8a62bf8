"""A recording that a test writes down as a list of events."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fakes import RED, frame
from recordings.bags import stamp

from sam2_ros.recordings.recording import Event, PromptEvent, Recording, RemovalEvent, Truth
from sam2_ros.types import Prompt


@dataclass
class Script(Recording):
    """A recording that is a list of events."""

    name: str = "script"
    path: Path = Path("script")
    script: list[Event] = field(default_factory=list)
    truth: bool = False

    def events(self):
        yield from self.script

    @property
    def has_truth(self):
        return self.truth


def image(index, squares=None, arrival=None):
    content = frame(stamp(index), {RED: (4 * index % 40, 16)} if squares is None else squares)
    return Event(stamp(index) if arrival is None else arrival, "image", content)


def truth(index, arrival=None):
    return Event(arrival or stamp(index) + 1, "truth", Truth(stamp(index), {1: np.ones((64, 64), bool)}))


def click(index, name="red", at=(8, 24), on=None, arrival=None):
    prompt = Prompt(name, points=np.array([at]), labels=np.array([1]))
    return Event(arrival or stamp(index) + 2, "prompt", PromptEvent(prompt, stamp(index) if on is None else on))


def removal(index, *names, arrival=None):
    return Event(arrival or stamp(index) + 3, "objects", RemovalEvent(names, stamp(index)))
