"""The node: camera images and prompts in, masks and states out.

    camera ─Image→ CameraSubscriber ─→ [mailbox: newest wins] ─→ Worker ─→ Session, which owns the Tracker ─→ Outputs
    click, box, prompt, service call ─→ Prompts ─→ [mailbox: in order] ─┘

Callbacks fill the mailbox and return.  The worker pulls the images when it has time for one.
See ``parameters`` for what can be set.
"""

from __future__ import annotations

import atexit
import gc
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node as RosNode

from sam2_ros.engines import choice
from sam2_ros.errors import CannotStart, Sam2RosError, needs_room
from sam2_ros.geometry.locator import Locator
from sam2_ros.interrupts import Interrupts
from sam2_ros.messages import nanoseconds
from sam2_ros.model import checkpoint
from sam2_ros.model.device_memory import release
from sam2_ros.ros import clicks, detections, pacing, transforms, unused
from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.bridge import find as find_bridge
from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.depth import Depth
from sam2_ros.ros.diagnostics import ERROR, OK, Diagnostics, Entry
from sam2_ros.ros.fastdds_profile import make_room
from sam2_ros.ros.images import Images
from sam2_ros.ros.lifecycle import Managed
from sam2_ros.ros.outputs import Outputs
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.prompts import THREADS, Prompts
from sam2_ros.ros.pulled import Noticed
from sam2_ros.ros.startup import creating, init, shutdown, without_ros_arguments
from sam2_ros.ros.status import Status
from sam2_ros.ros.throttle import SELDOM
from sam2_ros.stages import MODEL_STAGES
from sam2_ros.stream.session import Applied, Session, View
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.stream.thread_choice import ThreadChoice
from sam2_ros.stream.worker import Measured, Result, Worker
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Prompt
from sam2_ros.version import __version__

#: Seconds after which a callback gives the interpreter to the tracker, which asks for it after each operation of torch.
#: With Python's default of 5 ms a busy callback would delay each of these operations.
SWITCH = 0.0005
#: Seconds between checks of what is published, and of the node's state.
UPDATE = 0.25
#: Seconds of one spin while the node starts: as much later it begins to spin as usual.
SPIN = 0.05

#: Digits of a checksum that are enough to tell weights apart.
SHOWN = 12

MakeTracker = Callable[[Parameters], tuple[Tracker, str]]


def make_tracker(parameters: Parameters) -> tuple[Tracker, str]:
    """The tracker that the parameters ask for, and what it is in a few words.

    Raises CheckpointError, and InvalidInput for a device that is not here or has no room for the model.
    """
    settings = parameters.node
    checkpoint.use_threads(settings.threads)
    model = choice.load(
        settings.model, settings.device, settings.image_side, settings.engine, parameters.tracker.precision
    )
    size, device = model.size, model.device
    tracker = Tracker(model, parameters.tracker)
    if device.type != "cpu":
        with needs_room(size.title, device):
            tracker.warm_up()
    computed = f"on {device}, computed by {choice.engine_of(tracker.model)}"
    weights = f"weights with SHA-256 {checkpoint.file_sha256(settings.model)[:SHOWN]}"
    return tracker, f"{size.title} at {size.image_size} pixels {computed}, {weights}"


