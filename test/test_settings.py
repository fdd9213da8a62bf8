from dataclasses import dataclass

import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.settings import check, convert, setting


@dataclass(frozen=True)
class Kettle:
    litres: float = setting(1.0, "how much goes in", low=0.1, high=3.0)
    cups: int = setting(4, "how many it fills", low=1)
    colour: str = setting("red", "of the paint", choices=("red", "blue"))
    whistles: bool = setting(True, "when it boils")


@pytest.mark.parametrize(
    "value, kind, expected",
    [
        ("1e-2", float, 0.01),
        (2, float, 2),
        ("1e3", int, 1000),
        (5.0, int, 5),
        ("7", int, 7),
        (2024, str, "2024"),
        (None, str, ""),
        (True, bool, True),
    ],
)
def test_a_value_of_a_file_becomes_what_its_setting_is(value, kind, expected):
    converted = convert("litres", value, kind)
    assert converted == expected and type(converted) is type(expected)


@pytest.mark.parametrize(
    "value, kind, part",
    [
        ("much", float, "a number"),
        (True, int, "a number"),
        (None, float, "a number"),
        (float("nan"), float, "a number"),
        ("nan", float, "a number"),
        ([1], float, "a number"),
        ("1.5", int, "a whole number"),
        (float("inf"), int, "a whole number"),
        (["red"], str, "text"),
        (True, str, "text"),
        ("false", bool, "true or false"),
        (1, bool, "true or false"),
        (None, bool, "true or false"),
        ([True], bool, "true or false"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(value, kind, part):
    with pytest.raises(InvalidInput, match=f"litres must be {part}"):
        convert("litres", value, kind)


@pytest.mark.parametrize(
    "values, part",
    [
        ({"litres": 4.0}, "litres must be at most 3"),
        ({"cups": 0}, "cups must be at least 1"),
        ({"colour": "green"}, "colour must be one of red, blue"),
        ({"litres": "1e-2"}, "litres must be a number"),
        ({"cups": float("nan")}, "cups must be a number"),
        ({"cups": 2.5}, "cups must be a whole number"),
        ({"cups": 2.0}, "cups must be a whole number"),
        ({"cups": True}, "cups must be a number"),
        ({"litres": True}, "litres must be a number"),
        ({"whistles": "false"}, "whistles must be true or false"),
        ({"whistles": 1}, "whistles must be true or false"),
        ({"colour": ["red"]}, "colour must be text"),
        ({"colour": None}, "colour must be text"),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(values, part):
    check(Kettle())
    with pytest.raises(InvalidInput, match=part):
        check(Kettle(**values))
