"""Large images between processes: Fast DDS needs more room than it has by default.

With its default transports nearly every best-effort image above 0.5 MB is lost on the way to
another process.  The profile in config/ gives the publishing process more shared memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROFILE = "fastdds_large_images.xml"
_WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")


def variable() -> str:
    """The environment variable in which Fast DDS is given a profile; version 3 complains about that of version 2."""
    old = os.environ.get("ROS_DISTRO") in _WITH_FAST_DDS_2
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"


def profile_path() -> Path | None:
    """The profile in a source tree, a sourced workspace or an installed environment; None when it is nowhere."""
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    shares = [Path(prefix) / "share" / "sam2_ros" for prefix in (*prefixes, sys.prefix)]
    for folder in (Path(__file__).parents[1], *shares):
        if (folder / "config" / PROFILE).is_file():
            return folder / "config" / PROFILE
    return None


def make_room() -> Path | None:
    """Let this process publish large images; call it before ``rclpy.init``.

    Sets the variable that Fast DDS reads, for this process and its children, and returns the
    profile.  Does nothing, and returns None, where the user has chosen a profile or transports
    or where there is no profile.  Other middlewares do not read the variable.
    """
    path = profile_path()
    # The latter replaces the transports that the profile would set.
    decided = os.environ.get(variable()) or os.environ.get("FASTDDS_BUILTIN_TRANSPORTS")
    if path is None or decided:
        return None
    os.environ[variable()] = str(path)
    return path
