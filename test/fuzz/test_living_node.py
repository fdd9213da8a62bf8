"""Messages of any values and any bytes over real topics: the node lives and answers the next good image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from fuzz.doors import CAME, damaged, fuzz
from rclpy.serialization import serialize_message
from ros_bench import MILLISECOND, ON_RED, Bench, image_message, prompt_message, scene


@pytest.fixture(scope="module")
def bench():
    bench = Bench()
    yield bench.connect()
    bench.close()


def good_messages():
    image = image_message(scene(), 1_000_000 * MILLISECOND)
    prompt = prompt_message("cup", points=[ON_RED], box=(1, 2, 30, 40), mask=scene()[..., 0])
    return {"images": serialize_message(image), "prompts": serialize_message(prompt)}


@fuzz(2)
@given(data=st.data(), topic=st.sampled_from(["images", "prompts"]))
def test_bytes_that_are_damaged_on_their_way_do_not_end_the_node(bench, data, topic) -> None:
    CAME[f"node, bytes on the topic of {topic}"] += 1
    # The first four bytes say how the rest is written: without them there is no message to send.
    whole = good_messages()[topic]
    getattr(bench, topic).publish(whole[:4] + data.draw(damaged([whole[4:]], most=2)))


def test_after_all_of_them_the_node_answers_a_good_image_and_a_good_prompt(bench) -> None:
    bench.clock = 10**9 * 10**9  # later than any stamp before
    bench.show_next()
    bench.start("the last cup")
    assert any(found.name == "the last cup" for found in bench.show_next().objects)
