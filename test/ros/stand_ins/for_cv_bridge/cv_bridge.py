"""In the place of cv_bridge, which has no wheel for ROS 2: its interface, by OpenCV, for a few encodings.

The environment variable CV_BRIDGE says what is wrong with it: "crash" ends the process when an image is converted, as a
build for another NumPy does, "raise" is one for another OpenCV, "differ" gives other colours, and "partial" knows rgb8
alone.
"""

import os
import signal

import cv2
import numpy as np
from sensor_msgs.msg import Image

_TO_RGB = {
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
}
#: Calls in this process, by the name of the method.
calls = []


class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding="passthrough"):
        calls.append(f"imgmsg_to_cv2 {message.encoding}")
        fault = os.environ.get("CV_BRIDGE")
        if fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "raise" or (fault == "partial" and message.encoding != "rgb8"):
            raise KeyError(16)
        channels, code = _TO_RGB.get(message.encoding, (3, None))
        # As the real one: rows of any step are taken to consist of whole pixels.
        shape = (message.height, message.step // channels, channels)
        image = np.ndarray(shape, np.uint8, buffer=message.data)[:, : message.width]
        if message.encoding == "rgb8":
            assert desired_encoding == "passthrough"
            return np.ascontiguousarray(image)
        assert desired_encoding == "rgb8"
        rgb = cv2.cvtColor(np.ascontiguousarray(image), code)
        return 255 - rgb if fault == "differ" else rgb

    def cv2_to_imgmsg(self, image, encoding="passthrough", header=None):
        calls.append(f"cv2_to_imgmsg {encoding}")
        message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding)
        if header is not None:
            message.header = header
        message.data.frombytes(image.tobytes())
        message.step = len(message.data) // message.height
        return message
