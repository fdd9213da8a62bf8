"""Every exception that sam2_ros raises on purpose, as one tree.

    Sam2RosError
    ├── InvalidInput            the caller's data cannot be used
    │   ├── InvalidImage        an image that cannot be read as pixels
    │   ├── InvalidPrompt       a prompt that makes no sense on its image
    │   ├── UnknownStamp        a prompt for an image that is not remembered
    │   └── UnknownObject       a name that no tracked object has
    ├── OutOfMemory             the device of the model has no memory left for what was asked
    ├── CheckpointError         weights that cannot be loaded
    ├── RecordingError          a bag, video or folder that cannot be read or written
    │   └── UnknownType         a message type whose definition is not installed
    ├── TrainingError           a training that cannot continue
    ├── MissingDependency       an optional library that is needed and missing
    ├── CannotStart             ROS cannot start with its settings here
    └── Unanswered              the tracker is too busy to answer, or shutting down

Each message names the offending value and the remedy.  Code that receives data from
outside (a callback, a command line) catches ``Sam2RosError`` and nothing wider.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Sam2RosError(Exception):
    """The root of all errors that sam2_ros raises on purpose."""


class InvalidInput(Sam2RosError, ValueError):
    """The caller's data cannot be used."""


class InvalidImage(InvalidInput):
    """An image whose size, encoding, step or data cannot be read as pixels."""


class InvalidPrompt(InvalidInput):
    """A prompt that is empty, not finite, outside its image or contradicts itself."""


class UnknownStamp(InvalidInput):
    """A prompt carries the stamp of an image that is not, or no longer, remembered."""


class UnknownObject(InvalidInput, KeyError):
    """No tracked object carries this name."""

    # KeyError prints the repr of its argument; a sentence should stay a sentence.
    __str__ = Exception.__str__


class OutOfMemory(Sam2RosError, RuntimeError):
    """The device of the model has no memory left for an image or a prompt; everything else goes on.

    reason: the message of the library alone, without a remedy; "" if there is none.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class CheckpointError(Sam2RosError):
    """A checkpoint is missing, damaged, of another model family, or not as published."""


class RecordingError(Sam2RosError):
    """A bag, video or folder of images cannot be read or written."""


class UnknownType(RecordingError):
    """The definition of a message type is not installed here."""


class TrainingError(Sam2RosError):
    """A training run cannot go on."""


class MissingDependency(Sam2RosError, ImportError):
    """A request needs an optional library that is not importable here."""


class CannotStart(Sam2RosError):
    """ROS does not start: its environment or its arguments are not as they must be."""


class Unanswered(Sam2RosError):
    """The tracker is too busy to answer, or the node is shutting down."""


def first_sentence(error: Exception) -> str:
    """The first sentence of the message of an exception from another library."""
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(" .:")


@contextmanager
def needs_room(name: str, device: object) -> Iterator[None]:
    """A device that has no memory for a model, or cannot compute it, as InvalidInput."""
    try:
        yield
    except RuntimeError as error:  # torch's own out of memory is one; OutOfMemory is another, with a remedy of its own
        reason = error.reason if isinstance(error, OutOfMemory) else ""
        raise InvalidInput(
            f"the model {name} cannot be used on {device}: {reason or first_sentence(error)}; "
            "free the device's memory, name a smaller model, or use the device cpu"
        ) from error
