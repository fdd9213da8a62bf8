"""Outputs in 3-D whose publishers keep their messages, for message types that are not among the wheels."""

from types import SimpleNamespace as Shape

from sam2_ros.ros import outputs_3d

#: Message types that must be installed for markers, and for the frames of objects.
MARKERS = ("visualization_msgs/msg/Marker", "visualization_msgs/msg/MarkerArray")
FRAMES = ("tf2_msgs/msg/TFMessage",)


class Marker(Shape):
    """A visualization_msgs/Marker by its fields, with the numbers of its definition."""

    ADD, DELETEALL, CUBE, TEXT_VIEW_FACING = 0, 3, 1, 9

    def __init__(self, **fields):
        pose = Shape(position=Shape(x=0.0, y=0.0, z=0.0), orientation=Shape(x=0.0, y=0.0, z=0.0, w=1.0))
        super().__init__(pose=pose, scale=Shape(x=0.0, y=0.0, z=0.0), color=Shape(r=0.0, g=0.0, b=0.0, a=0.0), **fields)


class Publisher(list):
    """Its messages; it has the subscribers that the test gives it."""

    def __init__(self, kind, topic, qos):
        self.kind, self.topic, self.qos, self.subscribers = kind, topic, qos, 0

    def publish(self, message):
        self.append(message)

    def get_subscription_count(self):
        return self.subscribers


class Published:
    """Outputs in 3-D, and their publishers by topic; missing: message types that are not installed."""

    def __init__(self, monkeypatch, parameters, missing=()):
        kinds = {MARKERS[0]: Marker, **dict.fromkeys((MARKERS[1], *FRAMES), Shape)}
        monkeypatch.setattr(outputs_3d, "message_class", lambda kind: None if kind in missing else kinds[kind])
        self.topics = {}
        self.outputs = outputs_3d.Outputs3D(Shape(create_publisher=self._create), parameters)

    def _create(self, kind, topic, qos):
        self.topics[topic] = Publisher(kind, topic, qos)
        return self.topics[topic]
