"""Detection2DArray as geometry_msgs/PoseArray: a position is a box's centre, its orientation's x and y the size."""

from types import SimpleNamespace as Shape

from geometry_msgs.msg import PoseArray


def _detections(message):
    return [
        Shape(
            id="",
            results=[],
            bbox=Shape(
                center=Shape(position=one.position, theta=0.0), size_x=one.orientation.x, size_y=one.orientation.y
            ),
        )
        for one in message.poses
    ]


PoseArray.detections = property(_detections)
Detection2DArray = PoseArray
