"""The node, built as ``sam2_ros node`` builds it, and a thread that counts the tensors of its process.

    python benchmarks/parts/watched_node.py FILE --ros-args ...

Each time that FILE is found empty, the number of tensors that are alive and their bytes are written to it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import torch

from sam2_ros.ros.node import main

#: Seconds between two looks at the file.  Looking through all objects takes the interpreter for a tenth of a second.
PERIOD = 0.1


def count() -> tuple[int, int]:
    """Tensors that are alive, and the bytes of what they store; a store that several share counts once."""
    tensors = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
    stores = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return len(tensors), sum(stores.values())


def watch(path: Path) -> None:
    while True:
        if not path.stat().st_size:
            new = path.with_suffix(".new")
            new.write_text("{} {}".format(*count()))
            os.replace(new, path)  # a reader never finds half a line
        time.sleep(PERIOD)


if __name__ == "__main__":
    threading.Thread(target=watch, args=[Path(sys.argv[1])], daemon=True).start()
    raise SystemExit(main(sys.argv[2:]))
