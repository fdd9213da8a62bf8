"""A topic for the mask of each object."""

from types import SimpleNamespace as Shape

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.validate_full_topic_name import validate_full_topic_name
from ros_bench import labels_in

from sam2_ros.ros import outputs_masks
from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.outputs import header_of
from sam2_ros.ros.outputs_masks import MOST, MaskOutputs, token_of
from sam2_ros.types import State, Track

HEADER = header_of(5 * 10**9, "optical")


@pytest.mark.parametrize(
    "name, token",
    [
        ("cup", "cup"),
        ("Red cup #2", "Red_cup_2"),
        ("Täßchen", "Tachen"),
        ("2nd cup", "object_2nd_cup"),
        ("a__b--c_", "a_b_c"),
        ("杯子", "object_7"),
        ("", "object_7"),
        ("x" * 300, "x" * 60),
    ],
)
def test_every_name_becomes_a_part_of_a_topic(name, token):
    assert token_of(name, 7, set()) == token
    assert validate_full_topic_name(f"/sam2_ros/mask/{token}")


def test_names_that_become_the_same_are_told_apart_by_their_ids():
    assert token_of("red cup", 7, {"red_cup"}) == "red_cup_id_7"
    assert token_of("杯子", 7, {"object_7"}) == "object_id_7"


class World:
    """The outputs on a node of shapes; a topic has the subscribers that the test gives it."""

    def __init__(self, on=True):
        self.subscribed, self.sent, self.there, self.log = set(), [], set(), []
        node = Shape(
            create_publisher=self.create,
            destroy_publisher=lambda publisher: self.there.discard(publisher.topic),
            get_logger=lambda: Shape(warning=lambda text, **_: self.log.append(text)),
        )
        self.parameters = Shape(node=Shape(mask_topics=on))
        self.outputs = MaskOutputs(node, self.parameters, Bridge())

    def create(self, kind, topic, qos):
        self.there.add(topic)
        count = lambda: int(topic in self.subscribed)  # noqa: E731
        return Shape(
            topic=topic,
            get_subscription_count=count,
            publish=lambda message: self.sent.append((topic, message)),
        )

    def publish(self, *names):
        tracks = []
        for number, name in names:
            mask = np.zeros((4, 6), bool)
            mask[1:3, 2:4] = True
            tracks.append(Track(number, name, State.VISIBLE, False, mask, 1.0, 1.0, np.zeros(1, np.float32), 0, 1))
        self.outputs.publish(tracks, HEADER)


def test_topics_come_and_go_with_their_objects():
    world = World()
    world.publish((1, "cup"), (2, "book"))
    assert world.there == {"~/mask/cup", "~/mask/book"}
    world.publish((2, "book"))
    assert world.there == {"~/mask/book"}
    world.parameters.node.mask_topics = False
    world.publish((2, "book"))
    assert world.there == set()


def test_a_mask_is_made_only_while_its_topic_has_a_subscriber(monkeypatch):
    made = []
    original = outputs_masks.mask_image
    monkeypatch.setattr(outputs_masks, "mask_image", lambda *arguments: made.append(1) or original(*arguments))
    world = World()
    world.publish((1, "cup"), (2, "book"))
    assert made == []
    world.subscribed.add("~/mask/book")
    world.publish((1, "cup"), (2, "book"))
    ((topic, message),) = world.sent
    assert topic == "~/mask/book" and message.header == HEADER and message.encoding == "mono8" and len(made) == 1
    assert labels_in(message)[1:3, 2:4].min() == 255 and labels_in(message).sum() == 4 * 255


def test_without_the_parameter_there_are_no_topics():
    world = World(on=False)
    world.publish((1, "cup"))
    assert world.there == set()


def test_a_thousand_objects_do_not_make_a_thousand_topics():
    world = World()
    world.publish(*((number, f"cup {number}") for number in range(1, 1001)))
    assert (
        len(world.there) == MOST and f"only {MOST} objects have a mask topic: cup {MOST + 1} has none" in world.log[0]
    )
