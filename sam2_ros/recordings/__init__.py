"""Recordings, read and written: bags, videos, pictures, and the masks that belong to them.

    for frame in recordings.open("kitchen.mp4"):     the images of any recording
    for event in recordings.open("kitchen").events():     everything that was recorded, in time order

``opening`` finds the kind of recording at a path.  ``recording`` defines what all kinds have in common; ``bags``,
``videos`` and ``folders`` are the three kinds.  ``annotations``, ``labels`` and ``coco_rle`` read masks from files.
"""

from sam2_ros.recordings.labels import LabelWriter, read_labels
from sam2_ros.recordings.opening import find, is_bag, name_of, open
from sam2_ros.recordings.recording import Recording

__all__ = ["LabelWriter", "Recording", "find", "is_bag", "name_of", "open", "read_labels"]
