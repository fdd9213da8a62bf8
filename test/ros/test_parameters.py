import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from sam2_ros.errors import InvalidInput  # noqa: E402
from sam2_ros.ros.parameters import CLASSES, FIXED, NodeSettings, as_yaml  # noqa: E402

FIELDS = [field for settings in CLASSES for field in dataclasses.fields(settings)]
CONFIG = Path(__file__).parents[2] / "config" / "track.yaml"


def test_the_file_of_parameters_is_what_the_code_says():
    """If this fails, write it anew with sam2_ros.ros.parameters.as_yaml()."""
    assert CONFIG.read_text() == as_yaml()


def test_the_file_of_parameters_holds_every_default():
    yaml = pytest.importorskip("yaml")
    values = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert values == {field.name: field.default for field in FIELDS}
    assert all(type(values[field.name]) is type(field.default) for field in FIELDS)


def test_names_are_unique_and_those_that_are_fixed_exist():
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names)) and set(names) >= FIXED


def test_every_parameter_is_described():
    assert all(len(field.metadata["description"]) > 20 for field in FIELDS)


def test_every_number_has_a_range():
    numbers = [field for field in FIELDS if type(field.default) in (int, float)]
    assert all(field.metadata["low"] is not None and field.metadata["high"] is not None for field in numbers)


@pytest.mark.parametrize("values", [
    dict(image_transport="theora"), dict(threads=-1), dict(detection_overlap=0.0), dict(overlay_jpeg_quality=101)])
def test_values_out_of_range_are_refused_with_their_name(values):
    with pytest.raises(InvalidInput, match=next(iter(values))):
        NodeSettings(**values)
