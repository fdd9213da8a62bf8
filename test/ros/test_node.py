"""The node over real topics and services, with a model that follows colours: prompts, stamps, outputs, parameters."""

import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from fakes import BLUE, GREEN, RED
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from ros_bench import (
    MILLISECOND,
    ON_BLUE,
    ON_RED,
    PATIENCE,
    SIZE,
    labels_in,
    prompt_message,
    scene,
    stamp_of,
    wait_until,
)
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from sam2_ros.messages import frame_from_compressed
from sam2_ros.ros import outputs
from sam2_ros.srv import List, Prompt, Remove
from sam2_ros.stream.session import Detection

# -- prompts -------------------------------------------------------------------------------------


def test_an_image_without_objects_gives_an_empty_result(bench):
    result = bench.show_next()
    assert list(result.objects) == [] and result.header.frame_id == "camera"
    assert not labels_in(bench.mask(bench.clock)).any()
    assert 0 < result.processing_time < PATIENCE


def test_the_prompt_service_answers_with_the_mask_on_the_prompted_image(bench):
    bench.show(scene(), bench.clock)
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    assert answer.success and answer.name == "cup" and answer.id > 0
    assert stamp_of(answer.mask) == stamp_of(answer.object) == bench.clock
    assert answer.mask.encoding == "mono8"
    mask = labels_in(answer.mask)
    assert mask.shape == SIZE and mask[ON_RED[1], ON_RED[0]] == 255 and mask[ON_BLUE[1], ON_BLUE[0]] == 0
    assert answer.object.area == np.count_nonzero(mask)


def test_a_prompt_on_the_topic_starts_an_object_that_is_followed(bench):
    bench.show_next()
    bench.prompts.publish(prompt_message("cup", points=[ON_RED]))
    bench.says("cup is object")
    result = bench.show_next({RED: (40, 40), BLUE: (80, 8)})
    assert [found.name for found in result.objects] == ["cup"]
    labels = labels_in(bench.mask(bench.clock))
    assert labels[48, 48] == result.objects[0].id and labels[16, 88] == 0


def test_masks_and_objects_carry_the_header_of_the_image(bench):
    bench.start()
    result = bench.show_next()
    mask = bench.mask(bench.clock)
    assert result.header == mask.header == result.objects[0].header
    assert (stamp_of(mask), mask.header.frame_id) == (bench.clock, "camera")


@pytest.mark.parametrize("road", ["box", "mask", "box and click", "negative click"])
def test_every_kind_of_prompt_is_taken(bench, road):
    bench.show_next()
    mask = np.zeros(SIZE, np.uint8)
    mask[8:24, 8:24] = 1
    prompts = {
        "box": prompt_message(box=(7, 7, 25, 25)),
        "mask": prompt_message(mask=mask),
        "box and click": prompt_message(points=[ON_RED], box=(7, 7, 25, 25)),
        "negative click": prompt_message(points=[ON_RED, ON_BLUE], labels=[1, 0]),
    }
    answer = bench.call(Prompt, "prompt", prompt=prompts[road])
    assert answer.success and answer.name == f"object_{answer.id}"
    assert labels_in(answer.mask)[ON_RED[1], ON_RED[0]] == 255


def test_a_correction_on_an_older_image_reaches_the_newest(bench):
    stamp = bench.start()
    bench.show_next()
    newest = bench.show_next()
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", stamp, points=[ON_BLUE]))
    assert answer.success and stamp_of(answer.mask) == stamp
    latest = wait_until(lambda: bench.results[-1] if bench.results[-1] is not newest else None, "the corrected result")
    assert stamp_of(latest) == bench.clock
    assert latest.objects[0].id == answer.id and latest.objects[0].prompted_frames >= 1
    listed = bench.call(List, "list").objects
    assert [found.id for found in listed] == [answer.id]


def test_a_name_that_is_replaced_gets_a_new_id(bench):
    bench.start()
    before = bench.call(List, "list").objects[0].id
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_BLUE], replace=True))
    assert answer.success and answer.id > before
    assert [found.id for found in bench.call(List, "list").objects] == [answer.id]


def test_an_object_that_leaves_is_occluded_and_comes_back_with_its_id(bench):
    bench.start()
    gone = bench.show_next({BLUE: (80, 48)}).objects[0]
    back = bench.show_next().objects[0]
    assert (gone.state, gone.occluded, gone.area, gone.frames_since_seen) == (1, True, 0, 1)
    assert (back.state, back.occluded, back.id) == (0, False, gone.id) and back.area > 0


def test_removing_one_object_leaves_the_others_alone(bench):
    bench.start("red")
    bench.start("blue", ON_BLUE)
    assert bench.call(Remove, "remove", name="red").success
    assert [found.name for found in bench.show_next().objects] == ["blue"]
    again = bench.call(Prompt, "prompt", prompt=prompt_message("red", points=[ON_RED]))
    assert again.id > bench.results[-1].objects[0].id


