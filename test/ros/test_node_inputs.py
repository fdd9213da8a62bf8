"""What the node does with every kind of image, prompt and click, the meaningless ones included."""

import re
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, PointStamped
from ros_bench import (
    MILLISECOND,
    ON_BLUE,
    ON_RED,
    SIZE,
    image_message,
    prompt_message,
    scene,
    set_stamp,
    wait_until,
)
from sensor_msgs.msg import CameraInfo, Image

from sam2_ros.errors import InvalidImage
from sam2_ros.messages import frame_from
from sam2_ros.srv import List, Prompt

# -- images --------------------------------------------------------------------------------------


def bad(**changes):
    def made(stamp):
        message = image_message(scene(), stamp)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    return made


BAD_IMAGES = {
    "zero size": (bad(width=0, height=0, step=0, data=b""), "no pixels"),
    "wrong step": (bad(step=7), "step 7 is too small"),
    "step of another size": (bad(step=500), "bytes of data"),
    "short data": (bad(data=bytes(100)), "100 bytes of data"),
    "no data": (bad(data=b""), "0 bytes of data"),
    "long data": (bad(data=bytes(96 * 128 * 3 + 9)), "36873 bytes of data"),
    "unknown encoding": (bad(encoding="hsv9"), "'hsv9' cannot be read"),
    "huge size": (bad(width=2**32 - 1, height=2**32 - 1), "too small"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_cannot_be_read_is_dropped_and_the_node_lives_on(bench, kind):
    make, _ = BAD_IMAGES[kind]
    bench.start()
    refused = bench.node.worker.counts.refused
    bench.images.publish(make(bench.clock + 10 * MILLISECOND))
    wait_until(lambda: bench.node.worker.counts.refused > refused, "the refusal")
    assert bench.show_next().objects[0].area > 0  # the node lives and the object is still followed


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_the_sentence_about_an_unreadable_image_says_what_is_wrong_with_it(kind):
    make, words = BAD_IMAGES[kind]
    with pytest.raises(InvalidImage, match=re.escape(words)):
        frame_from(make(1))


def test_images_that_cannot_be_read_are_said_now_and_then_only(bench):
    make, words = BAD_IMAGES["unknown encoding"]

    def lines():
        bench.clock += 10 * MILLISECOND
        bench.images.publish(make(bench.clock))
        time.sleep(0.02)
        return [line for line in bench.log if "image refused" in line and words in line]

    wait_until(lines, "the sentence")
    refused = bench.node.worker.counts.refused
    wait_until(lambda: lines() and bench.node.worker.counts.refused > refused + 20, "more refusals")
    assert len(lines()) <= 2


def test_prompts_that_are_refused_in_a_row_are_said_once(bench):
    before = sum("prompt refused" in line for line in bench.log)
    bench.start()
    for _ in range(5):
        bench.prompts.publish(prompt_message("x", bench.clock, points=[(5000, 5000)]))
    bench.says("prompt refused", "outside")
    bench.prompts.publish(prompt_message("last", bench.clock, points=[ON_RED]))
    bench.says("last is object")
    assert sum("prompt refused" in line for line in bench.log) == before + 1


@pytest.mark.parametrize(
    "encoding, dtype, channels",
    [
        ("mono8", np.uint8, 1),
        ("mono16", np.uint16, 1),
        ("16UC1", np.uint16, 1),
        ("bayer_rggb8", np.uint8, 1),
        ("bayer_grbg16", np.uint16, 1),
        ("yuv422", np.uint8, 2),
        ("bgra8", np.uint8, 4),
        ("32FC1", np.float32, 1),
    ],
)
def test_every_usual_encoding_is_tracked(bench, encoding, dtype, channels):
    data = np.zeros((*SIZE, channels), dtype)
    data[8:24, 8:24] = 200
    message = Image(encoding=encoding, height=SIZE[0], width=SIZE[1], step=data[0].nbytes, data=data.tobytes())
    bench.clock += MILLISECOND
    set_stamp(message.header, bench.clock)
    bench.show(message, bench.clock)
    assert bench.mask(bench.clock).width == SIZE[1]


@pytest.mark.parametrize("height, width", [(8, 8), (1, 1), (2160, 3840), (480, 1), (96, 128)])
def test_the_size_of_images_may_change_at_any_time(bench, height, width):
    bench.start()
    bench.clock += 33 * MILLISECOND
    bench.show(np.full((height, width, 3), 90, np.uint8), bench.clock)
    mask = bench.mask(bench.clock)
    assert (mask.height, mask.width) == (height, width)
    assert bench.show_next().objects[0].name == "cup"


# -- prompts that mean nothing -------------------------------------------------------------------

BAD_PROMPTS = {
    "empty": (dict(), "this one is empty"),
    "outside": (dict(points=[(500, 10)]), "lies outside the 128x96 image"),
    "not a number": (dict(points=[(float("nan"), 10)]), "finite"),
    "infinite": (dict(points=[(float("inf"), 10)]), "finite"),
    "more points than labels": (dict(points=[ON_RED, ON_BLUE], labels=[1]), "2 points but 1 labels"),
    "more labels than points": (dict(points=[ON_RED], labels=[1, 1]), "1 points but 2 labels"),
    "unknown label": (dict(points=[ON_RED], labels=[7]), "got [7]"),
    "only negative": (dict(points=[ON_RED], labels=[0]), "only negative points for a new object"),
    "box inside out": (dict(box=(20, 20, 10, 10)), "x0 < x1"),
    "box outside": (dict(box=(200, 200, 300, 300)), "lies outside"),
    "box of nothing": (dict(box=(float("nan"),) * 4), "finite"),
    "mask of another size": (dict(mask=np.ones((10, 10))), "10x10 but its image is 128x96"),
    "empty mask": (dict(mask=np.zeros(SIZE)), "mask of a new object is empty"),
}


@pytest.mark.parametrize("kind", BAD_PROMPTS)
def test_a_prompt_that_means_nothing_is_refused_and_changes_nothing(bench, kind):
    fields, words = BAD_PROMPTS[kind]
    bench.start()
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("new", **fields))
    assert not answer.success and words in answer.message
    del bench.log[:]
    bench.prompts.publish(prompt_message("new", **fields))
    bench.says("prompt refused", words)
    assert [found.name for found in bench.show_next().objects] == ["cup"]


# -- clicks of other tools -----------------------------------------------------------------------


def publish_once(bench, kind, topic, message):
    publisher = bench.ros.create_publisher(kind, topic, 5)
    wait_until(publisher.get_subscription_count, f"a subscriber of {topic}")
    publisher.publish(message)
    return publisher


def test_a_clicked_pixel_starts_an_object(bench):
    bench.show_next()
    click = PointStamped(point=Point(x=float(ON_RED[0]), y=float(ON_RED[1])))
    publish_once(bench, PointStamped, "/clicked_point", click)
    (found,) = wait_until(lambda: bench.call(List, "list").objects, "the object")
    assert found.area > 0 and abs(found.centroid.x - 15.5) < 3


@pytest.mark.parametrize(
    "topic",
    [
        "/image_mouse_left",
        "/image/compressed_mouse_left",
        "/sam2_ros/overlay_mouse_left",
        "/sam2_ros/overlay/compressed_mouse_left",
    ],
)
def test_a_click_in_an_image_viewer_starts_an_object(bench, topic):
    bench.show_next()
    publish_once(bench, Point, topic, Point(x=float(ON_BLUE[0]), y=float(ON_BLUE[1])))
    (found,) = wait_until(lambda: bench.call(List, "list").objects, "the object")
    assert abs(found.centroid.x - 87.5) < 3


def test_a_point_in_space_is_projected_through_camera_info(bench):
    bench.show_next()
    info = CameraInfo(k=[100.0, 0.0, 64.0, 0.0, 100.0, 48.0, 0.0, 0.0, 1.0])
    set_stamp(info.header, bench.clock)
    publisher = publish_once(bench, CameraInfo, "/camera_info", info)
    wait_until(bench.node.clicks.camera_info, "camera_info")
    click = PointStamped(point=Point(x=0.48, y=0.16, z=2.0))  # pixel (88, 56)
    set_stamp(click.header, bench.clock)
    publish_once(bench, PointStamped, "/clicked_point", click)
    (found,) = wait_until(lambda: bench.call(List, "list").objects, "the object")
    assert abs(found.centroid.x - 87.5) < 3
    bench.ros.destroy_publisher(publisher)


def test_a_click_that_no_pixel_shows_is_refused_with_a_sentence(bench):
    bench.show_next()
    click = PointStamped(point=Point(x=1.0, y=1.0, z=1.0))
    set_stamp(click.header, 0, "somewhere")
    publish_once(bench, PointStamped, "/clicked_point", click)
    bench.says("click refused", "somewhere")
    publish_once(bench, PointStamped, "/clicked_point", PointStamped(point=Point(x=-5.0, y=1.0)))
    bench.says("click refused", "(-5, 1) lies outside")
