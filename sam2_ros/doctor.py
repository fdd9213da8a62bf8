"""What would stop the node on this machine, and the facts that a bug report needs.

It imports the standard library only, because every other library may be missing or broken.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_ros import __version__, middleware
from sam2_ros.errors import CannotStart, Sam2RosError, first_sentence
from sam2_ros.installation import what_is_missing
from sam2_ros.separate_process import run_separately

#: Modules and what they are called; the node needs them.
NEEDED = {"numpy": "NumPy", "cv2": "OpenCV", "torch": "PyTorch", "safetensors": "safetensors"}
#: Major versions of rclpy; ROS_DISTRO may speak of another installation than the one in use.
DISTRIBUTIONS = {"3": "humble", "4": "iron", "7": "jazzy", "9": "kilted", "10": "lyrical"}
#: Seconds after which that has failed.
PATIENCE = 90.0
#: The program that inspects ROS, in a process of its own: ROS may end its process, or never answer.
INSPECTION = "from sam2_ros.doctor import main_of_inspection; main_of_inspection()"
SHARED_MEMORY = Path("/dev/shm")
#: Bytes of shared memory: what Fast DDS takes for two processes that send large images, twice.
ENOUGH_SHARED = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact; stops: why the node does not start because of it, and what helps."""

    name: str
    value: str
    stops: str = ""


def examine(model: str, device: str, image_side: int) -> Iterator[Finding]:
    """Look at everything that the node needs with this model on this device, for images of this side."""
    yield Finding("sam2_ros", f"{__version__} in {Path(__file__).parent}")
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    modules = [_module(name, title) for name, title in NEEDED.items()]
    yield from modules
    if not any(finding.stops for finding in modules):
        yield _graphics()
        yield weights(model, device, image_side)
        yield _downloaded()
    yield shared_memory()
    yield from _environment()
    yield from ros()


def _module(name: str, title: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        return Finding(title, "not installed", f"the node {what_is_missing(error)}")
    except Exception as error:  # built for another NumPy, or for libraries that are not here
        reason = first_sentence(error)
        return Finding(title, "broken", f"the Python module {name} cannot be imported ({reason}); install it again")
    return Finding(title, getattr(module, "__version__", "") or importlib.metadata.version(name))


def _graphics() -> Finding:
    from sam2_ros.model.graphics import graphics

    return Finding("GPU", "; ".join(graphics()) or f"none that PyTorch can use; {os.cpu_count()} CPU cores")


def weights(model: str, device: str, image_side: int = 0) -> Finding:
    """Whether the model can be loaded; nothing is downloaded."""
    from sam2_ros.files import sha256
    from sam2_ros.model import checkpoint
    from sam2_ros.model.downloads import cache_folder
    from sam2_ros.model.names import PUBLISHED, without_side

    name, _ = without_side(model)
    published = PUBLISHED.get(name)
    if published and not (cache_folder() / published.file_name).is_file():
        return Finding("model", f"{model}, which is downloaded when it is first used: {published.url}")
    try:
        loaded = checkpoint.load(model, device, image_side)
        checksum = sha256(checkpoint.locate(name, download=False))
    except Sam2RosError as error:
        return Finding("model", f"{model}, which cannot be used", str(error))
    title = f"{loaded.size.title} at {loaded.size.image_size} pixels on {loaded.device}"
    return Finding("model", f"{model}: {title}, SHA256 {checksum[:12]}...")


def _downloaded() -> Finding:
    from sam2_ros.model.downloads import cache_folder
    from sam2_ros.model.names import PUBLISHED

    files = {published.file_name for published in PUBLISHED.values()}
    found = sorted(name for name in files if (cache_folder() / name).is_file())
    return Finding("downloaded", f"{', '.join(found) or 'no other models'} (in {cache_folder()})")


def shared_memory(path: Path = SHARED_MEMORY) -> Finding:
    """How much there is, and whether it can be used: images travel through it between two processes."""
    title, helps = str(path), "images travel over the network of this machine instead"
    if not path.is_dir():
        return Finding(title, f"not there; {helps}")
    room = os.statvfs(path)
    free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    value = f"{_bytes(free)} free of {_bytes(size)}"
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0")
    except OSError as error:
        return Finding(title, f"{value}, but cannot be written ({error.strerror}); {helps}")
    if free < ENOUGH_SHARED:
        value += "; that is little for large images: free some, or start a container with --ipc=host or --shm-size=1g"
    return Finding(title, value)


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def _environment() -> Iterator[Finding]:
    """What the environment asks ROS for, some of which ends a process before ROS can say why."""
    for name, default, check in (
        ("ROS_DOMAIN_ID", "0, because it is not set", middleware.check_domain),
        ("RMW_IMPLEMENTATION", "not set", middleware.check_choice),
    ):
        try:
            check()
            yield Finding(name, os.environ.get(name, default))
        except CannotStart as error:
            yield Finding(name, os.environ.get(name, default), str(error))
    for name in sorted(os.environ):
        if name.startswith(("ROS_AUTOMATIC", "ROS_LOCALHOST", "ROS_STATIC", "ROS_DISCOVERY", "FASTDDS_", "FASTRTPS_")):
            yield Finding(name, os.environ[name])


def ros() -> Iterator[Finding]:
    """What a process of its own finds out about ROS, within ``PATIENCE`` seconds."""
    seen = _seen()
    if "stops" in seen:
        yield Finding("ROS 2", "cannot be used", seen["stops"])
        return
    yield Finding("ROS 2", _distribution())
    yield Finding("middleware", seen["middleware"])
    yield Finding("profile", seen["profile"] or "none for large images: another one was chosen, or it is not installed")
    yield Finding("cv_bridge", seen["cv_bridge"])
    for missing in seen["missing"]:
        yield Finding("not installed", missing)
    yield Finding("other nodes", ", ".join(seen["nodes"]) or "none can be seen")
    for image in seen["images"] or ["none is published, as far as can be seen in this domain"]:
        yield Finding("image topic", image)


def _seen() -> dict[str, Any]:
    """What ``sam2_ros.ros.inspection`` found, or under ``stops`` why it found nothing."""
    try:
        done = run_separately(INSPECTION, PATIENCE)
    except subprocess.TimeoutExpired:
        return {"stops": f"ROS has not started a node within {PATIENCE:.0f} seconds; is its middleware set up right?"}
    said = done.stdout.strip().splitlines()
    if done.returncode == 0 and said:
        found: dict[str, Any] = json.loads(said[-1])
        return found
    last = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
    return {"stops": f"ROS cannot start a node: {last}"}


def main_of_inspection() -> None:
    """Print what can be seen of ROS as one line of JSON."""
    try:
        found = importlib.import_module("sam2_ros.ros.inspection").inspect_ros()
    except Sam2RosError as error:
        found = {"stops": str(error)}
    except ImportError as error:
        found = {"stops": f"the node {what_is_missing(error)}"}
    print(json.dumps(found))


def _distribution() -> str:
    version, named = importlib.metadata.version("rclpy"), os.environ.get("ROS_DISTRO", "")
    used = DISTRIBUTIONS.get(version.partition(".")[0], named or "of an unknown name")
    contradiction = f"; but ROS_DISTRO is {named}" if named not in ("", used) else ""
    return f"{used}, rclpy {version}{contradiction}"
