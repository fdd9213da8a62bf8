"""Checks settings of ROS that would end the process inside a C library, without an exception, if they are wrong."""

from __future__ import annotations

import os

from sam2_ros.errors import CannotStart
from sam2_ros.installation import prefixes

#: The ports of a higher domain would lie above 65535.
HIGHEST_DOMAIN = 232
#: Chooses among the middlewares and is none.
_CHOOSER = "rmw_implementation"


def check_domain() -> None:
    """Raises CannotStart for a ROS_DOMAIN_ID that no middleware has; call it before ``rclpy.init``."""
    domain = os.environ.get("ROS_DOMAIN_ID", "").strip()
    if domain.isdecimal() and int(domain) > HIGHEST_DOMAIN:
        raise CannotStart(f"ROS cannot start: there is no ROS_DOMAIN_ID {domain}; set one from 0 to {HIGHEST_DOMAIN}")


def check_choice() -> None:
    """Raises CannotStart for an RMW_IMPLEMENTATION that is not installed; call it before rclpy is imported."""
    wanted, installed = os.environ.get("RMW_IMPLEMENTATION", ""), _installed()
    if wanted and installed and wanted not in installed:
        raise CannotStart(
            f"ROS cannot start: RMW_IMPLEMENTATION is {wanted}, which is not installed here; install it "
            f"(ros-$ROS_DISTRO-{wanted.replace('_', '-')}), or use {' or '.join(sorted(installed))}"
        )


def _installed() -> set[str]:
    """The middlewares of the sourced workspaces and of this environment; empty where none is registered."""
    folders = [prefix / "share/ament_index/resource_index/rmw_typesupport" for prefix in prefixes()]
    return {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()} - {_CHOOSER}
