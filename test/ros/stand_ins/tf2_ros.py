"""In the place of tf2_ros, which has no wheel: as much of it as a node asks, with as much work for each message.

/tf and /tf_static carry sensor_msgs/MultiDOFJointState instead of tf2_msgs/TFMessage: its transforms are those
of the frames in joint_names, each "parent>child", all of one stamp.
"""

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import MultiDOFJointState
from std_srvs.srv import Trigger

#: Messages that any listener of this process has unpacked.
unpacked = 0


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    """Knows frames that are shifted, not turned, and answers at a stamp between two that it knows."""

    def __init__(self, cache_time=None, node=None):
        self.moving, self.static = {}, {}
        if node is not None:
            node.create_service(Trigger, "tf2_frames", lambda request, response: response)

    def set_transform(self, transform, authority):
        self.moving.setdefault(transform.child_frame_id, {})[_nanoseconds(transform.header.stamp)] = transform

    def set_transform_static(self, transform, authority):
        self.static[transform.child_frame_id] = transform

    def clear(self):
        self.moving.clear()

    def can_transform(self, target_frame, source_frame, time):
        try:
            self.lookup_transform(target_frame, source_frame, time)
        except TransformException:
            return False
        return True

    def lookup_transform(self, target_frame, source_frame, time):
        links = [*self._up(target_frame), *self._up(source_frame)]
        known = {target_frame, source_frame, *self.moving, *self.static} | {link.header.frame_id for link in links}
        for frame in (target_frame, source_frame):
            if (
                not links
                or frame not in known
                or not (frame in {*self.moving, *self.static} or any(link.header.frame_id == frame for link in links))
            ):
                raise LookupException(f'"{frame}" passed to lookupTransform argument target_frame does not exist.')
        stamps = [max(self.moving[link.child_frame_id]) for link in links if link.child_frame_id in self.moving]
        when = time.nanoseconds or min(stamps, default=0)
        answer = TransformStamped()
        answer.header.frame_id, answer.child_frame_id = target_frame, source_frame
        answer.header.stamp.sec, answer.header.stamp.nanosec = divmod(when, 10**9)
        answer.transform.rotation.w = 1.0
        for sign, frame in ((-1, target_frame), (1, source_frame)):
            for link in self._up(frame):
                shift = self._at(link.child_frame_id, when)
                for axis in "xyz":
                    setattr(
                        answer.transform.translation,
                        axis,
                        getattr(answer.transform.translation, axis) + sign * getattr(shift, axis),
                    )
        return answer

    def _up(self, frame):
        """The newest transforms from a frame to the root."""
        links = []
        while frame in self.static or frame in self.moving:
            links.append(self.static.get(frame) or self.moving[frame][max(self.moving[frame])])
            frame = links[-1].header.frame_id
        return links

    def _at(self, child, when):
        if child in self.static:
            return self.static[child].transform.translation
        known = self.moving[child]
        before = max((stamp for stamp in known if stamp <= when), default=None)
        if before is None or when > max(known):
            raise ExtrapolationException(f"Lookup would require extrapolation of {child}")
        return known[before].transform.translation


class TransformListener:
    """Subscribes through the node and unpacks every transform of every message."""

    def __init__(self, buffer, node, *, spin_thread=False, qos=None, static_qos=None):
        self.buffer, self.node = buffer, node
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(MultiDOFJointState, "/tf", self.callback, qos or QoSProfile(depth=100))
        self.tf_static_sub = node.create_subscription(
            MultiDOFJointState, "/tf_static", self.static_callback, static_qos or latched
        )

    def __del__(self):
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data):
        for transform in _transforms(data):
            self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, data):
        for transform in _transforms(data):
            self.buffer.set_transform_static(transform, "default_authority")


def _transforms(message):
    global unpacked
    unpacked += 1
    for name, transform in zip(message.joint_names, message.transforms):
        stamped = TransformStamped(transform=transform)
        stamped.header.stamp = message.header.stamp
        stamped.header.frame_id, stamped.child_frame_id = name.split(">")
        yield stamped


def _nanoseconds(stamp):
    return stamp.sec * 10**9 + stamp.nanosec
