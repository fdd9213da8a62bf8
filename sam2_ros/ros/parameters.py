"""The parameters of the node, generated from four settings classes: a default is written once.

The tracker's settings are in ``tracking.settings``, those of the session in ``stream.settings``, those of depth in
``geometry.settings``, those of the node in ``node_settings``.  The ROS declarations with their descriptions and
ranges, and the text of config/track.yaml, are made from the fields of all four.
"""

from __future__ import annotations

import array
import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node as RosNode
from rclpy.parameter import Parameter

from sam2_ros import settings as declared
from sam2_ros.errors import InvalidInput
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.node_settings import NodeSettings as NodeSettings
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.settings import TrackerSettings

CLASSES = (NodeSettings, SessionSettings, TrackerSettings, DepthSettings)
#: Read once at start-up.  All other parameters may be changed while the node runs.
FIXED = frozenset(name for settings in CLASSES for name in declared.fixed_names(settings))
Settings = TypeVar("Settings", NodeSettings, SessionSettings, TrackerSettings, DepthSettings)
#: The end of a range that is open on one side; an IntegerRange needs both ends.
_UNBOUNDED = 2**31 - 1
#: Valid values of a quality of service.
_QUALITIES = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default"),
}


Watcher = Callable[[SessionSettings, TrackerSettings], None]


class Parameters:
    """The current values, replaced as a whole so that any thread may read them; ``watch`` registers for changes."""

    node: NodeSettings
    session: SessionSettings
    tracker: TrackerSettings
    depth: DepthSettings

    def __init__(self, ros_node: RosNode) -> None:
        """Declare every parameter on ``ros_node`` and read it.  Raises InvalidInput for a value out of range."""
        #: Values that the user has set, by name; rclpy has no public way to read those that nobody declares.
        self.given: dict[str, Parameter] = dict(getattr(ros_node, "_parameter_overrides", {}))
        for name, parameter in self.given.items():
            if name.startswith("qos_overrides."):
                _check_quality(name, parameter.value)
        self.node = _declare(ros_node, NodeSettings, self.given)
        self.session = _declare(ros_node, SessionSettings, self.given)
        self.tracker = _declare(ros_node, TrackerSettings, self.given)
        self.depth = _declare(ros_node, DepthSettings, self.given)
        self._watchers: list[Watcher] = []
        if hasattr(ros_node, "add_pre_set_parameters_callback"):  # not on Humble
            ros_node.add_pre_set_parameters_callback(_as_declared)
        ros_node.add_on_set_parameters_callback(self._on_set)

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` with the settings of session and tracker, now and after each change."""
        self._watchers.append(watcher)
        watcher(self.session, self.tracker)

    def _on_set(self, changes: Iterable[Parameter]) -> SetParametersResult:
        values = {change.name: change.value for change in changes}
        try:
            node, session = _replaced(self.node, values), _replaced(self.session, values)
            tracker, depth = _replaced(self.tracker, values), _replaced(self.depth, values)
        except InvalidInput as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.node, self.session, self.tracker, self.depth = node, session, tracker, depth
        for watcher in self._watchers:
            watcher(session, tracker)
        return SetParametersResult(successful=True)


def as_yaml() -> str:
    """The text of config/track.yaml: every parameter with its default, unit and range."""
    lines = [
        "# Every parameter of the node with its default; units stand in brackets.",
        "",
        "/**:",
        "  ros__parameters:",
    ]
    for settings in CLASSES:
        lines.append(f"    # -- {settings.__doc__}")
        for field in dataclasses.fields(settings):
            notes = filter(None, [_range(field), "fixed at start-up" if field.name in FIXED else ""])
            comments = filter(None, [field.metadata["description"], "; ".join(notes)])
            lines += [*(f"    # {comment}" for comment in comments), f"    {field.name}: {json.dumps(field.default)}"]
        lines.append("")
    return "\n".join(lines)


def _declare(ros_node: RosNode, settings: type[Settings], given: dict[str, Parameter]) -> Settings:
    """Declare the fields of a settings class with the given values, and return them.

    Values are converted here: rclpy would refuse 3 for a float, which everybody writes, and name no remedy.
    """
    fields = dataclasses.fields(settings)
    values = {field.name: _converted(field, given[field.name].value) for field in fields if field.name in given}
    current = settings(**values)
    for field in fields:
        ros_node.declare_parameter(field.name, getattr(current, field.name), _descriptor(field), ignore_override=True)
    return current


def _check_quality(name: str, value: Any) -> None:
    """Raise InvalidInput at the start; rclpy would find the fault when it subscribes, perhaps much later."""
    policy = name.rpartition(".")[2]
    if policy == "depth" and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _UNBOUNDED):
        raise InvalidInput(f"{name} must be a whole number of messages, got {value!r}")
    if policy in _QUALITIES and value not in _QUALITIES[policy]:
        raise InvalidInput(f"{name} must be one of {', '.join(_QUALITIES[policy])}; got {value!r}")


def _converted(field: dataclasses.Field[Any], value: Any) -> Any:
    kind: type = type(field.default)
    if value is None:
        raise InvalidInput(f"{field.name} was given no value; leave it out, or write {json.dumps(field.default)}")
    value = value.tolist() if isinstance(value, array.array) else value
    return kind(declared.convert(field.name, value, kind))


def _as_declared(changes: list[Parameter]) -> list[Parameter]:
    """Whole numbers become floats where the parameter is a float."""
    fields = [field for settings in CLASSES for field in dataclasses.fields(settings)]
    floats = {field.name for field in fields if isinstance(field.default, float)}
    return [
        Parameter(change.name, value=float(change.value))
        if change.name in floats and change.type_ == Parameter.Type.INTEGER
        else change
        for change in changes
    ]


def _replaced(current: Settings, values: dict[str, Any]) -> Settings:
    known = {field.name for field in dataclasses.fields(current)} & values.keys()
    return dataclasses.replace(current, **{name: values[name] for name in known}) if known else current


def _descriptor(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    facts = field.metadata
    descriptor = ParameterDescriptor(description=facts["description"], read_only=field.name in FIXED)
    if facts["choices"]:
        descriptor.additional_constraints = f"one of {', '.join(facts['choices'])}"
    if facts["low"] is None and facts["high"] is None:
        return descriptor
    low = -_UNBOUNDED if facts["low"] is None else facts["low"]
    high = _UNBOUNDED if facts["high"] is None else facts["high"]
    if isinstance(field.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    else:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor


def _range(field: dataclasses.Field[Any]) -> str:
    low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
    if choices:
        return f"one of {', '.join(choices)}"
    return f"{low} to {high}" if low is not None and high is not None else ""
