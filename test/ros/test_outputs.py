from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from ros_bench import labels_in, set_stamp
from std_msgs.msg import Header

from sam2_ros.messages import fill_image
from sam2_ros.ros.outputs import tracked_object
from sam2_ros.ros.outputs_masks import mask_image
from sam2_ros.types import State, Track, label_image


def track(number=3, **changes):
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:20] = True
    values = dict(
        id=number,
        name="cup",
        state=State.VISIBLE,
        occluded=False,
        mask=mask,
        object_score=2.0,
        predicted_iou=0.75,
        object_pointer=np.arange(256, dtype=np.float32),
        frames_since_seen=0,
        prompted_frames=2,
    )
    return Track(**{**values, **changes})


def header():
    return set_stamp(Header(), 123_000_000_456, "optical")


def test_every_field_of_a_tracked_object_is_filled():
    message = tracked_object(track(), header())
    assert message.header == header()
    assert (message.id, message.name, message.state, message.occluded) == (3, "cup", 0, False)
    assert message.object_score == 2.0 and message.object_probability == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert message.predicted_iou == 0.75
    assert (message.box.x0, message.box.y0, message.box.x1, message.box.y1) == (10, 5, 19, 8)
    assert (message.centroid.x, message.centroid.y, message.area) == (14.5, 6.5, 40)
    assert list(message.object_pointer) == list(range(256))
    assert (message.frames_since_seen, message.prompted_frames) == (0, 2)


def test_an_object_out_of_sight_has_no_box_and_no_centre():
    hidden = track(
        mask=np.zeros((20, 30), bool), state=State.LOST, occluded=True, object_score=-8.0, frames_since_seen=200
    )
    message = tracked_object(hidden, header())
    assert (message.state, message.occluded, message.frames_since_seen, message.area) == (2, True, 200, 0)
    assert message.box.x1 == message.centroid.x == 0.0


def test_scores_of_numpy_and_pointers_of_other_widths_fit():
    message = tracked_object(track(object_score=np.float32(1.5), object_pointer=np.ones(128, np.float64)), header())
    assert message.object_score == 1.5 and len(message.object_pointer) == 128


def test_one_mask_is_mono8_with_255_on_the_object():
    message = mask_image(track().mask, header())
    assert message.encoding == "mono8" and message.header == header()
    assert (labels_in(message) == track().mask * 255).all()


@pytest.mark.parametrize("number, encoding", [(254, "mono8"), (255, "mono16"), (65535, "mono16")])
def test_label_images_widen_beyond_254_objects(number, encoding):
    from sensor_msgs.msg import Image

    message = fill_image(Image(header=header()), label_image([track(1), replace(track(), id=number)], (20, 30)))
    assert message.encoding == encoding
    assert set(np.unique(labels_in(message))) == {0, number}
