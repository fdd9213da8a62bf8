"""The states of a managed node: by themselves, and of the tracking node with its topics and services."""

import gc
import threading
import time
import weakref

import pytest

rclpy = pytest.importorskip("rclpy")

import torch
from fakes import ColourModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import MultiThreadedExecutor
from ros_bench import (
    ON_BLUE,
    ON_RED,
    PATIENCE,
    Bench,
    Operator,
    image_message,
    prompt_message,
    scene,
    spin_on,
    wait_until,
)
from std_srvs.srv import Trigger

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.ros.depth import Depth
from sam2_ros.ros.lifecycle import Managed
from sam2_ros.ros.node import Node
from sam2_ros.ros.prompts import THREADS
from sam2_ros.ros.startup import shutdown
from sam2_ros.srv import List, Prompt, Remove
from sam2_ros.tracking.tracker import Tracker

# -- a node that does nothing ----------------------------------------------------------------------


class Recorded(Managed):
    """Notes its transitions; one may fail, or wait until it may go on."""

    def __init__(self):
        super().__init__("managed")
        self.done, self.failing = [], {}
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def configure(self):
        self.may_go_on.wait(PATIENCE)
        self._note("configure")

    def activate(self):
        self._note("activate")

    def deactivate(self):
        self._note("deactivate")

    def cleanup(self):
        self._note("cleanup")

    def _note(self, name):
        self.done.append(name)
        if name in self.failing:
            raise self.failing[name]


class Manager:
    """A node that is managed, and one that calls its services."""

    def __init__(self):
        self.node, self.caller = Recorded(), rclpy.create_node("manager")
        self.log, self.closing = [], False
        self.node.get_logger = lambda: self
        self.executor = MultiThreadedExecutor(4)
        self.executor.add_node(self.node)
        self.executor.add_node(self.caller)
        self.thread = threading.Thread(target=spin_on, args=[self.executor, lambda: self.closing])
        self.thread.start()
        self.change_state = self.caller.create_client(ChangeState, "/managed/change_state")
        self.get_state = self.caller.create_client(GetState, "/managed/get_state")
        assert self.change_state.wait_for_service(PATIENCE) and self.get_state.wait_for_service(PATIENCE)

    def warning(self, sentence):
        self.log.append(sentence)

    error = warning

    def ask(self, transition):
        """By its id or its label; the future of the answer."""
        named = {"label" if isinstance(transition, str) else "id": transition}
        return self.change_state.call_async(ChangeState.Request(transition=Transition(**named)))

    def change(self, transition):
        answer = self.ask(transition)
        wait_until(answer.done, "an answer")
        return answer.result().success

    def state(self):
        answer = self.get_state.call_async(GetState.Request())
        wait_until(answer.done, "an answer")
        return answer.result().current_state.label

    def close(self):
        self.closing = True
        self.executor.shutdown()
        self.thread.join()
        self.node.destroy_node()
        self.caller.destroy_node()


@pytest.fixture
def manager():
    rclpy.init()
    one = Manager()
    yield one
    one.close()
    shutdown()


def test_each_transition_is_done_and_told(manager):
    steps = [("configure", "inactive"), ("activate", "active"), ("deactivate", "inactive"), ("cleanup", "unconfigured")]
    assert manager.state() == "unconfigured"
    for transition, state in steps:
        assert manager.change(transition) and manager.state() == state
    assert manager.node.done == [transition for transition, _ in steps]
    assert manager.change(Transition.TRANSITION_CONFIGURE) and manager.change(Transition.TRANSITION_ACTIVATE)
    assert manager.change("shutdown") and manager.state() == "finalized"
    assert manager.node.done[4:] == ["configure", "activate", "deactivate", "cleanup"] and manager.log == []


def test_a_transition_that_does_not_fit_the_state_is_refused_and_changes_nothing(manager):
    for wrong in ("activate", Transition.TRANSITION_DEACTIVATE, 99, "fly"):
        assert not manager.change(wrong)
    assert manager.state() == "unconfigured" and manager.node.done == []
    assert manager.log[0] == "activate is refused: the node is unconfigured; possible now: configure, shutdown"
    assert len(manager.log) == 4
    assert manager.change("configure")


def test_while_a_transition_runs_the_state_is_told_and_another_one_refused(manager):
    manager.node.may_go_on.clear()
    slow = manager.ask("configure")
    wait_until(lambda: manager.state() == "configuring", "the transition")
    assert not manager.change("cleanup") and "the node is configuring, call again later" in manager.log[0]
    manager.node.may_go_on.set()
    wait_until(slow.done, "its end")
    assert slow.result().success and manager.state() == "inactive"


def test_what_cannot_be_done_leaves_the_state_and_is_told(manager):
    manager.node.failing["configure"] = CheckpointError("there is no file cup.pt")
    assert not manager.change("configure") and manager.state() == "unconfigured"
    assert manager.log == ["configure failed, the node is unconfigured: there is no file cup.pt"]
    manager.node.failing.clear()
    assert manager.change("configure")


