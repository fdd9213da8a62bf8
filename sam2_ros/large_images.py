"""Large images between processes: Fast DDS needs more room than it has by default.

With its default transports nearly every best-effort image above 0.5 MB is lost on the way to
another process.  The profile in config/ gives the publishing process more shared memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROFILE = "fastdds_large_images.xml"
#: What Fast DDS 3 reads, and what Fast DDS 2 reads; 3 complains when it is given the latter.
_VARIABLE, _OLD_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
_WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")
#: Where one of these is set the user has decided; the last replaces the transports that the profile would set.
_DECISIONS = (_VARIABLE, _OLD_VARIABLE, "FASTDDS_BUILTIN_TRANSPORTS")


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
    if path is None or any(os.environ.get(variable) for variable in _DECISIONS):
        return None
    old = os.environ.get("ROS_DISTRO") in _WITH_FAST_DDS_2
    os.environ[_OLD_VARIABLE if old else _VARIABLE] = str(path)
    return path
