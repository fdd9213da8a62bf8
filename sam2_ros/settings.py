"""One way to declare a setting, so that its default, unit and range are written once.

A settings class is a frozen dataclass whose fields are made by ``setting``.  The ROS
parameters, the YAML file in ``config/`` and ``--help`` are all read from those fields.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sam2_ros.errors import InvalidInput


def setting(default: Any, description: str, *, low: float | None = None, high: float | None = None,
            choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field with a description (name the unit in it) and an inclusive range or choices."""
    metadata = {"description": description, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def check(settings: Any) -> None:
    """Raise InvalidInput if a field of a settings dataclass is outside its declared range."""
    for field in dataclasses.fields(settings):
        value, facts = getattr(settings, field.name), field.metadata
        if facts.get("low") is not None and value < facts["low"]:
            raise InvalidInput(f"{field.name} must be at least {facts['low']}, got {value}")
        if facts.get("high") is not None and value > facts["high"]:
            raise InvalidInput(f"{field.name} must be at most {facts['high']}, got {value}")
        if facts.get("choices") and value not in facts["choices"]:
            raise InvalidInput(f"{field.name} must be one of {', '.join(facts['choices'])}; got {value!r}")