def test_removing_an_unknown_name_says_which_names_exist(bench):
    bench.start("cup")
    answer = bench.call(Remove, "remove", name="plate")
    assert not answer.success and "plate" in answer.message and "cup" in answer.message
    assert len(bench.call(List, "list").objects) == 1


def test_the_list_knows_hidden_objects_and_the_header_of_the_newest_image(bench):
    bench.start()
    bench.show_next({})
    answer = bench.call(List, "list")
    assert stamp_of(answer) == bench.clock and answer.objects[0].occluded


def test_a_reset_forgets_everything_and_publishes_it(bench):
    bench.start()
    wait_until(lambda: bench.results[-1].objects, "the object")
    answer = bench.call(Trigger, "reset")
    assert answer.success and answer.message == "forgot 1 object"
    wait_until(lambda: not bench.results[-1].objects, "an empty result")
    assert list(bench.show_next().objects) == []


# -- stamps --------------------------------------------------------------------------------------


def test_a_prompt_waits_for_an_image_that_is_still_on_its_way(bench):
    set_parameters(bench, prompt_timeout=30.0)
    bench.start()
    coming = bench.clock + 33 * MILLISECOND
    bench.prompts.publish(prompt_message("late", coming, points=[ON_BLUE]))
    result = bench.show_next()
    wait_until(lambda: len(bench.call(List, "list").objects) == 2, "the late prompt")
    assert stamp_of(result) == coming
    set_parameters(bench, prompt_timeout=2.0)


@pytest.mark.parametrize("kind, service, about", [(Remove, "remove", {"name": "late"}), (Trigger, "reset", {})])
def test_a_prompt_that_waits_for_its_image_is_removed_with_its_object(bench, kind, service, about):
    set_parameters(bench, prompt_timeout=30.0)
    bench.start()
    bench.prompts.publish(prompt_message("late", bench.clock + 33 * MILLISECOND, points=[ON_BLUE]))
    waiting = bench.node.worker._queue
    wait_until(lambda: "late" in [request.name for request in list(waiting)], "the prompt in the queue")
    assert bench.call(kind, service, **about).success
    assert "late" not in [found.name for found in bench.show_next().objects]
    set_parameters(bench, prompt_timeout=2.0)


def test_a_prompt_on_a_dropped_image_says_which_image_was_used(bench):
    stamp = bench.start()
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", stamp - 20 * MILLISECOND, points=[ON_RED]))
    assert answer.success and stamp_of(answer.mask) == stamp
    assert "0.020 s after the stamp of the prompt" in answer.message


def test_a_prompt_on_a_forgotten_image_is_refused(bench):
    stamp = bench.start()
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("old", stamp - 5000 * MILLISECOND, points=[ON_RED]))
    assert not answer.success and "older than the oldest remembered image" in answer.message
    assert not answer.mask.data and answer.id == 0


def test_a_prompt_for_an_image_that_never_comes_is_refused_in_the_end(bench):
    set_parameters(bench, prompt_timeout=0.05)
    stamp = bench.start()
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("x", stamp + 10**10, points=[ON_RED]))
    assert not answer.success and "newer than the newest image" in answer.message
    set_parameters(bench, prompt_timeout=2.0)


def test_prompts_before_any_image_are_refused_with_a_sentence(bench):
    set_parameters(bench, prompt_timeout=0.5)
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("early", points=[ON_RED]))
    assert not answer.success and "no image has arrived yet" in answer.message
    bench.prompts.publish(prompt_message("early", points=[ON_RED]))
    bench.says("prompt refused: no image has arrived yet")
    set_parameters(bench, prompt_timeout=2.0)


def test_a_call_before_any_image_or_for_one_to_come_waits_for_it(bench):
    set_parameters(bench, prompt_timeout=10.0)
    for name, ahead in (("early", 0), ("later", 40 * MILLISECOND)):
        stamp = bench.clock + ahead if ahead else 0
        waiting = bench.ask(Prompt, "prompt", prompt=prompt_message(name, stamp, points=[ON_RED]))
        time.sleep(0.3)
        assert not waiting.done()
        bench.clock += 40 * MILLISECOND
        bench.show(scene(), bench.clock)
        wait_until(waiting.done, "the answer")
        assert waiting.result().success and stamp_of(waiting.result().object) == bench.clock
    set_parameters(bench, prompt_timeout=2.0)


def test_detections_become_objects(bench):
    bench.show_next()
    bench.node.prompts.detections([Detection((9, 9, 22, 22), label="block")], bench.clock)
    bench.says("detections: block_1 is object")


def test_a_repeated_stamp_is_the_same_image(bench):
    bench.start()
    first = bench.show_next().objects[0]
    again = bench.show(scene({GREEN: (8, 8)}), bench.clock).objects[0]
    assert (again.area, again.occluded) == (first.area, False)