def test_an_unexpected_error_is_logged_whole_and_the_node_can_be_configured_again(manager):
    assert manager.change("configure")
    manager.node.failing["activate"] = ZeroDivisionError("a defect")
    assert not manager.change("activate") and manager.state() == "unconfigured"
    assert "Traceback" in manager.log[0] and "a defect" in manager.log[0]
    assert manager.node.done == ["configure", "activate", "cleanup"]
    manager.node.failing.clear()
    assert manager.change("configure") and manager.change("activate")


def test_a_start_raises_what_kept_it_from_that(manager):
    manager.node.failing["configure"] = CheckpointError("there is no file cup.pt")
    with pytest.raises(CheckpointError, match=r"cup\.pt"):
        manager.node.start()
    manager.node.failing.clear()
    manager.node.start()
    assert manager.state() == "active"


# -- the tracking node -----------------------------------------------------------------------------

MODELS = []


def tracker_of_a_new_model(parameters):
    model = ColourModel()
    MODELS.append(weakref.ref(model))
    return Tracker(model, parameters.tracker), "a model that follows colours"


@pytest.fixture
def opened():
    benches = []

    def open_bench(*arguments, **more):
        benches.append(Bench(*arguments, **more))
        return benches[-1]

    yield open_bench
    for bench in benches:
        bench.close()


def change(bench, label):
    return bench.call(ChangeState, "change_state", transition=Transition(label=label)).success


def state(bench):
    return bench.call(GetState, "get_state").current_state.label


def test_a_node_that_is_deactivated_rests_and_goes_on_with_its_objects(opened):
    bench = opened().connect()
    bench.start("cup")
    identity = bench.show_next().objects[0].id
    assert state(bench) == "active" and change(bench, "deactivate")
    wait_until(lambda: not bench.images.get_subscription_count(), "the node to leave the image topic")
    wait_until(lambda: not bench.prompts.get_subscription_count(), "the node to leave the prompt topic")
    bench.images.publish(image_message(scene(), bench.clock + 1))
    for kind, service, about in (
        (Prompt, "prompt", {"prompt": prompt_message(points=[ON_RED])}),
        (Remove, "remove", {"name": "cup"}),
        (Trigger, "reset", {}),
    ):
        answer = bench.call(kind, service, **about)
        assert not answer.success
        assert "not active; activate it: ros2 lifecycle set /sam2_ros activate" in answer.message
    assert list(bench.call(List, "list").objects) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "tracker"]
    assert change(bench, "activate")
    bench.connect()
    result = bench.show_next()
    assert [(found.name, found.id) for found in result.objects] == [("cup", identity)]
    assert bench.call(Remove, "remove", name="cup").success


def test_a_prompt_that_waits_is_refused_when_the_node_is_deactivated(opened):
    bench = opened("-p", "prompt_timeout:=60.0").connect()
    bench.start()
    waiting = bench.ask(Prompt, "prompt", prompt=prompt_message("late", bench.clock + 10**9, points=[ON_RED]))
    wait_until(
        lambda: "late" in [request.name for request in list(bench.node.worker._queue)], "the prompt in the queue"
    )
    assert change(bench, "deactivate")
    wait_until(waiting.done, "its answer")
    assert not waiting.result().success and waiting.result().message == "the node was deactivated"


class SlowModel(ColourModel):
    def decode(self, view, features, prompt=None, **options):
        time.sleep(0.5 if prompt is not None else 0)
        return super().decode(view, features, prompt, **options)


def test_a_prompt_that_is_being_applied_is_finished_before_the_node_is_inactive(opened):
    model = SlowModel()
    bench = opened(make=lambda parameters: (Tracker(model, parameters.tracker), "slow")).connect()
    bench.show_next()
    running = bench.ask(Prompt, "prompt", prompt=prompt_message("cup", points=[ON_RED]))
    wait_until(lambda: model.calls[-1][0] == "attend", "the prompt")
    assert change(bench, "deactivate")
    wait_until(running.done, "its answer")
    assert running.result().success
    assert change(bench, "activate")
    bench.connect()
    assert [found.name for found in bench.show_next().objects] == ["cup"]


def test_a_cleanup_frees_the_model_and_another_one_is_loaded_later(opened):
    MODELS.clear()
    bench = opened(make=tracker_of_a_new_model).connect()
    bench.start("cup")
    assert change(bench, "deactivate") and change(bench, "cleanup")
    gc.collect()
    wait_until(lambda: MODELS[0]() is None, "the model to be gone")
    assert not change(bench, "activate"), "there is no model"
    assert change(bench, "configure") and change(bench, "activate")
    bench.connect()
    assert list(bench.show_next().objects) == [] and len(MODELS) == 2


def test_a_model_that_is_loaded_again_is_first_computed_with_all_threads(opened):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        bench = opened(make=tracker_of_a_new_model).connect()
        bench.node.worker.ask(lambda: bench.node._threads._set(1)).result(PATIENCE)
        for label in ("deactivate", "cleanup", "configure", "activate"):
            assert change(bench, label)
        assert bench.node._threads.count == 3
        assert bench.node.worker.ask(torch.get_num_threads).result(PATIENCE) == 3
    finally:
        torch.set_num_threads(before)


