"""The node with a tracker that follows colours, as a process of its own: the end-to-end tests start it."""

import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fakes import ColourModel

from sam2_ros.ros.node import main
from sam2_ros.ros.parameters import Parameters
from sam2_ros.tracking.tracker import Tracker

#: Seconds that an image takes, that a prompt takes, and that loading takes.
SLOWNESS = float(os.environ.get("COLOUR_NODE_SLOWNESS", "0"))
PROMPTING = float(os.environ.get("COLOUR_NODE_PROMPTING", "0"))
LOADING = float(os.environ.get("COLOUR_NODE_LOADING", "0"))


class SlowColourModel(ColourModel):
    def encode_image(self, images):
        time.sleep(SLOWNESS)
        return super().encode_image(images)

    def decode(self, view, features, prompt=None, **options):
        time.sleep(PROMPTING if prompt is not None else 0)
        return super().decode(view, features, prompt, **options)


def make(parameters: Parameters) -> tuple[Tracker, str]:
    print("loading", flush=True)
    time.sleep(LOADING)
    return Tracker(SlowColourModel(), parameters.tracker), "a model that follows colours"


if __name__ == "__main__":
    raise SystemExit(main(make=make))
