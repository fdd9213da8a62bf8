"""Large images between processes: Fast DDS needs more shared memory than it has by default.

With its default transports nearly every best-effort image above 0.5 MB is lost between
processes.  The profile in config/ gives the publishing process more shared memory.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sam2_ros.installation import share

PROFILE = "fastdds_large_images.xml"
#: Major versions of rclpy in Humble and in Jazzy; ROS_DISTRO may name another installation than the one in use.
_OF_HUMBLE, _OF_JAZZY = 3, 7


def variable() -> str:
    """The environment variable with the path of a Fast DDS profile; version 3 warns about the one of version 2."""
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if _rclpy() <= _OF_JAZZY else "FASTDDS_DEFAULT_PROFILES_FILE"


def _rclpy() -> int:
    """The major version of the rclpy that is imported here."""
    try:
        return int(version("rclpy").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return _OF_JAZZY + 1


def profile_path() -> Path | None:
    """The profile in a sourced workspace, an installed environment or the source tree; None when there is none."""
    path = share("sam2_ros", "config") / PROFILE
    return path if path.is_file() else None


def make_room() -> Path | None:
    """Let this process publish large images; call it before ``rclpy.init``.

    Sets the variable that Fast DDS reads, for this process and its children, and returns the
    profile.  Does nothing, and returns None, if the user has chosen a profile or transports, if
    there is no profile, or if ROS_LOCALHOST_ONLY is set on Humble: the profile's transports would
    reach other machines.  Other middlewares do not read the variable.
    """
    path = profile_path()
    # FASTDDS_BUILTIN_TRANSPORTS replaces the transports that the profile would set.
    decided = os.environ.get(variable()) or os.environ.get("FASTDDS_BUILTIN_TRANSPORTS")
    stays = os.environ.get("ROS_LOCALHOST_ONLY") == "1" and _rclpy() <= _OF_HUMBLE
    if path is None or decided or stays:
        return None
    os.environ[variable()] = str(path)
    return path
