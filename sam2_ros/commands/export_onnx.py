"""Write a model as ONNX files, for TensorRT, ONNX Runtime and other engines.

    sam2_ros export-onnx embedded onnx/embedded
    sam2_ros export-onnx tiny onnx/tiny_512 --image-side 512

It writes one file for each graph, in float32, and model.json, which describes them; see docs/engines.md.  The numbers
of objects, memories, pointers and points may vary, the side of the image may not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    words = "a known name or the path of a checkpoint"
    options.suggest(parser.add_argument("model", metavar="MODEL", help=words), options.models)
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="where the files are written; existing ones are replaced"
    )
    options.add_image_side(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.engines import onnx
    from sam2_ros.model import checkpoint

    onnx.export(checkpoint.load(parsed.model, "cpu", parsed.image_side), parsed.folder, print)
    return 0