def test_stamps_that_go_back_restart_the_memory_of_images_and_objects_live_on(bench):
    bench.start()
    bench.clock -= 5_000 * MILLISECOND
    result = bench.show_next()
    assert [found.name for found in result.objects] == ["cup"]
    bench.says("image stamps went back by 4.967 s")
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("blue", bench.clock, points=[ON_BLUE]))
    assert answer.success
    bench.clock += 10_000 * MILLISECOND


def test_images_without_stamps_are_tracked(bench):
    results = []
    for _ in range(3):
        results.append(bench.show(scene(), 0))
    answer = bench.call(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    assert answer.success and stamp_of(answer.mask) == 0
    assert bench.show(scene(), 0).objects[0].name == "cup"


# -- outputs -------------------------------------------------------------------------------------


def test_pictures_are_drawn_only_while_somebody_watches(bench, monkeypatch):
    drawn = []
    monkeypatch.setattr(outputs, "overlay", lambda image, tracks, notes: drawn.append(1) or image)
    bench.start()
    bench.show_next()
    assert not drawn
    seen = []
    watching = bench.ros.create_subscription(Image, "/sam2_ros/overlay", seen.append, 5)
    wait_until(lambda: bench.node.count_subscribers("/sam2_ros/overlay"), "the subscription")
    wait_until(lambda: bench.show_next() and seen, "an overlay")
    assert drawn and seen[-1].encoding == "rgb8" and (seen[-1].height, seen[-1].width) == SIZE
    bench.ros.destroy_subscription(watching)


def test_compressed_pictures_are_offered_and_label_images_stay_lossless(bench):
    bench.start()
    overlays, masks = [], []
    subscriptions = [
        bench.ros.create_subscription(CompressedImage, "/sam2_ros/overlay/compressed", overlays.append, 5),
        bench.ros.create_subscription(CompressedImage, "/sam2_ros/masks/compressed", masks.append, 5),
    ]
    wait_until(lambda: bench.show_next() and overlays and masks, "compressed pictures")
    assert "jpeg" in overlays[-1].format and "png" in masks[-1].format
    assert frame_from_compressed(overlays[-1]).size == SIZE
    stamp = stamp_of(masks[-1])
    assert (frame_from_compressed(masks[-1]).image[:, :, 0] == labels_in(bench.mask(stamp))).all()
    for subscription in subscriptions:
        bench.ros.destroy_subscription(subscription)


# -- parameters ----------------------------------------------------------------------------------


def as_value(value):
    kind = {
        bool: ("BOOL", "bool_value"),
        int: ("INTEGER", "integer_value"),
        float: ("DOUBLE", "double_value"),
        str: ("STRING", "string_value"),
    }[type(value)]
    return ParameterValue(**{"type": getattr(ParameterType, f"PARAMETER_{kind[0]}"), kind[1]: value})


def set_parameters(bench, **values):
    parameters = [Parameter(name=name, value=as_value(value)) for name, value in values.items()]
    return bench.call(SetParameters, "set_parameters", parameters=parameters).results


def test_safe_parameters_change_while_the_node_runs(bench):
    bench.start()
    assert set_parameters(bench, lost_after_frames=1)[0].successful
    assert bench.show_next({}).objects[0].state == 2
    assert set_parameters(bench, lost_after_frames=150)[0].successful


@pytest.mark.parametrize(
    "name, value",
    [("visible_margin", 99.0), ("prompt_tolerance", -1.0), ("overlay_jpeg_quality", 0), ("prompt_timeout", "long")],
)
def test_values_out_of_range_or_of_another_type_are_refused(bench, name, value):
    (result,) = set_parameters(bench, **{name: value})
    assert not result.successful and result.reason


@pytest.mark.parametrize("name, value", [("model", "tiny"), ("remembered_frames", 5), ("precision", "float16")])
def test_parameters_that_decide_what_is_built_are_fixed(bench, name, value):
    (result,) = set_parameters(bench, **{name: value})
    assert not result.successful and "read-only" in result.reason


def test_parameters_are_described_with_their_ranges(bench):
    names = ["visible_margin", "image_transport", "hole_area"]
    margin, transport, area = bench.call(DescribeParameters, "describe_parameters", names=names).descriptors
    assert "logit" in margin.description and margin.floating_point_range[0].to_value == 20.0
    assert transport.additional_constraints == "one of auto, raw, compressed" and transport.read_only
    assert area.integer_range[0].to_value == 4096


def test_quality_of_service_can_be_overridden(bench):
    names = ["qos_overrides./image.subscription.reliability", "qos_overrides./sam2_ros/masks.publisher.depth"]
    values = bench.call(GetParameters, "get_parameters", names=names).values
    assert (values[0].string_value, values[1].integer_value) == ("reliable", 5)