def test_without_autostart_a_node_waits_for_its_manager(opened):
    bench = opened("-p", "autostart:=false")
    assert state(bench) == "unconfigured"
    assert not bench.ros.count_publishers("/sam2_ros/masks") and not bench.images.get_subscription_count()
    assert change(bench, "configure") and state(bench) == "inactive"
    assert not bench.images.get_subscription_count()
    assert change(bench, "activate")
    bench.connect()
    bench.start("cup")


def test_a_parameter_that_is_set_while_nothing_is_loaded_counts_later(opened):
    bench = opened("-p", "autostart:=false")
    (result,) = bench.node.set_parameters([rclpy.parameter.Parameter("lost_after_frames", value=1)])
    assert result.successful
    assert change(bench, "configure") and change(bench, "activate")
    bench.connect()
    bench.start("cup")
    assert bench.show_next({}).objects[0].state == 2


def test_two_nodes_with_names_of_their_own_work_in_one_process():
    rclpy.init()
    nodes = [
        Node(
            tracker_of_a_new_model,
            name,
            "/robot",
            use_global_arguments=False,
            cli_args=["--ros-args", "-r", f"image:=/{name}/image"],
        )
        for name in ("left", "right")
    ]
    operators = [Operator(f"/robot/{name}", f"/{name}/image") for name in ("left", "right")]
    executor, ended = MultiThreadedExecutor(THREADS), threading.Event()
    thread = threading.Thread(target=spin_on, args=[executor, ended.is_set])
    try:
        for node in nodes:
            node.start()
            executor.add_node(node)
        thread.start()
        assert [node.prompts.topic for node in nodes] == ["/robot/left/prompt", "/robot/right/prompt"]
        assert [node.state for node in nodes] == ["active", "active"]
        for operator, name, place in zip(operators, ("cup", "can"), (ON_RED, ON_BLUE)):
            operator.connect().show(scene(), 5)
            assert operator.call(Prompt, "prompt", prompt=prompt_message(name, points=[place])).success
        tracked = [operator.show(scene(), 6).objects for operator in operators]
        assert [[one.name for one in objects] for objects in tracked] == [["cup"], ["can"]]
        for (one,), (x, y) in zip(tracked, (ON_RED, ON_BLUE)):
            assert one.area and (one.centroid.x, one.centroid.y) == pytest.approx((x, y), abs=4)
    finally:
        ended.set()
        for operator in operators:
            operator.close()
        for node in nodes:
            node.close()
        executor.shutdown()
        if thread.ident:
            thread.join()
        for node in nodes:
            node.destroy_node()
        shutdown()


def test_an_image_that_arrives_while_the_node_subscribes_is_dropped(monkeypatch):
    def made_late(node, *arguments):
        node._receive(image_message(scene(), 5), 0.0)
        return Depth(node, *arguments)

    monkeypatch.setattr("sam2_ros.ros.node.Depth", made_late)
    bench = Bench()
    try:
        assert bench.node.state == "active" and bench.node.worker.counts.processed == 0
    finally:
        bench.close()


def test_a_node_that_is_destroyed_is_gone_at_once_and_not_when_garbage_is_collected():
    rclpy.init()
    witness = rclpy.create_node("witness", use_global_arguments=False)
    gc.disable()
    try:
        node = Node(tracker_of_a_new_model, "mortal", use_global_arguments=False)
        node.start()
        wait_until(lambda: "mortal" in witness.get_node_names(), "the node")
        node.close()
        node.destroy_node()
        wait_until(lambda: "mortal" not in witness.get_node_names(), "its end")
    finally:
        gc.enable()
        witness.destroy_node()
        shutdown()


def test_a_node_whose_parameters_are_refused_is_gone_as_well():
    rclpy.init()
    witness = rclpy.create_node("witness", use_global_arguments=False)
    bad = [rclpy.Parameter("image_transport", value="theora")]
    try:
        with pytest.raises(InvalidInput) as refused:
            Node(tracker_of_a_new_model, "mortal", use_global_arguments=False, parameter_overrides=bad)
        later = rclpy.create_node("later", use_global_arguments=False)
        wait_until(lambda: "later" in witness.get_node_names(), "what was created after it")
        assert "mortal" not in witness.get_node_names(), f"though {refused.value!r} still refers to it"
        later.destroy_node()
    finally:
        witness.destroy_node()
        shutdown()


def test_diagnostics_tell_that_the_model_is_loaded_and_that_the_node_rests():
    rclpy.init()
    seen = []

    def make(parameters):
        seen.append(node.diagnostics.entries()[0].message)
        return tracker_of_a_new_model(parameters)

    node = Node(make)
    try:
        seen.append(node.diagnostics.entries()[0].message)
        node.start()
        node.trigger_deactivate()
        seen.append(node.diagnostics.entries()[0].message)
        node.trigger_cleanup()
        seen.append(node.diagnostics.entries()[0].message)
    finally:
        node.close()
        node.destroy_node()
        shutdown()
    assert seen == [
        "unconfigured: no model is loaded",
        "loading the model embedded",
        "inactive: nothing is subscribed to, the objects are kept",
        "unconfigured: no model is loaded",
    ]
