"""Describes the tracker for a recording, in values that can be sent to another process and stored."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sam2_ros.engines import choice
from sam2_ros.errors import InvalidInput, needs_room
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.model import checkpoint
from sam2_ros.model.interface import Model
from sam2_ros.model.precision import computed_in
from sam2_ros.node_settings import NodeSettings
from sam2_ros.settings import check_value, convert
from sam2_ros.stream.replay import SETTINGS
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker

#: The settings that can be chosen: by name, their class and their field in it.
FIELDS: dict[str, tuple[type[SessionSettings] | type[TrackerSettings] | type[DepthSettings], dataclasses.Field[Any]]]
FIELDS = {
    field.name: (kind, field)
    for kind in (SessionSettings, TrackerSettings, DepthSettings)
    for field in dataclasses.fields(kind)
}
#: The model if none is chosen and none was recorded.
DEFAULT_MODEL = NodeSettings.model

T = TypeVar("T", SessionSettings, TrackerSettings, DepthSettings)


@dataclass(frozen=True, slots=True)
class TrackerSetup:
    """A model (a known name or a path), its device, and the settings that are not the defaults.

    chosen_model: "" leaves it to the recording (see ``recorded_setup``), else ``DEFAULT_MODEL``.
    settings: of the tracker, of the session and of depth, by name.
    chosen_side: of the square to which images are scaled [pixels]; None leaves it to the recording, else 0.
    chosen_engine: what computes the model, as the parameter engine; "" leaves it to the recording, else its default.
    """

    chosen_model: str = ""
    device: str = "auto"
    settings: tuple[tuple[str, Any], ...] = ()
    chosen_side: int | None = None
    chosen_engine: str = ""
    #: Classes of the settings that make a difference.
    uses: ClassVar[tuple[type, ...]] = (SessionSettings, TrackerSettings, DepthSettings)

    @property
    def model(self) -> str:
        """The model that is used."""
        return self.chosen_model or DEFAULT_MODEL

    @property
    def image_side(self) -> int:
        """The side of the square to which images are scaled [pixels]; 0 = that of the model."""
        return self.chosen_side or 0

    @property
    def engine(self) -> str:
        """What computes the model, as the parameter of this name."""
        return self.chosen_engine or NodeSettings.engine

    def session(self) -> SessionSettings:
        """The settings of the session.  Raises InvalidInput."""
        return self._with(SETTINGS)

    def tracker_settings(self) -> TrackerSettings:
        """The settings of the tracker.  Raises InvalidInput."""
        return self._with(TrackerSettings())

    def depth(self) -> DepthSettings:
        """How depth becomes positions.  Raises InvalidInput."""
        return self._with(DepthSettings())

    def _with(self, defaults: T) -> T:
        names = {field.name for field in dataclasses.fields(defaults)}
        return dataclasses.replace(defaults, **{name: value for name, value in self.settings if name in names})

    def tracker(self) -> ObjectTracker:
        """A new tracker; the model is loaded once in each process.  Raises CheckpointError and InvalidInput."""
        model = self._loaded()
        tracker = Tracker(model, self.tracker_settings())
        if model.device.type != "cpu":
            with needs_room(self.model, model.device):
                # Otherwise the first images of a recording on the clock would be dropped.  Nothing is measured, so
                # that two runs over a recording give the same results.
                tracker.warm_up(measured=False)
        return tracker

    def _loaded(self) -> Model:
        return _load(self.model, self.device, self.image_side, self.engine, self.tracker_settings().precision)

    def check(self) -> None:
        """CheckpointError or InvalidInput for a model, a setting or a device that cannot be; loads no model."""
        self.identity()
        self.session()
        self.depth()
        self.all_settings()
        self.check_engine()

    def check_engine(self) -> None:
        """Raises InvalidInput if the device is not here, MissingDependency if the engine is not installed."""
        choice.candidate(self.engine, checkpoint.available(self.device))

    def computed(self) -> dict[str, str]:
        """Device, precision and engine of the loaded model: those that are used, also if others were tried first."""
        model = self._in_precision()
        engine, precision = choice.used(model)
        return {"device": str(model.device), "precision": precision, "model_engine": engine}

    def computed_by(self) -> str:
        """Engine and precision of ``computed``, in words."""
        return choice.engine_of(self._in_precision())

    def _in_precision(self) -> Model:
        return computed_in(self._loaded(), self.tracker_settings().precision)

    def identity(self) -> dict[str, Any]:
        """Name, version and checksum of the weights, and the side of the image."""
        return checkpoint.identify(self.model, image_side=self.image_side).noted()

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the tracker, defaults included."""
        return dataclasses.asdict(self.tracker_settings())


@functools.lru_cache(maxsize=2)
def _load(model: str, device: str, image_side: int, engine: str, precision: str) -> Model:
    return choice.load(model, device, image_side, engine, precision)


def settings_from(texts: Sequence[str], image_range: str = "") -> dict[str, Any]:
    """Settings of tracker, session and depth from several ``name=value``, each named once.  Raises InvalidInput.

    image_range: that setting, which has an option of its own; "" = none.
    """
    given: dict[str, Any] = {"image_range": checked("image_range", image_range)} if image_range else {}
    for name, value in map(named_value, texts):
        if name in given:
            raise InvalidInput(f"--set {name} is given twice, with {given[name]} and {value}; give it once")
        given[name] = value
    return given


def named_value(text: str) -> tuple[str, Any]:
    """A setting from ``name=value``, of the type that its default has and in its range.  Raises InvalidInput."""
    name, equals, value = text.partition("=")
    if not equals or name not in FIELDS:
        raise InvalidInput(
            f"{text!r} is not a setting of tracker, session or depth; write name=value with one of {', '.join(FIELDS)}"
        )
    is_bool = isinstance(FIELDS[name][1].default, bool)
    return name, checked(name, {"true": True, "false": False}.get(value.lower(), value) if is_bool else value)


def checked(name: str, value: Any) -> Any:
    """The value of a known setting, of the type that its default has.  Raises InvalidInput.

    It is checked alone: another setting that must fit to it may follow.
    """
    field = FIELDS[name][1]
    value = convert(name, value, type(field.default))
    check_value(field, value)
    return value
