"""A topic of 300 messages a second costs the executor a few turns, or none; a flood of calls as well."""

import threading
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, PointStamped
from rclpy.qos import QoSProfile
from ros_bench import ON_RED, PATIENCE, Bench, image_message, prompt_message, scene, stamp_of, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from sam2_ros.ros import pacing
from sam2_ros.ros.node import UPDATE
from sam2_ros.ros.pacing import BURST, RATE, Pace
from sam2_ros.ros.pulled import RATE as IMAGE_RATE
from sam2_ros.ros.pulled import Noticed
from sam2_ros.srv import List, Prompt

COUNT = 300


@pytest.fixture
def turns(monkeypatch):
    """Seconds of rest after each turn of any topic."""
    rests = []
    spend = pacing.Pace.spend

    def count(pace):
        rests.append(spend(pace))
        return rests[-1]

    monkeypatch.setattr(pacing.Pace, "spend", count)
    return rests


@pytest.fixture
def bench(turns):
    one = Bench("-p", "use_sim_time:=true")
    yield one.connect()
    one.close()


def flood(bench, kind, topic, fill=lambda message, number: None):
    """Publish ``COUNT`` messages in a second; the seconds that it took."""
    publisher = bench.ros.create_publisher(kind, topic, 10)
    wait_until(publisher.get_subscription_count, f"somebody who subscribes to {topic}")
    start = time.monotonic()
    for number in range(1, COUNT + 1):
        message = kind()
        fill(message, number)
        publisher.publish(message)
        time.sleep(max(start + number / COUNT - time.monotonic(), 0))
    return time.monotonic() - start


def test_a_fast_topic_gets_few_turns_and_its_newest_message_is_handled(bench, turns):
    def fill(message, number):
        message.x, message.y = float(number), 1.0

    clicked = []
    bench.node.clicks._on_click = lambda x, y, stamp: clicked.append(x)
    seconds = flood(bench, Point, "/image_mouse_left", fill)
    wait_until(lambda: clicked[-1:] == [COUNT], "the newest click")
    assert BURST < len(turns) <= BURST + RATE * (seconds + 1)
    assert clicked == sorted(set(clicked))  # in order, and none twice
    assert clicked[:5] == [1, 2, 3, 4, 5]  # the first ones are handled at once


def test_a_fast_clock_gets_few_turns_and_is_followed(bench, turns):
    def fill(message, number):
        message.clock.sec = number

    seconds = flood(bench, Clock, "/clock", fill)
    wait_until(lambda: bench.node.get_clock().now().nanoseconds == COUNT * 10**9, "the newest time")
    assert BURST < len(turns) <= BURST + RATE * (seconds + 1)


