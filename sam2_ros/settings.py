"""One way to declare a setting, so that its default, unit and range are written once.

A settings class is a frozen dataclass whose fields are made by ``setting``.  The ROS
parameters, the YAML file in ``config/`` and ``--help`` are all read from those fields.
"""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real
from typing import Any

from sam2_ros.errors import InvalidInput


def setting(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    fixed: bool = False,
) -> Any:
    """A dataclass field with a description (name the unit in it) and an inclusive range or choices.

    fixed: it is read once, when what it is for is made.
    """
    metadata = {"description": description, "low": low, "high": high, "choices": choices, "fixed": fixed}
    return dataclasses.field(default=default, metadata=metadata)


def fixed_names(settings: Any) -> tuple[str, ...]:
    """The settings of a class, or of an object of it, that cannot change later."""
    return tuple(field.name for field in dataclasses.fields(settings) if field.metadata["fixed"])


def convert(name: str, value: Any, kind: type) -> Any:
    """``value``, as a file gave it for the setting ``name``, as the ``kind`` bool, int, float or str.

    Raises InvalidInput for any other value: text is not a bool, and a bool is neither text nor a number.
    """
    if kind is str:
        if isinstance(value, (bool, list, tuple, dict)):
            raise InvalidInput(f"{name} must be text, got {value!r}; put it into quotes")
        return "" if value is None else str(value)
    if kind is bool:
        check_kind(name, value, bool)
        return value
    try:
        # YAML reads 1e-2 as text.
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, Real) or number != number:
        raise InvalidInput(f"{name} must be a number, got {value!r}")
    if kind is int and isinstance(number, float):
        if not number.is_integer():
            raise InvalidInput(f"{name} must be a whole number, got {value!r}")
        return int(number)
    return number


def check(settings: Any) -> None:
    """Raise InvalidInput if a field of a settings dataclass has not the kind of its default, or is out of its range."""
    for field in dataclasses.fields(settings):
        check_value(field, getattr(settings, field.name))


def check_value(field: dataclasses.Field[Any], value: Any) -> None:
    """Raise InvalidInput if ``value`` has not the kind of the field's default, or is out of its range."""
    facts = field.metadata
    check_kind(field.name, value, type(field.default))
    if facts.get("low") is not None and value < facts["low"]:
        raise InvalidInput(f"{field.name} must be at least {facts['low']}, got {value}")
    if facts.get("high") is not None and value > facts["high"]:
        raise InvalidInput(f"{field.name} must be at most {facts['high']}, got {value}")
    if facts.get("choices") and value not in facts["choices"]:
        raise InvalidInput(f"{field.name} must be one of {', '.join(facts['choices'])}; got {value!r}")


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise InvalidInput if ``kind`` is bool, int, float or str and ``value`` is not; other kinds are not checked."""
    if kind is bool and type(value).__name__ not in ("bool", "bool_"):  # NumPy's, too, which may be missing here
        raise InvalidInput(f"{name} must be true or false, without quotes; got {value!r}")
    if kind is str and not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, got {value!r}")
    if kind not in (int, float):
        return
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:
        raise InvalidInput(f"{name} must be a number, got {value!r}")
    if kind is int and not isinstance(value, Integral):
        raise InvalidInput(f"{name} must be a whole number, got {value!r}")