class Node(Managed):
    """The ROS node: everything that belongs to one tracker.

    It is a managed node: ``configure`` loads the model, ``activate`` subscribes.  Add it to an executor, then call
    ``start``.  Its publishers and services are there from the first activation on.
    """

    def __init__(
        self, make: MakeTracker = make_tracker, name: str = "sam2_ros", namespace: str = "", **options: Any
    ) -> None:
        """options: of ``rclpy.node.Node``.  Raises Sam2RosError for parameters that cannot be used."""
        super().__init__(name, namespace, **options)
        #: Of the process; parameters without effect are named once.
        self.arguments: Sequence[str] = ()
        try:
            self.parameters = Parameters(self)
        except Exception:  # others would see this node until they miss it
            self.destroy_node()
            raise
        self.diagnostics = Diagnostics(self, self.parameters)
        self.diagnostics.doing = Entry("tracking", OK, "unconfigured: no model is loaded")
        self.session: Session | None = None  # while it is configured
        self.worker: Worker | None = None  # while it is active, as what follows
        self.status: Status | None = None
        self._make = make
        self._threads: ThreadChoice | None = None  # if their number is chosen while it runs
        self._bridge: Bridge | None = None  # from the first activation on, as the outputs and prompts
        self._timer: Any = None
        self._update_lock = threading.Lock()
        self.parameters.watch(self._apply)

    def start(self, meanwhile: AbstractContextManager[None] = nullcontext()) -> None:
        """Load the model and subscribe, unless the parameter autostart is false.

        meanwhile: entered while it loads.  Raises Sam2RosError for a model that cannot be used.
        """
        if self.parameters.node.autostart:
            super().start(meanwhile)

    # -- transitions -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Load the model."""
        settings = self.parameters.node
        self.diagnostics.doing = Entry("tracking", OK, f"loading the model {settings.model}")
        if self._threads is not None:  # it may have chosen fewer for the model before
            checkpoint.use_threads(self._threads.most)
        try:
            if settings.trace_file:
                name = self.get_fully_qualified_name()
                about = {"version": __version__, "node": name, "model": settings.model}
                self.diagnostics.trace(settings.trace_file, about)
            tracker, description = self._make(self.parameters)
        except Sam2RosError as error:
            self.diagnostics.close()
            self.diagnostics.doing = Entry("tracking", ERROR, str(error))
            raise
        self.session = Session(tracker, self.parameters.session, self._publish_prompt)
        self._threads = self._thread_choice(tracker)
        self.locator = Locator(on_late=self._publish_again, on_refused=self._refuse_depth)
        self._apply(self.parameters.session, self.parameters.tracker)
        self.diagnostics.model, self.diagnostics.engine = description, choice.engine_of(tracker.model)
        self.diagnostics.doing = Entry("tracking", OK, "inactive: the model is loaded, nothing is subscribed to")

    def activate(self) -> None:
        """Subscribe, and track."""
        assert self.session is not None
        first = self._bridge is None
        self._bridge = bridge = self._bridge or find_bridge(self.get_logger().info)
        if first:
            self.outputs = Outputs(self, self.parameters, bridge)
        measured, masks = self._measured, self._publish_masks
        self.worker = worker = Worker(self.session, self._publish, self.get_logger(), self.locator, measured, masks)
        if first:
            self.prompts = Prompts(self, self.parameters, worker, bridge)
        self._standing = list(self.subscriptions)
        self.prompts.begin(worker)
        self._images = Images(self.parameters, bridge)
        self.camera = CameraSubscriber(self, self.parameters, self._receive)
        self.clicks = clicks.Clicks(self, self.parameters, self.camera, self.prompts.click)
        self.depth = Depth(self, self.parameters, self.camera, self.locator, self.clicks.camera_info)
        tally = detections.Tally()
        detects = detections.subscribe(self, self.parameters, self.prompts.detections, tally)
        self.status = Status(self, self.camera, worker, self.parameters, tally, self.prompts)
        self.diagnostics.watch(self.status, self.camera, self.depth, worker.counts)
        # Real time: with use_sim_time and no /clock the node must still log why it is silent.
        self._timer = self.create_timer(UPDATE, self._update, clock=Clock(clock_type=ClockType.STEADY_TIME))
        worker.start(self.camera)
        if first:
            self._log_missing_packages(detects)
            self._warn_of_unused_parameters()
        self.get_logger().info(
            f"ready: {self.diagnostics.model}; images from {self.camera.topics['raw']} "
            f"({self.parameters.node.image_transport}), prompts on {self.prompts.topic}, "
            f"masks on {self.outputs.masks_topic}"
        )

    def deactivate(self) -> None:
        """Stop tracking; the objects are kept."""
        assert self.worker is not None
        name = self.get_fully_qualified_name()
        self.prompts.end(f"the node is not active; activate it: ros2 lifecycle set {name} activate")
        self.worker.stop("the node was deactivated")
        if self._timer is not None:
            self.destroy_timer(self._timer)
        with self._update_lock:  # an update that runs would subscribe again
            self.worker = self.status = None
            for subscription in [*self.subscriptions]:
                # rclpy has its own one to /clock, perhaps since the parameter use_sim_time was set.
                if subscription not in self._standing and subscription.topic_name != "/clock":
                    self.destroy_subscription(subscription)
        self.diagnostics.unwatch()
        self.diagnostics.doing = Entry("tracking", OK, "inactive: nothing is subscribed to, the objects are kept")

    def cleanup(self) -> None:
        """Forget the objects and the model."""
        if self.worker is not None:  # activating failed
            self.deactivate()
        self.session = None
        self.diagnostics.close()
        self.diagnostics.model = self.diagnostics.engine = ""
        self.diagnostics.doing = Entry("tracking", OK, "unconfigured: no model is loaded")
        release()

    def finalize(self) -> None:
        """Say that nothing will follow."""
        self.diagnostics.doing = Entry("tracking", OK, "finalized: start the process again to use it")

    # -- for main ----------------------------------------------------------------------------------

    def create_subscription(self, msg_type: Any, *arguments: Any, **options: Any) -> Any:
        """As in rclpy, but paced; rclpy also creates its subscription to /clock here."""
        if isinstance(options.get("callback_group"), (pacing.Never, Noticed)):
            return super().create_subscription(msg_type, *arguments, **options)
        return pacing.together(super().create_subscription, msg_type, *arguments, **options)

    def close(self) -> None:
        """End the worker and the threads of calls; call it before the node is destroyed."""
        if self.worker is not None:
            self.worker.stop()
        if self._bridge is not None:
            self.prompts.close()
        self.diagnostics.close()

    # -- callbacks ---------------------------------------------------------------------------------

    def _apply(self, settings: SessionSettings, tracker: TrackerSettings) -> None:
        if self.session is not None:
            self.session.configure(settings, tracker)

    def _receive(self, message: Any, at: float) -> None:
        worker = self.worker
        if worker is None or self.status is None:
            return  # the node is being activated or deactivated, on another thread
        worker.put_image(self._images.arrived(message, at))
        stamp = nanoseconds(message.header.stamp)
        self.depth.image(stamp)
        self.diagnostics.arrived(stamp)

    def _publish(self, result: Result) -> None:
        self._send(self.outputs.publish, result)
        self.diagnostics.published(result)

    def _thread_choice(self, tracker: Tracker) -> ThreadChoice | None:
        """What chooses the number of CPU threads; None if it is fixed: by the parameter, a GPU or another engine."""
        on_cpu = tracker.model.device.type == "cpu" and choice.used(tracker.model)[0] == "torch"
        if self.parameters.node.threads or not on_cpu:
            return None
        return ThreadChoice(checkpoint.threads(), checkpoint.use_threads, self.get_logger().info)

    def _measured(self, measured: Measured) -> None:
        self.diagnostics.measured(measured)
        if self._threads is not None:
            seconds = sum(measured.stages.get(name, 0.0) for name in MODEL_STAGES)
            self._threads.measured(seconds, len(measured.view.tracks))

    def _publish_masks(self, view: View) -> None:
        self._send(self.outputs.publish_masks, view)

    def _publish_prompt(self, prompt: Prompt, applied: Applied) -> None:
        self._send(self.outputs.publish_prompt, prompt, applied)

    def _publish_again(self, stamp: int) -> None:
        worker = self.worker
        if worker is not None:
            worker.publish_again(stamp)

    def _refuse_depth(self, reason: str) -> None:
        self.depth.refused(reason)

    def _send(self, publish: Callable[..., None], *arguments: Any) -> None:
        try:
            publish(*arguments)
        except Exception:
            if self.context.ok():  # otherwise ROS has been shut down, and there are no subscribers
                raise

    def _update(self) -> None:
        with self._update_lock:
            if self.status is not None:
                self.camera.pull()  # the worker may be busy for longer, and every image counts
                self.camera.update()
                self.depth.update()
                self.status.update()

    def _warn_of_unused_parameters(self) -> None:
        known = self.list_parameters([], depth=0).names
        for sentence in (
            *unused.unknown_parameters(self.parameters.given, known, self.camera.topics.values()),
            *unused.foreign_sections(self.arguments, self.get_fully_qualified_name()),
        ):
            self.get_logger().warning(sentence)

    def _log_missing_packages(self, detects: bool) -> None:
        if not detects:
            self.get_logger().info("vision_msgs is not installed: there is no detections topic, send boxes as prompts")
        if not transforms.installed():
            self.get_logger().info("tf2_ros is not installed: clicked points must be pixels or in the camera's frame")


