"""A process that prepares OpenVINO for the smallest model, and says on each line how far it is.

python converting.py          convert if need be, and compare with PyTorch
python converting.py halting  stay in the middle of the conversion
"""

from __future__ import annotations

import logging
import sys
import time

import torch
from engines.methods import CASES, assert_methods_agree
from tiny_models import tiny_model

from sam2_ros.engines import openvino


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
    engine = openvino.prepare(model, "float32")
    assert_methods_agree(model, engine, CASES[1])
    say("right")


if __name__ == "__main__":
    main()
