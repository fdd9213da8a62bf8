"""Follow objects in a camera stream with SAM 2, as a ROS 2 node or from Python.

    from sam2_ros import Frame, Prompt, Tracker, load

    tracker = Tracker(load("embedded"))
    tracker.track(Frame(image))
    tracker.prompt(Prompt("cup", points=[(320, 200)], labels=[1]))
    for track in tracker.track(Frame(next_image)): ...

A name is imported when it is first used, so ``import sam2_ros`` alone does not load torch.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING

__all__ = ["Frame", "Prompt", "Track", "Tracker", "__version__", "load"]

#: Public name: the module that defines it.
_HOMES = {
    "load": "sam2_ros.model.checkpoint",
    "Tracker": "sam2_ros.tracking.tracker",
    "Frame": "sam2_ros.types",
    "Prompt": "sam2_ros.types",
    "Track": "sam2_ros.types",
    "__version__": "sam2_ros.version",
}

# In a source checkout the generated sam2_ros.msg and sam2_ros.srv live in the installed
# copy of this package, not beside this file.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:  # what editors and type checkers see; they find a misspelt name, too
    from sam2_ros.model.checkpoint import load
    from sam2_ros.tracking.tracker import Tracker
    from sam2_ros.types import Frame, Prompt, Track
    from sam2_ros.version import __version__
else:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value  # the next use no longer asks this function
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