def main(args: Sequence[str] | None = None, make: MakeTracker = make_tracker) -> int:
    """Run the node until it is interrupted; returns the exit code, 0 after SIGINT, SIGTERM and SIGHUP.

    args: without the program's name, None = those of the process.  make: builds the tracker.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    # Everything is closed below.  Without this the interpreter would still visit all objects of torch and rclpy when
    # it exits, which takes half a second, and several on a busy machine.
    atexit.register(gc.freeze)
    with Interrupts() as interrupts:
        try:
            _refuse_others(arguments)
            make_room()
            init(arguments)
            _run(arguments, _interruptible(make, interrupts))
        except (Sam2RosError, ParameterException) as error:
            rclpy.logging.get_logger("sam2_ros").fatal(str(error))
            return 1
        finally:
            shutdown()
    return 0


def _refuse_others(arguments: Sequence[str]) -> None:
    """Raises CannotStart for an argument that is none of ROS."""
    others = without_ros_arguments(arguments)
    if others:
        raise CannotStart(
            f"the node does not know the argument {others[0]}; give parameters as: --ros-args -p NAME:=VALUE"
        )


def _interruptible(make: MakeTracker, interrupts: Interrupts) -> MakeTracker:
    """``make``, but a signal raises KeyboardInterrupt: it may load a model for minutes, and ROS cannot end it.

    Only on the main thread, which is where the node starts by itself.  A lifecycle manager that configures it has the
    model loaded on another thread, and a signal waits for the end of that.
    """

    def interruptible(parameters: Parameters) -> tuple[Tracker, str]:
        if threading.current_thread() is not threading.main_thread():
            return make(parameters)
        with interrupts.raised():
            return make(parameters)

    return interruptible


def _run(arguments: list[str], make: MakeTracker) -> None:
    node, executor = None, None
    sys.setswitchinterval(SWITCH)
    try:
        with creating():
            node = Node(make)
        node.arguments = arguments
        executor = MultiThreadedExecutor(THREADS)
        executor.add_node(node)
        with creating():
            # Not while it subscribes: what rclpy waits for must not change meanwhile.
            node.start(_spinning(executor, node))
        spin(executor, node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the usual way to end
    except Exception:
        if rclpy.ok():  # otherwise a signal shut ROS down while the node was being built
            raise
    finally:
        # A thread that still spins or publishes while the interpreter exits aborts the process.
        if node is not None:
            node.close()
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()


@contextmanager
def _spinning(executor: MultiThreadedExecutor, node: RosNode) -> Iterator[None]:
    """Run callbacks on another thread in this block, so that the node answers while it loads its model."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set() and rclpy.ok():
            _guarded(partial(executor.spin_once, SPIN), node)

    thread = threading.Thread(target=run, name="spin while starting")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def spin(executor: MultiThreadedExecutor, node: RosNode) -> None:
    """Run callbacks until ROS shuts down."""
    while rclpy.ok() and _guarded(executor.spin, node):
        pass


def _guarded(spin: Callable[[], object], node: RosNode) -> bool:
    """Spin once; whether to go on.

    Callbacks should not raise, but rclpy does for a message that it cannot deserialise, before
    our code is called.  That must not end the node either.  And rclpy gathers what it waits for
    without a lock: a subscription that another thread destroys meanwhile is no fault of anybody.
    """
    try:
        spin()
    except ExternalShutdownException:
        return False
    except InvalidHandle as error:
        node.get_logger().debug(f"the executor waited for something that was destroyed: {error}")
    except Exception:
        if not rclpy.ok():
            return False  # ROS was shut down before the next wait
        node.get_logger().error(f"a callback failed unexpectedly:\n{traceback.format_exc()}", **SELDOM)
    return True
