import dataclasses
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

import ros_bench  # noqa: F401 - keeps the tests off the network

from sam2_ros.errors import InvalidInput
from sam2_ros.ros.parameters import CLASSES, FIXED, Parameters, as_yaml

FIELDS = [field for settings in CLASSES for field in dataclasses.fields(settings)]
CONFIG = Path(__file__).parents[2] / "config" / "track.yaml"


def settings_of(name):
    """The class that a parameter belongs to."""
    return next(kind for kind in CLASSES if name in {field.name for field in dataclasses.fields(kind)})


def test_the_file_of_parameters_is_what_the_code_says():
    """If this fails, write it again with sam2_ros.ros.parameters.as_yaml()."""
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


@pytest.mark.parametrize(
    "values",
    [
        dict(image_transport="theora"),
        dict(image_range="4095,0"),
        dict(threads=-1),
        dict(detection_overlap=0.0),
        dict(overlay_jpeg_quality=101),
    ],
)
def test_values_out_of_range_are_refused_with_their_name(values):
    with pytest.raises(InvalidInput, match=next(iter(values))):
        settings_of(next(iter(values)))(**values)


def node_with(*arguments):
    """What a node reads of its arguments, its parameters as rclpy keeps them, and how it answers to changes."""
    rclpy.init(args=["--ros-args", *arguments])
    node = rclpy.create_node("sam2_ros")
    try:
        return Parameters(node), node.set_parameters([rclpy.Parameter("silence_after", value=7)])[0].successful
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_values_that_can_only_mean_one_thing_are_taken():
    given = ["silence_after:=3", "threads:=2.0", "remembered_frames:='40'", "click_object:=5", "visible_margin:=1e-1"]
    parameters, changed = node_with(*(word for one in given for word in ("-p", one)))
    assert changed and parameters.node.silence_after == 7.0 and type(parameters.node.silence_after) is float
    assert (parameters.node.threads, parameters.session.click_object) == (2, "5")
    assert (parameters.tracker.remembered_frames, parameters.tracker.visible_margin) == (40, 0.1)


def test_who_watches_is_told_the_settings_of_session_and_tracker_now_and_after_each_change():
    rclpy.init()
    node = rclpy.create_node("sam2_ros")
    try:
        parameters, told = Parameters(node), []
        parameters.watch(lambda session, tracker: told.append((session.max_objects, tracker.hole_area)))
        node.set_parameters([rclpy.Parameter("max_objects", value=7), rclpy.Parameter("hole_area", value=1)])
        node.set_parameters([rclpy.Parameter("max_objects", value=0)])
    finally:
        node.destroy_node()
        rclpy.shutdown()
    assert told == [(64, 8), (7, 8), (7, 1)], "a refused change is not told"


@pytest.mark.parametrize(
    "given, sentence",
    [
        ("threads:=many", "threads must be a number"),
        ("threads:=2.5", "threads must be a whole number"),
        ("threads:=999", "threads must be at most 256"),
        ("visible_margin:=.nan", "visible_margin must be a number"),
        ("visible_margin:=[1.0, 2.0]", "visible_margin must be a number"),
        ("silence_after:=.inf", "silence_after must be at most"),
        ("non_overlapping:='false'", "non_overlapping must be true or false"),
        ("non_overlapping:=1", "non_overlapping must be true"),
        ("click_object:=yes", "click_object must be text"),
        ("precision:=''", "precision must be one of"),
        ("qos_overrides./image.subscription.depth:=ten", "subscription.depth must be a whole number"),
        ("qos_overrides./image.subscription.reliability:=best", "reliability must be one of reliable, best_effort"),
        ("model:=[]", "model was given no value"),
        ("silence_after:=''", "silence_after must be a number"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(given, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        node_with("-p", given)
