"""Which tracker is evaluated, in words that can be sent to another process and written down."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sam2_ros.errors import InvalidInput, needs_room
from sam2_ros.evaluation import opencv_baseline
from sam2_ros.model import checkpoint
from sam2_ros.model.precision import precision
from sam2_ros.settings import convert
from sam2_ros.tracking.tracker import Tracker, TrackerSettings

#: Names that are no checkpoint but something to compare with.
BASELINES = {"opencv": opencv_baseline.OpenCVTracker, "first-mask": opencv_baseline.FirstMask}
#: The published numbers of SAM 2 are without what a live tracker adds, and with every prompted frame.
PAPER = {
    "max_prompted_frames": 0,
    "stability_fallback": False,
    "binarize_prompted_masks": False,
    "hole_area": 0,
    "forget_around_corrections": False,
}
#: SA-V keeps a mask for each object, and they may overlap; the other data sets keep one label for each pixel.
OF_RULES = {"sa-v": {"non_overlapping": False}}


@dataclass(frozen=True, slots=True)
class Choice:
    """A model (a known name, a path or a baseline), its device, and the settings that are not the defaults."""

    model: str = "embedded"
    device: str = "auto"
    settings: tuple[tuple[str, Any], ...] = ()

    def tracker(self) -> Tracker:
        """A new tracker; the model is loaded once in each process.  Raises CheckpointError and InvalidInput."""
        if self.model in BASELINES:
            return BASELINES[self.model]()
        tracker = Tracker(_load(self.model, self.device), TrackerSettings(**dict(self.settings)))
        if self.arithmetic()["device"] != "cpu":
            with needs_room(self.model, self.arithmetic()["device"]):
                tracker.warm_up()  # else the first images of a recording on the clock are dropped for it
        return tracker

    def arithmetic(self) -> dict[str, str]:
        """Where and in which precision the model computes: what "auto" stands for on this machine."""
        if self.model in BASELINES:
            return {"device": "cpu", "precision": "float32"}
        device = checkpoint.available(self.device)
        wanted = TrackerSettings(**dict(self.settings)).precision
        return {"device": str(device), "precision": str(precision(wanted, device)).removeprefix("torch.")}

    def identity(self) -> dict[str, Any]:
        """Name, version and checksum of the weights."""
        if self.model in BASELINES:
            finder = {"box_tracker": opencv_baseline.box_tracker_name()} if self.model == "opencv" else {}
            return {"name": self.model, **finder}
        known = checkpoint.identify(self.model)
        return {"name": known.name, "version": known.version, "sha256": known.sha256}

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the tracker, defaults included."""
        return {} if self.model in BASELINES else dataclasses.asdict(TrackerSettings(**dict(self.settings)))


@functools.lru_cache(maxsize=2)
def _load(model: str, device: str) -> Any:
    return checkpoint.load(model, device)


def settings_from(texts: Sequence[str]) -> dict[str, Any]:
    """Tracker settings from several ``name=value``, each named once.  Raises InvalidInput."""
    given: dict[str, Any] = {}
    for name, value in map(setting, texts):
        if name in given:
            raise InvalidInput(f"--set {name} is given twice, with {given[name]} and {value}; give it once")
        given[name] = value
    return given


def setting(text: str) -> tuple[str, Any]:
    """A tracker setting from ``name=value``, of the type that its default has.  Raises InvalidInput."""
    name, equals, value = text.partition("=")
    defaults = {field.name: field.default for field in dataclasses.fields(TrackerSettings)}
    if not equals or name not in defaults:
        raise InvalidInput(f"{text!r} is no setting of the tracker; write name=value with one of {', '.join(defaults)}")
    kind = type(defaults[name])
    given = {"true": True, "false": False}.get(value.lower(), value) if kind is bool else value
    return name, convert(name, given, kind)
