"""ONNX: writes a model as files for other programs, and makes a Model of such files, run by ONNX Runtime.

    onnx.export(checkpoint.load("tiny_512", "cpu"), Path("tiny_512"))
    tracker = Tracker(onnx.load(Path("tiny_512")))

A folder has one file for each graph of ``graphs``, and model.json: the identity of the model, and the shapes of its
graphs.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2_ros.engines.graph_model import GraphModel
from sam2_ros.engines.graphs import MEANINGS, Graph, Port, graphs
from sam2_ros.errors import CheckpointError, MissingDependency, first_sentence
from sam2_ros.files import make_folder, write_whole
from sam2_ros.model.pixels import DEVIATION, MEAN
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.weights_file import size_from_text

#: The first version of the operators that has layer normalisation; TensorRT knows it since 8.6.
OPSET = 17
#: What is in a folder besides the graphs, and the version of its form.
CARD, CARD_VERSION = "model.json", 1


# Export --------------------------------------------------------------------------------------------


def export(model: SAM2, folder: Path, progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write the graphs of a model on a CPU, and what must be known to use them; returns the files.

    progress: called with each file once it is written.  Raises RecordingError for a folder that cannot be written.
    """
    make_folder(folder)
    written = []
    parts = graphs(model)
    for graph in parts:
        written.append(folder / f"{graph.name}.onnx")
        write_whole(written[-1], as_onnx(graph))
        progress(f"{written[-1]} ({written[-1].stat().st_size / 1e6:.1f} MB)")
    written.append(folder / CARD)
    write_whole(written[-1], json.dumps(_card(model, parts), indent=1) + "\n")  # last: the folder is complete
    progress(str(written[-1]))
    return written


def as_onnx(graph: Graph) -> bytes:
    """The content of the graph's file.  Raises MissingDependency without the package onnx, which torch uses."""
    try:
        import onnx  # noqa: F401 - only to see that it is there
    except ImportError as error:
        raise MissingDependency(
            "ONNX files are written with the Python package onnx, which is not installed here: "
            "pip install 'sam2_ros[onnx]'"
        ) from error
    # The exporter that is the default of new versions of torch needs one more package.
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    write: Any = torch.onnx.export  # its types know no files in memory
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about that exporter, and about what it folds
        write(
            graph.module,
            graph.example(),
            file,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: port.varying for name, port in (graph.inputs | graph.outputs).items()},
            **options,
        )
    return file.getvalue()


def _card(model: SAM2, parts: tuple[Graph, ...]) -> dict[str, Any]:
    """What model.json says."""
    return {
        "version": CARD_VERSION,
        "size": dataclasses.asdict(model.size),
        "checksum": model.checksum(),
        "mean": MEAN,
        "deviation": DEVIATION,
        "no_memory": model.no_mem_embed.flatten().tolist(),
        "varying": MEANINGS,
        "graphs": {
            graph.name: {
                "inputs": {name: _described(port) for name, port in graph.inputs.items()},
                "outputs": {name: _described(port) for name, port in graph.outputs.items()},
            }
            for graph in parts
        },
    }


def _described(port: Port) -> dict[str, Any]:
    return {"shape": port.shape, "dtype": str(port.dtype).removeprefix("torch.")}


# Use -----------------------------------------------------------------------------------------------


def load(folder: Path, threads: int = 0) -> GraphModel:
    """The model that ``export`` wrote into a folder.

    threads: of the engine; 0 = as many as torch has.
    Raises CheckpointError for a folder that is not complete, MissingDependency without ONNX Runtime.
    """
    card = _read_card(folder)
    size = size_from_text(json.dumps(card["size"]), folder / CARD)
    threads = threads or torch.get_num_threads()
    sessions = {name: _session(folder / f"{name}.onnx", threads) for name in card["graphs"]}

    def run(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        session = sessions[name]
        read = {port.name for port in session.get_inputs()}  # SAM 2.0 has no use for some
        named = zip(card["graphs"][name]["inputs"], inputs)
        given = {port: tensor.contiguous().numpy() for port, tensor in named if port in read}
        return [torch.from_numpy(array) for array in session.run(None, given)]

    return GraphModel(size, str(card["checksum"]), torch.tensor(card["no_memory"]), run)


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} is no model that sam2_ros export-onnx wrote: "
            f"{path.name} cannot be read ({first_sentence(error)})"
        ) from error
    if card.get("version") != CARD_VERSION:
        raise CheckpointError(f"{path} is of another version of sam2_ros; export the model again")
    return card


def _session(path: Path, threads: int) -> Any:
    """A session of ONNX Runtime that runs a file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "ONNX files are run by ONNX Runtime, which is not installed here: pip install 'sam2_ros[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; it warns of every constant that it folds
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a class of its own for each kind of damage
        raise CheckpointError(f"{path} cannot be loaded ({first_sentence(error)}); export the model again") from error
