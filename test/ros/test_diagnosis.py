import dataclasses

import pytest

pytest.importorskip("rclpy")

from sam2_ros.ros import fastdds_profile
from sam2_ros.ros.diagnosis import WEAK, Facts, diagnose
from sam2_ros.ros.image_topics import ImageTopic
from sam2_ros.ros.parameters import NodeSettings

GOOD = Facts(
    topic="/image",
    publishers=1,
    best_effort_publishers=0,
    reliable=True,
    silence=0.1,
    seconds=10.0,
    received=300,
    lost=0,
    processed=120,
    refused=0,
    repeated=0,
    objects=2,
    prompt_topic="/sam2_ros/prompt",
    age=0.1,
)
OTHERS = (
    ImageTopic("/head/color", "sensor_msgs/msg/Image", 29.7),
    ImageTopic("/jpg", "sensor_msgs/msg/CompressedImage", 0.0),
)


@pytest.mark.parametrize(
    "changes, state, words",
    [
        (dict(publishers=0, silence=9.0, received=0), "no camera", ["nobody publishes /image", "remap"]),
        (dict(publishers=0, silence=9.0, received=0), "no camera", ["no other images are published", "ROS_DOMAIN_ID"]),
        (
            dict(publishers=0, silence=9.0, received=0, others=OTHERS),
            "no camera",
            ["images are published on /head/color (Image, 30/s), /jpg (CompressedImage, 0/s)"],
        ),
        (
            dict(publishers=0, received=0, other_type="std_msgs/msg/String"),
            "no images",
            ["/image carries std_msgs/msg/String", "remap 'image'"],
        ),
        (
            dict(publishers=0, received=0, unwanted="/image/compressed (CompressedImage)"),
            "no camera",
            ["image_transport is auto, but", "on /image/compressed (CompressedImage)", "set image_transport to auto"],
        ),
        (dict(best_effort_publishers=1, received=0), "incompatible", ["image_reliability"]),
        (dict(lost=200, received=100, reliable=False), "losing", ["100 of 300", fastdds_profile.variable()]),
        (dict(lost=200, received=100), "losing", ["100 of 300", "too slow"]),
        (
            dict(silence=9.0, received=0),
            "silent",
            ["no image on /image for 9 s", "it has a publisher", "has stopped or hangs"],
        ),
        (
            dict(silence=9.0, received=0, arrived=False),
            "silent",
            ["nothing may have been published yet", "/dev/shm", "--ipc=host", "one of the two runs in a container"],
        ),
        (dict(silence=9.0, received=0, publishers=2, names=("/left", "/right")), "silent", ["it has 2 publishers"]),
        (
            dict(silence=9.0, received=0, arrived=False, container=True),
            "silent",
            ["this node runs in a container", "UDPv4"],
        ),
        (dict(publishers=2, names=("/left", "/right")), "doubled", ["2 publishers", "/left, /right", "remap"]),
        (dict(namesakes=1), "namesakes", ["2 nodes are called /sam2_ros", "__node:="]),
        (dict(late=40), "disordered", ["40 of 300 images of /image came after newer ones", "image_reliability"]),
        (dict(restarts=5), "restarting", ["stamps of /image went back 5 times in 10 s", "one camera with one clock"]),
        (dict(unread=12, refused=40), "unreadable", ["none of the last 12 images"]),
        (dict(turned_away=3, waiting=256), "overloaded", ["256 wait", "3 turned away", "prompt an object once"]),
        (dict(age=4.3, merged=500), "overloaded", ["500 were merged", "4.3 s old"]),
        (dict(age=4.3, waiting=20), "overloaded", ["20 wait"]),
        (dict(age=4.3), "late", ["masks are 4.3 s old", "129 intervals", "smaller model", "smaller image_side"]),
        (dict(unanswered=7.0, processed=0), "stuck", ["no masks were published for 7 s", "smaller image_side"]),
        (
            dict(boxes=12, left_out={"with a box without a size": 9, WEAK: 3}),
            "unusable detections",
            [
                "none of the 12 detections",
                "9 with a box without a size, 3 below detection_score",
                "detection_score is 0.5",
            ],
        ),
        (
            dict(objects=0, refused_prompts=7, reason="prompt: 3.2 s older than every remembered image"),
            "refused",
            ["7 prompts were refused", "the last prompt: 3.2 s older"],
        ),
        (dict(boxes=12, left_out={WEAK: 12}, objects=0), "unusable detections", ["12 below detection_score"]),
        (dict(repeated=100), "repeating", ["100 of 120 images of /image", "must give every image its own stamp"]),
        (dict(processed=0, refused=300), "unreadable", ["none of the last 300 images"]),
    ],
)
def test_the_node_warns_why_nothing_happens(changes, state, words):
    found, warns, sentence = diagnose(dataclasses.replace(GOOD, **changes), NodeSettings())
    assert (found, warns) == (state, True)
    assert all(word in sentence for word in words)


def test_a_node_without_a_prompt_says_where_to_send_one():
    state, warns, sentence = diagnose(dataclasses.replace(GOOD, objects=0), NodeSettings())
    assert (state, warns) == ("idle", False) and "/sam2_ros/prompt" in sentence


def test_a_node_that_tracks_says_how_fast():
    state, warns, sentence = diagnose(GOOD, NodeSettings())
    assert (state, warns) == ("tracking", False) and "2 objects at 12.0 images/s of 30.0" in sentence


def test_nothing_is_said_before_there_is_something_to_say():
    assert diagnose(dataclasses.replace(GOOD, received=0, processed=0, objects=0), NodeSettings()) is None
    assert diagnose(dataclasses.replace(GOOD, publishers=0, received=0, processed=0), NodeSettings()) is None


def test_few_lost_images_are_no_reason_to_warn():
    assert diagnose(dataclasses.replace(GOOD, lost=20), NodeSettings())[0] == "tracking"
    assert diagnose(dataclasses.replace(GOOD, lost=3, received=2), NodeSettings())[0] == "tracking"


def test_only_a_few_images_in_the_wrong_order_are_told_beside_the_rate():
    state, warns, sentence = diagnose(dataclasses.replace(GOOD, late=2), NodeSettings())
    assert (state, warns) == ("tracking", False) and "2 came after newer ones and were left out" in sentence


@pytest.mark.parametrize(
    "changes",
    [
        dict(merged=50),
        dict(waiting=1),
        dict(age=0.4),
        dict(age=2.0, received=10),
        dict(boxes=12, left_out={WEAK: 12}),
        dict(boxes=12, left_out={"with a box without a size": 9}),
        dict(unanswered=2.0),
        dict(names=("/camera",)),
    ],
)
def test_what_does_no_harm_is_no_reason_to_warn(changes):
    assert diagnose(dataclasses.replace(GOOD, **changes), NodeSettings())[0] == "tracking"


def test_a_node_that_publishes_no_masks_does_not_say_that_it_tracks():
    assert diagnose(dataclasses.replace(GOOD, processed=0), NodeSettings()) is None


def test_nothing_is_said_while_the_other_topics_are_counted():
    assert diagnose(dataclasses.replace(GOOD, publishers=0, silence=9.0, others=None), NodeSettings()) is None
