"""Package sam2_ros for pip: the Python modules and the ROS 2 interfaces in msg/ and srv/.

colcon does not read this file, because package.xml declares the build type ament_cmake.
pip reads it, runs the same CMakeLists.txt into a staging prefix and packs the result, so
that one ``pip install .`` makes a working ROS 2 package in a virtual environment whose
ROS 2 comes from the wheels on PyPI.  Without ROS it packs the Python modules and the
definitions of the messages, which are enough to read and write bags.  What is constant
stands in pyproject.toml, what depends on the machine in scripts/build_backend.py.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import build_backend
from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NAME = "sam2_ros"


def ros_prefixes() -> list[str]:
    """The prefixes that hold ROS 2 packages: the one of the wheels first, then those that are sourced."""
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    spec = importlib.util.find_spec("rosidl_cmake")
    if spec and spec.origin:
        # <prefix>/lib/pythonX.Y/site-packages/rosidl_cmake/__init__.py; with pip's build
        # isolation this prefix is neither sys.prefix nor known to any variable.
        prefixes.insert(0, str(Path(spec.origin).resolve().parents[4]))
    return list(dict.fromkeys(prefixes))


class BuildInterfaces(build_ext):
    """Run CMake, then hand its installation tree to setuptools."""

    def run(self) -> None:
        work = (ROOT / self.build_temp / NAME).resolve()
        # The cache of an earlier build names an isolated environment that is gone.
        shutil.rmtree(work, ignore_errors=True)
        prefixes = os.pathsep.join(ros_prefixes())
        environment = {**os.environ, "AMENT_PREFIX_PATH": prefixes, "CMAKE_PREFIX_PATH": prefixes}
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(work / "cmake"),
            *generator,
            "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_TESTING=OFF",
            f"-DCMAKE_INSTALL_PREFIX={work / 'stage'}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            # The extension modules lie three levels below the lib/ of their libraries.
            "-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../../..",
        ]
        for command in (
            configure,
            ["cmake", "--build", str(work / "cmake")],
            ["cmake", "--install", str(work / "cmake")],
        ):
            subprocess.run(command, check=True, env=environment)
        self.collect(work / "stage")

    def collect(self, stage: Path) -> None:
        """Sort what CMake installed: Python modules into the package, everything else into data files."""
        # An editable installation has them in its environment, too: one source tree may serve several distributions
        # of ROS, and extend_path() in sam2_ros/__init__.py joins the two folders.
        modules = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        package = Path(modules) / NAME
        package.mkdir(parents=True, exist_ok=True)
        installed = next(stage.glob(f"lib/python*/site-packages/{NAME}"))
        for part in ("msg", "srv"):
            # Not into an older build's files: an interface that is gone must not live on.
            shutil.rmtree(package / part, ignore_errors=True)
            shutil.copytree(installed / part, package / part, ignore=shutil.ignore_patterns("*.c", "__pycache__"))
        for library in installed.glob("*.so"):
            shutil.copy2(library, package)
        folders = [stage / "lib", *(path for path in stage.rglob("*") if path.is_dir() and keeps_data(path, stage))]
        contents = {folder: sorted(str(path) for path in folder.iterdir() if path.is_file()) for folder in folders}
        self.distribution.data_files = [
            (str(folder.relative_to(stage)), files) for folder, files in sorted(contents.items()) if files
        ]

    # The files are collected above, not one for each Extension.
    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def keeps_data(folder: Path, stage: Path) -> bool:
    """Whether a staged folder goes into the environment as it is: share/ and the executables in lib/sam2_ros."""
    return folder.relative_to(stage).parts[0] == "share" or folder == stage / "lib" / NAME


class Package(Distribution):
    """setuptools asks for has_data() before it puts data files into an editable wheel, but defines has_data_files()."""

    def has_data(self) -> bool:
        return bool(self.has_data_files())


def definitions() -> list[tuple[str, list[str]]]:
    """What of share/ is of use without ROS: types of messages for bags, and parameter files."""
    folders = ("config", "msg", "srv")
    contents = [sorted(f"{folder}/{path.name}" for path in (ROOT / folder).glob("*.*")) for folder in folders]
    return [
        (f"share/{NAME}", ["package.xml"]),
        *((f"share/{NAME}/{folder}", files) for folder, files in zip(folders, contents)),
    ]


# A placeholder extension makes the wheel specific to its platform and runs the build.
with_ros = {"ext_modules": [Extension(f"{NAME}._interfaces", sources=[])], "data_files": [(f"share/{NAME}", [])]}
setup(
    version=ElementTree.parse(ROOT / "package.xml").findtext("version"),
    install_requires=build_backend.running(),
    distclass=Package,
    cmdclass={"build_ext": BuildInterfaces},
    zip_safe=False,
    **(with_ros if build_backend.chosen() else {"data_files": definitions()}),
)
