"""Look through what is sent to others: python check_contents.py FOLDER, with one source archive and one wheel.

Says what is missing and what should not be there, and ends with exit code 1 then.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

#: Patterns of names in both; a name may have anything before it.
NEEDED = (
    r"sam2_ros/py\.typed",
    r"sam2_ros/cli\.py",
    r"sam2_ros/weights/embedded\.safetensors",
    r"sam2_ros/weights/MODEL_CARD\.md",
    r"sam2_ros/demo/recording/.*\.jpg",
    r"LICENSE",
    r"config/track\.yaml",
    r"msg/Prompt\.msg",
    r"srv/Remove\.srv",
)
NEEDED_IN_SOURCES = (r"launch/track\.launch\.py", r"CMakeLists\.txt", r"package\.xml", r"scripts/sam2_ros")
NEEDED_WITH_ROS = (
    r"launch/track\.launch\.py",
    r"config/track\.rviz",
    r"share/ament_index/resource_index/packages/sam2_ros",
    r"lib/sam2_ros/sam2_ros",
    r"sam2_ros/msg/_prompt\.py",
    r"sam2_ros/srv/_remove\.py",
    r"libsam2_ros__rosidl_typesupport_fastrtps_c\.so",
)
#: Tests, the training log, and pictures, films and arrays that are not the demo's: training footage above all.
UNWANTED = (
    r"(^|/)training/LOG\.md$",
    r"(^|/)(tests?|benchmarks|docs|build|\.venv[^/]*|\.git)/",
    r"(^|/)__pycache__/|\.pyc$|\.c$",
    r"^(?!.*sam2_ros/demo/).*\.(jpe?g|png|gif|webp|mp4|avi|mkv|npz|npy|mcap|db3|bag)$",
)
LARGEST = 25 << 20  # bytes of an archive; the weights are 9 MB of it


def names(archive: Path) -> list[str]:
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).namelist()
    return [member.name for member in tarfile.open(archive).getmembers() if member.isfile()]


def faults(archive: Path) -> list[str]:
    """What is wrong with one archive."""
    held = names(archive)
    needed = [*NEEDED]
    if archive.suffix != ".whl":
        needed += NEEDED_IN_SOURCES
    elif not archive.name.endswith("-none-any.whl"):
        needed += NEEDED_WITH_ROS
    missing = [f"lacks {part}" for part in needed if not any(re.search(f"(^|/){part}$", name) for name in held)]
    unwanted = [f"holds {name}" for name in held if any(re.search(part, name) for part in UNWANTED)]
    large = [f"is larger than {LARGEST >> 20} MB"] if archive.stat().st_size > LARGEST else []
    return [f"{archive.name} {fault}" for fault in (*missing, *unwanted, *large)]


def main(folder: str) -> str | None:
    archives = [*Path(folder).glob("*.tar.gz"), *Path(folder).glob("*.whl")]
    if len(archives) != 2:
        return f"{folder} holds {len(archives)} archives, not one of the sources and one wheel"
    for archive in archives:
        print(f"{archive}: {len(names(archive))} files, {archive.stat().st_size / 1e6:.1f} MB")
    return "\n".join(fault for archive in archives for fault in faults(archive)) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
