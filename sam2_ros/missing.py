"""What a failed import says about the installation."""

from __future__ import annotations

#: Generated where the package is built, by pip or colcon.
GENERATED = ("sam2_ros.msg", "sam2_ros.srv")


def what_is_missing(error: ImportError) -> str:
    """The rest of a sentence that begins with what needs the module; raises ``error`` again where the fault is ours."""
    name = error.name or ""
    if name in GENERATED:
        return (
            f"needs the messages in {name}, which are not built here; "
            "build the package with pip or colcon, and source it"
        )
    if name.partition(".")[0] in ("", "sam2_ros"):
        raise error
    if name == "rclpy" and isinstance(error, ModuleNotFoundError):
        return (
            "needs ROS 2, whose module rclpy is not found here: on a robot build this package with colcon and "
            "source it; pip brings ROS 2 on Linux x86-64 only, and not where SAM2_ROS_WITHOUT_ROS was set"
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"needs the Python module {name}, which is not installed here; "
            "docs/operating.md says how to install what it needs"
        )
    return f"cannot load {name}: {str(error).splitlines()[0]}; is ROS sourced, and is it of this Python?"
