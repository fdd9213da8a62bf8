"""Follow objects in a camera stream with SAM 2, as a ROS 2 node or from Python."""

from pkgutil import extend_path

# In a source checkout the generated sam2_ros.msg and sam2_ros.srv live in the installed
# copy of this package, not beside this file.
__path__ = extend_path(__path__, __name__)
