"""Say in one sentence what is missing here before make installs.

    python check_machine.py ENVIRONMENT ROS

ROS is the distribution whose wheels are installed, or "none" for the library without ROS.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def missing(environment: str, ros: str) -> str | None:
    """What stands in the way of an installation, or None."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < (3, 11):
        return f"Python 3.11 or newer is needed, this is {version}: make PYTHON=python3.11"
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return f"the venv module of Python is needed (Debian: apt install python{version}-venv)"
    return unfit(environment, version, ros) or (None if ros == "none" else no_compiler(version))


def unfit(environment: str, version: str, ros: str) -> str | None:
    """Whether the environment exists and was made with another Python or for another ROS."""
    python = Path(environment, "bin", "python")
    if not python.exists():
        return None
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    found = subprocess.run([str(python), "-c", program], stdout=subprocess.PIPE, text=True).stdout.strip()
    remedy = "make clean, or choose another place with VENV=dir"
    if found != version:
        return f"{environment} was made with Python {found}, not {version}: {remedy}"
    packages = Path(environment, "lib", f"python{found}", "site-packages")
    installed = [path.name.split("_")[1] for path in packages.glob("ros_*_rclpy-*.dist-info")]
    others = [name for name in installed if name != ros]
    return f"{environment} holds ROS 2 {others[0].title()}, which is not ROS={ros}: {remedy}" if others else None


def no_compiler(version: str) -> str | None:
    """What is missing to compile the messages."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return f"the headers of Python are needed to compile the messages (Debian: apt install python{version}-dev)"
    for compiler in (os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")):
        if not shutil.which(compiler.split()[0]):
            return f"the compiler {compiler} is needed to compile the messages (Debian: apt install g++)"
    return None


if __name__ == "__main__":
    sys.exit(missing(*sys.argv[1:]))
