"""A process that prepares OpenVINO for the smallest model, and says on each line how far it is.

python converting.py          convert if need be, and compare with PyTorch
python converting.py halting  stay in the middle of the conversion
python converting.py full     no file can become larger than a few kilobytes
"""

from __future__ import annotations

import logging
import resource
import sys
import time

import torch
from engines.methods import CASES, assert_methods_agree
from tiny_models import tiny_model

from sam2_ros.engines import openvino
from sam2_ros.errors import CheckpointError


def say(words: str) -> None:
    """One line, at once."""
    print(words, flush=True)


def main() -> None:
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    torch.set_num_threads(1)
    library, convert = openvino.imported(), openvino._convert
    save, saved = library.save_model, []

    def counted(*arguments):
        say("converts")
        convert(*arguments)

    def halting(whole, path, **options):
        save(whole, path, **options)
        saved.append(path)
        if len(saved) == 2:
            say("halts")
            time.sleep(600)

    openvino._convert = counted
    if "halting" in sys.argv:
        library.save_model = halting
    model = tiny_model()
    say("ready")
    sys.stdin.readline()
    if "full" in sys.argv:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        engine = openvino.prepare(model, "float32")
    except CheckpointError as error:
        say(str(error))
        return
    assert_methods_agree(model, engine, CASES[1])
    say("right")


if __name__ == "__main__":
    main()
