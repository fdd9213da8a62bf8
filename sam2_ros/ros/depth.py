"""The depth subscription: depth images that are registered to the camera's images, paired with them by stamp.

The node subscribes when there is a publisher of depth.  Depth waits in the middleware (``pulled.Pulled``) until the
masks of its image are there; depth that comes later is taken as it comes.  message_filters makes the pairs where it is
installed, which is every ROS 2 except that of the wheels; elsewhere ``geometry.pairing`` does, by the same rule.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node as RosNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sam2_ros.errors import InvalidImage
from sam2_ros.geometry.depth import check_frame, depth_from
from sam2_ros.geometry.locator import SEEN, Locator, ReadDepth
from sam2_ros.geometry.pairing import DEPTHS, IMAGES, Pairing, Pairs, drop_oldest
from sam2_ros.messages import nanoseconds, seconds_and_rest
from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.pulled import Pulled
from sam2_ros.ros.topics import all_reliable
from sam2_ros.stamps import NewestStamp
from sam2_ros.stream.throttle import Throttle

try:
    import message_filters
except ImportError:  # there is no wheel of it
    message_filters = None

_COMPRESSED = "/compressedDepth"
_TYPES = {"raw": ("sensor_msgs/msg/Image", Image), "compressed": ("sensor_msgs/msg/CompressedImage", CompressedImage)}
#: Seconds between looks at camera_info, which seldom changes.
INFO = 1.0
#: Seconds for which depth that could not be used is a fault.
FAULT = 5.0
#: Images and depth images in a row of which none belong together; then that is logged, ...
UNPAIRED = 20
#: ... and if it lasts this many seconds longer than depth may be late.
UNPAIRED_SECONDS = 1.0
#: Depth images that wait: a third of a second at 90 per second, as they are pulled four times a second at least.
DEPTH = 30


class Synchronizer:
    """Pairs by the ApproximateTimeSynchronizer of message_filters; see ``geometry.pairing.Pairs``."""

    def __init__(self, on_pair: Callable[[int, Any], object], tolerance: int) -> None:
        self._on_pair = on_pair
        self._slop = max(tolerance, 1) / 1e9  # two stamps are a pair if they are less than this apart
        self._newest_image, self._newest_depth = NewestStamp(), NewestStamp()
        self._stamps: dict[int, None] = {}  # of images that wait
        self._contents: dict[int, Any] = {}  # fewer than message_filters keeps, since it keeps as many as images
        self._begin()

    def image(self, stamp: int) -> None:
        """An image of a stamp, nanoseconds, has come."""
        if self._newest_image.restarts(stamp):
            self._stamps.clear()
            self._begin()
        self._stamps[stamp] = None
        drop_oldest(self._stamps, IMAGES)
        self._images.signalMessage(_stamped(stamp))

    def depth(self, stamp: int, content: Any) -> None:
        """Depth of a stamp has come."""
        if self._newest_depth.restarts(stamp):
            self._contents.clear()
            self._begin()
        self._contents[stamp] = content
        drop_oldest(self._contents, DEPTHS)
        self._depths.signalMessage(_stamped(stamp))

    def _begin(self) -> None:
        """Begin anew with what waits: where time starts again, message_filters drops each new stamp as the oldest."""
        self._images, self._depths = message_filters.SimpleFilter(), message_filters.SimpleFilter()
        self._both = message_filters.ApproximateTimeSynchronizer([self._images, self._depths], IMAGES, self._slop)
        self._both.registerCallback(self._pair)
        for stamp in self._stamps:
            self._images.signalMessage(_stamped(stamp))
        for stamp in tuple(self._contents):
            self._depths.signalMessage(_stamped(stamp))

    def _pair(self, image: Any, depth: Any) -> None:
        image_stamp, depth_stamp = nanoseconds(image.header.stamp), nanoseconds(depth.header.stamp)
        self._stamps.pop(image_stamp, None)
        if depth_stamp in self._contents:
            self._on_pair(image_stamp, self._contents.pop(depth_stamp))


def _stamped(stamp: int) -> Any:
    seconds, rest = seconds_and_rest(stamp)
    return SimpleNamespace(header=SimpleNamespace(stamp=Time(sec=seconds, nanosec=rest)))


def pairs(on_pair: Callable[[int, Any], object], tolerance: int) -> Pairs:
    """What makes pairs here; tolerance: nanoseconds."""
    return Pairing(on_pair, tolerance) if message_filters is None else Synchronizer(on_pair, tolerance)


class Depth:
    """Subscribes to the depth of one camera, and hands it to a locator with the stamp of its image."""

    def __init__(
        self,
        node: RosNode,
        parameters: Parameters,
        camera: CameraSubscriber,
        locator: Locator,
        camera_info: Callable[[], CameraInfo | None],
    ) -> None:
        """camera_info: gives the newest one, None before the first."""
        self._node, self._parameters, self._camera = node, parameters, camera
        self._locator, self._camera_info = locator, camera_info
        base = node.resolve_topic_name("depth").removesuffix(_COMPRESSED)
        #: Topic by transport; remapping ``depth`` moves both, and may name either.
        self.topics = {"raw": base, "compressed": base + _COMPRESSED}
        self.received = 0
        self._chosen: tuple[str, bool] | None = None  # transport and whether it is reliable
        self._pulled = Pulled(node, "depth", DEPTH, self._receive)
        self._throttle = Throttle(1)
        self._lock = threading.Lock()  # images and depth are pulled by several threads
        self._tolerance = parameters.depth.depth_tolerance
        self._pairs: Pairs
        self._unpaired: dict[str, int]  # images and depth, in a row
        self._paired_at: float  # when there was a pair, or could be one
        self._begin()
        self._last = time.monotonic()  # when depth came
        self._reason, self._refused_at = "", 0.0  # why depth could not be used, and when
        self._late = locator.late  # depth images that came too late, as far as that was logged
        self._looked_at = -INFO
        locator.source = self
        self.update()

    def update(self) -> None:
        """Subscribe to what is published, and follow the parameters; called regularly."""
        self.pull()  # depth that nobody needs is counted, too
        settings = self._parameters.depth
        self._locator.configure(settings)
        if settings.depth_tolerance != self._tolerance:
            with self._lock:
                self._tolerance = settings.depth_tolerance
                self._begin()
        self._log_unused()
        wanted = self._wanted()
        if wanted != self._chosen:
            self._chosen = wanted
            self._subscribe()

    def pull(self) -> None:
        """Hand over the depth that has come since the last call; any thread may call it."""
        self._pulled.pull()

    def listen(self) -> None:
        """Pull depth as soon as it comes, until that of the newest image is there."""
        self._pulled.listen(self._pull_and_listen)  # if it comes too fast for that, ``update`` pulls it

    def _pull_and_listen(self) -> None:
        self.pull()
        if self._locator.waits:
            self.listen()

    def image(self, stamp: int) -> None:
        """An image of the camera has come."""
        if self._chosen is not None and stamp:
            with self._lock:
                self._unpaired["images"] += 1
                self._pairs.image(stamp)

    @property
    def topic(self) -> str:
        """What is subscribed to; empty while nobody publishes depth."""
        return "" if self._chosen is None else self.topics[self._chosen[0]]

    @property
    def late(self) -> int:
        """Depth images that came too late."""
        return self._locator.late

    @property
    def silence(self) -> float:
        """Seconds since depth came."""
        return time.monotonic() - self._last

    @property
    def fault(self) -> str:
        """Why depth could not be used in the last seconds; empty if it could."""
        return self._reason if time.monotonic() - self._refused_at < FAULT else ""

    def refused(self, reason: str) -> None:
        """Log why depth cannot be used, seldom."""
        self._reason, self._refused_at = reason, time.monotonic()
        if line := self._throttle.line(reason, f"no positions in 3-D: {reason}"):
            self._node.get_logger().warning(line)

    def _begin(self) -> None:
        self._pairs = pairs(self._pair, round(self._tolerance * 1e9))
        self._note_pair()

    def _note_pair(self) -> None:
        self._unpaired, self._paired_at = {"images": 0, "depth": 0}, time.monotonic()

    def _pair(self, stamp: int, content: tuple[ReadDepth, float]) -> None:
        self._note_pair()
        self._locator.put(stamp, *content)

    def _log_unused(self) -> None:
        """Log where depth has stopped, where it belongs to no image, and where it comes too late."""
        if self._chosen is None:
            return
        settings = self._parameters.depth
        if self.received and self._unpaired["images"] and self.silence > self._parameters.node.silence_after:
            self.refused("depth has stopped, so the last known positions get older")
        lasts = time.monotonic() - self._paired_at
        if min(self._unpaired.values()) >= UNPAIRED and lasts > settings.depth_timeout + UNPAIRED_SECONDS:
            self.refused(
                f"no depth image has the stamp of an image, not even within {self._tolerance:g} s (parameter "
                "depth_tolerance); synchronize image and depth in the driver"
            )
        if self._locator.late > self._late:
            self._late = self._locator.late
            self.refused(
                f"depth came later than {settings.depth_timeout:g} s after the masks of its image (parameter "
                f"depth_timeout), or when {SEEN} more images had been tracked"
            )

    def _wanted(self) -> tuple[str, bool] | None:
        """The transport to subscribe to and its reliability; None before the first publisher."""
        wish = self._parameters.depth.depth_transport
        allowed = [transport for transport in _TYPES if wish in ("auto", transport)]
        for transport in allowed:
            infos = self._node.get_publishers_info_by_topic(self.topics[transport])
            publishers = [info for info in infos if info.topic_type == _TYPES[transport][0]]
            if publishers:
                return transport, all_reliable(publishers)
        if self._chosen is not None and self._chosen[0] in allowed:
            return self._chosen  # it may come back
        return None

    def _subscribe(self) -> None:
        if self._chosen is None:
            self._pulled.end()
            return
        transport, reliable = self._chosen
        topic = self.topics[transport]
        self._node.get_logger().info(f"depth from {topic}: objects have positions in metres")
        self._note_pair()
        self._pulled.subscribe(_TYPES[transport][1], topic, reliable=reliable)

    def _receive(self, message: Any, came: float) -> None:
        self.received, self._last = self.received + 1, max(self._last, came)
        self._look_at_camera_info()
        try:
            check_frame(message.header.frame_id, self._camera.frame_id)
        except InvalidImage as error:
            self.refused(str(error))
            return
        if stamp := nanoseconds(message.header.stamp):
            with self._lock:
                self._unpaired["depth"] += 1
                self._pairs.depth(stamp, (partial(depth_from, message), came))

    def _look_at_camera_info(self) -> None:
        now = time.monotonic()
        if self._locator.camera is not None and now - self._looked_at < INFO:
            return
        self._looked_at = now
        if (info := self._camera_info()) is not None:
            self._locator.look_at(info)
