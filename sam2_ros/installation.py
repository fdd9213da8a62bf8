"""Where ROS packages are installed, in sourced workspaces and this Python environment, and what is missing there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sam2_ros.errors import first_sentence

_SOURCE = Path(__file__).resolve().parents[1]
#: Generated where the package is built, by pip or colcon.
GENERATED = ("sam2_ros.msg", "sam2_ros.srv")


def prefixes() -> list[Path]:
    """The folders below which packages are installed, the one that was sourced last first."""
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) for prefix in (*sourced, sys.prefix) if prefix]


def share(package: str, part: str) -> Path:
    """A folder that a package shares, such as its "msg"; where it is not installed, the one beside our source."""
    found = (prefix / "share" / package / part for prefix in prefixes())
    return next((path for path in found if path.is_dir()), _SOURCE / part)


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
            "source it; pip installs ROS 2 on Linux x86-64 only, and not if SAM2_ROS_WITHOUT_ROS was set"
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            f"needs the Python module {name}, which is not installed here; "
            "docs/operating.md says how to install what it needs"
        )
    return f"cannot load {name}: {first_sentence(error)}; is ROS sourced, and is it for this version of Python?"
