"""Where ROS packages are installed: in the sourced workspaces and in this Python environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[1]


def prefixes() -> list[Path]:
    """The folders below which packages are installed, the one that was sourced last first."""
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) for prefix in (*sourced, sys.prefix) if prefix]


def share(package: str, part: str) -> Path:
    """A folder that a package shares, such as its "msg"; where it is not installed, the one beside our source."""
    found = (prefix / "share" / package / part for prefix in prefixes())
    return next((path for path in found if path.is_dir()), _SOURCE / part)