def test_a_flood_of_calls_gets_few_turns_and_every_call_is_answered(bench, turns):
    client = bench.ros.create_client(List, "/sam2_ros/list", qos_profile=QoSProfile(depth=COUNT))
    assert client.wait_for_service(PATIENCE)
    start, answers = time.monotonic(), []
    for number in range(COUNT // 2):
        answers.append(client.call_async(List.Request()))
        time.sleep(max(start + 2 * number / COUNT - time.monotonic(), 0))
    wait_until(lambda: all(answer.done() for answer in answers), "every answer")
    assert BURST < len(turns) <= BURST + RATE * (time.monotonic() - start + 1)


def test_calls_are_applied_in_their_order_though_all_of_them_wait_for_one_image(bench):
    names = [f"object {number}" for number in range(10)]
    bench.show(scene(), 10**12)
    coming = 10**12 + 10**8
    asked = [bench.ask(Prompt, "prompt", prompt=prompt_message(name, coming, points=[ON_RED])) for name in names]
    time.sleep(0.2)
    bench.show(scene(), coming)
    wait_until(lambda: all(one.done() for one in asked), "every answer")
    ids = [one.result().id for one in asked]
    assert all(one.result().success for one in asked) and ids == sorted(ids)


def test_a_call_that_cannot_be_read_or_answered_costs_no_other_call_its_answer(bench, monkeypatch):
    (service,) = [one for one in bench.node.services if one.srv_name.endswith("/list")]
    calls, answer = iter(range(1, 100)), service.callback

    def fail_twice(request, response):
        if next(calls) <= 2:
            raise ValueError("a defect")
        return answer(request, response)

    monkeypatch.setattr(service, "callback", fail_twice)
    take = pacing.waiting_calls

    def take_and_fail(one):
        yield from take(one)
        raise ValueError("bytes that are no request")

    monkeypatch.setattr(pacing, "waiting_calls", take_and_fail)
    asked = [bench.ask(List, "list") for _ in range(5)]
    wait_until(lambda: sum(one.done() for one in asked) == 3, "the answers to the other three")
    bench.says("a call failed unexpectedly")


def test_camera_info_is_read_when_a_click_needs_it_and_not_before(bench, turns):
    def fill(message, number):
        message.width = number

    flood(bench, CameraInfo, "/camera_info", fill)
    assert not turns
    infos = bench.node.clicks._infos
    assert wait_until(infos.take, "camera_info")[-1].width == COUNT
    assert infos.take() == []


def test_images_of_a_fast_bag_get_a_bounded_number_of_turns_and_the_newest_is_followed(bench, turns):
    start = time.monotonic()
    for number in range(COUNT):
        bench.images.publish(image_message(scene(), 10**12 + number))
        time.sleep(max(start + number / COUNT - time.monotonic(), 0))
    wait_until(lambda: bench.results and stamp_of(bench.results[-1]) == 10**12 + COUNT - 1, "the newest image")
    assert len(turns) <= BURST + IMAGE_RATE * (time.monotonic() - start + 0.5)


def test_while_the_tracker_works_images_wait_in_the_middleware_and_are_counted(bench, turns):
    bench.show(scene(), 10**12)
    busy, ends = threading.Event(), threading.Event()
    bench.node.worker.ask(lambda: busy.set() or ends.wait(PATIENCE))
    assert busy.wait(PATIENCE)
    turns.clear()
    start = time.monotonic()
    for number in range(1, 21):
        bench.images.publish(image_message(scene(), 10**12 + number))
        time.sleep(max(start + number / 20 - time.monotonic(), 0))
    wait_until(lambda: bench.node.camera.received == 21, "the images to be counted")
    assert len(turns) <= 2 + (time.monotonic() - start) / UPDATE
    ends.set()
    assert bench.result(10**12 + 20).dropped_frames == 19


def test_messages_that_nobody_has_read_do_not_keep_the_executor_awake(bench, monkeypatch):
    flood(bench, CameraInfo, "/camera_info")
    waits = []
    wait = bench.node_executor.can_execute
    monkeypatch.setattr(bench.node_executor, "can_execute", lambda entity: waits.append(entity) or wait(entity))
    time.sleep(0.5)
    timers = [entity for entity in waits if entity in list(bench.node.timers)]
    assert len(timers) < 50  # it is asked once for each wait


@pytest.mark.parametrize("topic", ["/image", "/clicked_point"])
def test_the_executor_rests_until_its_threads_begin_with_a_message(bench, monkeypatch, topic):
    """Else it asks again and again for what waits already, and its threads do not get the interpreter."""
    handed, submit = [], bench.node_executor._executor.submit
    monkeypatch.setattr(bench.node_executor._executor, "submit", lambda task: handed.append(task))  # busy threads
    kind = {"/image": Image, "/clicked_point": PointStamped}[topic]
    publisher = bench.images if topic == "/image" else bench.ros.create_publisher(kind, topic, 10)
    wait_until(publisher.get_subscription_count, f"somebody who subscribes to {topic}")
    publisher.publish(image_message(scene(), 1) if kind is Image else kind())
    wait_until(lambda: handed, "the message to be handed to a thread")
    count = len(handed)
    time.sleep(0.3)
    assert len(handed) < count + 20
    for task in handed:
        submit(task)


def test_every_subscription_of_the_node_is_paced_or_only_noticed_or_read_on_demand(bench):
    noticed = {one.topic_name for one in bench.node.subscriptions if isinstance(one.callback_group, Noticed)}
    paced = {one.topic_name for one in bench.node.subscriptions if isinstance(one.callback, pacing.Turns)}
    never = {one.topic_name for one in bench.node.subscriptions if isinstance(one.callback_group, pacing.Never)}
    assert noticed == {"/image"}
    assert paced | never | noticed == {one.topic_name for one in bench.node.subscriptions}
    assert {"/clock", "/clicked_point", "/sam2_ros/prompt", "/image_mouse_left"} <= paced
    assert "/camera_info" in never


def test_every_service_of_the_node_is_paced(bench):
    ours = [
        one for one in bench.node.services if one.srv_type.__module__.startswith("sam2_ros") or "reset" in one.srv_name
    ]
    assert len(ours) == 4 and all(isinstance(one.callback_group, pacing.Calls) for one in ours)


def test_a_topic_that_was_fast_is_handled_at_once_again_after_a_quiet_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    pace = Pace(10.0)
    assert [pace.spend() for _ in range(int(BURST) - 1)] == [0.0] * 9
    assert pace.spend() == pytest.approx(0.1)
    now[0] += 0.1
    assert pace.spend() == pytest.approx(0.1)
    now[0] += 1.0
    assert pace.spend() == 0.0


def test_a_topic_that_is_slow_never_rests(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    pace = Pace(10.0)
    for _ in range(1000):
        assert pace.spend() == 0.0
        now[0] += 0.101


def test_a_subscription_that_is_destroyed_in_the_midst_of_a_turn_is_no_error(bench):
    handled = []
    subscription = bench.node.create_subscription(Point, "/other_topic", handled.append, 10)
    turns = subscription.callback
    bench.node.destroy_subscription(subscription)
    turns(Point())
    assert handled == [Point()]
