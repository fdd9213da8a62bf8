import dataclasses

import pytest

pytest.importorskip("rclpy")

from sam2_ros import large_images  # noqa: E402
from sam2_ros.ros.parameters import NodeSettings  # noqa: E402
from sam2_ros.ros.status import Facts, describe  # noqa: E402

GOOD = Facts(topic="/image", publishers=1, best_effort_publishers=0, reliable=True, silence=0.1, seconds=10.0,
             received=300, lost=0, processed=120, refused=0, repeated=0, objects=2, prompt_topic="/sam2_ros/prompt")


@pytest.mark.parametrize("changes, state, words", [
    (dict(publishers=0, silence=9.0, received=0), "no camera", ["nobody publishes /image", "remap"]),
    (dict(publishers=0, received=0, topic="/image/compressed", other_type="sensor_msgs/msg/CompressedImage"), "no images",
     ["/image/compressed carries sensor_msgs/msg/CompressedImage", "without its /compressed"]),
    (dict(best_effort_publishers=1, received=0), "incompatible", ["image_reliability"]),
    (dict(lost=200, received=100, reliable=False), "losing", ["100 of 300", large_images.variable()]),
    (dict(lost=200, received=100), "losing", ["100 of 300", "too slow"]),
    (dict(silence=9.0, received=0), "silent", ["no image on /image for 9 s", "1 publish"]),
    (dict(repeated=100), "repeating", ["100 of 120 images of /image", "must stamp every image"]),
    (dict(processed=0, refused=300), "unreadable", ["none of the last 300 images"]),
])
def test_the_node_warns_why_nothing_happens(changes, state, words):
    found, warns, sentence = describe(dataclasses.replace(GOOD, **changes), NodeSettings())
    assert (found, warns) == (state, True)
    assert all(word in sentence for word in words)


def test_a_node_without_a_prompt_says_where_to_send_one():
    state, warns, sentence = describe(dataclasses.replace(GOOD, objects=0), NodeSettings())
    assert (state, warns) == ("idle", False) and "/sam2_ros/prompt" in sentence


def test_a_node_that_tracks_says_how_fast():
    state, warns, sentence = describe(GOOD, NodeSettings())
    assert (state, warns) == ("tracking", False) and "2 objects at 12.0 images/s of 30.0" in sentence


def test_nothing_is_said_before_there_is_something_to_say():
    assert describe(dataclasses.replace(GOOD, received=0, processed=0, objects=0), NodeSettings()) is None
    assert describe(dataclasses.replace(GOOD, publishers=0, received=0, processed=0), NodeSettings()) is None


def test_few_lost_images_are_no_reason_to_warn():
    assert describe(dataclasses.replace(GOOD, lost=20), NodeSettings())[0] == "tracking"
    assert describe(dataclasses.replace(GOOD, lost=3, received=2), NodeSettings())[0] == "tracking"
