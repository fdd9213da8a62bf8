"""vision_msgs has no wheel: its messages are built by shape."""

import math
from types import SimpleNamespace as Shape

import pytest

pytest.importorskip("rclpy")

from sam2_ros.ros import detections
from sam2_ros.ros.detections import read


def detection(x=50.0, y=40.0, width=20.0, height=10.0, theta=0.0, score=0.9, label="cup", name="", old=False):
    centre = Shape(x=x, y=y, theta=theta) if old else Shape(position=Shape(x=x, y=y), theta=theta)
    results = [] if score is None else [Shape(hypothesis=Shape(class_id=label, score=score))]
    return Shape(bbox=Shape(center=centre, size_x=width, size_y=height), results=results, id=name)


def boxes(*detections, least=0.5):
    return [found.box for found in read(Shape(detections=detections), least)]


@pytest.mark.parametrize("old", [False, True])
def test_a_box_is_read_from_its_centre_and_size(old):
    assert boxes(detection(old=old)) == [(40.0, 35.0, 60.0, 45.0)]


def test_name_and_label_are_kept():
    (found,) = read(Shape(detections=[detection(name="17")]), 0.5)
    assert (found.name, found.label) == ("17", "cup")


def test_the_best_hypothesis_counts():
    one = detection(score=0.2)
    one.results.append(Shape(hypothesis=Shape(class_id="bowl", score=0.8)))
    (found,) = read(Shape(detections=[one]), 0.5)
    assert found.label == "bowl"


def test_weak_and_broken_detections_are_left_out():
    weak = detection(score=0.4)
    broken = [detection(score=math.nan), detection(width=0.0), detection(x=math.nan), detection(height=math.inf)]
    assert boxes(weak, *broken, detection()) == [(40.0, 35.0, 60.0, 45.0)]


def test_what_is_left_out_is_counted_by_its_reason():
    tally = detections.Tally()
    broken = [
        detection(score=math.nan),
        detection(width=0.0),
        detection(width=-3.0),
        detection(x=math.nan),
        detection(height=math.inf),
        detection(score=0.4),
        detection(),
    ]
    read(Shape(detections=broken), 0.5, tally)
    assert tally.boxes == 7
    assert tally.left_out == {
        detections.NO_SCORE: 1,
        detections.NO_SIZE: 2,
        detections.NO_NUMBER: 2,
        detections.WEAK: 1,
    }


def test_a_detection_without_a_score_counts_as_certain():
    assert len(boxes(detection(score=None))) == 1


def test_a_turned_box_becomes_the_upright_one_around_it():
    (box,) = boxes(detection(theta=math.pi / 2))
    assert box == pytest.approx((45.0, 30.0, 55.0, 50.0))


def test_messages_on_the_topic_are_handed_on_with_their_stamp_and_above_the_score(monkeypatch):
    subscribed, handed = [], []
    node = Shape(create_subscription=lambda kind, topic, callback, quality: subscribed.append((kind, topic, callback)))
    parameters = Shape(node=Shape(detection_score=0.5))
    assert not detections.subscribe(node, parameters, print) or detections.Detection2DArray is not None
    subscribed.clear()
    monkeypatch.setattr(detections, "Detection2DArray", "vision_msgs")
    assert detections.subscribe(node, parameters, lambda found, stamp: handed.append((found, stamp)))
    ((kind, topic, callback),) = subscribed
    assert (kind, topic) == ("vision_msgs", "detections")
    header = Shape(stamp=Shape(sec=2, nanosec=5))
    callback(Shape(header=header, detections=[detection(), detection(score=0.1)]))
    callback(Shape(header=header, detections=[detection(score=0.1)]))
    assert [(len(found), stamp) for found, stamp in handed] == [(1, 2_000_000_005)]
