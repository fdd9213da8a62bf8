"""Which engine computes a model: PyTorch, CUDA graphs on a GPU, or OpenVINO where it is installed, right and faster."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from sam2_ros.cpu_threads import on_passing_thread
from sam2_ros.engines import cuda_graphs, openvino, pytorch
from sam2_ros.engines.trial import is_faster
from sam2_ros.errors import CheckpointError, InvalidInput, MissingDependency
from sam2_ros.model import checkpoint
from sam2_ros.model.interface import Model
from sam2_ros.model.precision import InPrecision
from sam2_ros.model.sam2 import SAM2
from sam2_ros.node_settings import NodeSettings

logger = logging.getLogger(__name__)

#: OpenVINO with the image encoder in int8.
INT8 = "openvino_int8"
#: Engine and precision in the words of the log, by the names of ``candidate``.
WORDS = {
    "torch": "PyTorch, {}",
    cuda_graphs.NAME: "PyTorch with CUDA graphs, {}",
    "openvino": "OpenVINO, {}",
    INT8: "OpenVINO, int8 and {}",
}


def load(
    name_or_path: str | Path,
    device: str = "auto",
    image_side: int = 0,
    engine: str = NodeSettings.engine,
    precision: str = "auto",
) -> Model:
    """The model that ``checkpoint.load`` loads, in the engine that was chosen.

    engine, precision: as the parameters of these names.  Threads must be chosen before.
    Raises as checkpoint.load does, and what ``with_engine`` raises.
    """
    return with_engine(checkpoint.load(name_or_path, device, image_side), engine, precision)


def with_engine(model: SAM2, engine: str, precision: str = "auto") -> Model:
    """The model itself, or the same in another precision or engine.

    engine: "torch"; "openvino", which gives way to PyTorch where it cannot run the model; "openvino_int8", the same
    with an encoder in int8; or "auto", which is OpenVINO where it is installed and faster on a CPU, and PyTorch with
    CUDA graphs on a GPU.
    Raises as ``candidate``, and InvalidInput where no encoder in int8 can be used.
    """
    chosen = candidate(engine, model.device)
    if chosen == "torch":
        return pytorch.prepare(model, precision)
    if chosen == cuda_graphs.NAME:
        return cuda_graphs.prepare(model, precision)
    # One that was chosen by its name and cannot be imported is an error.
    gives_way = (CheckpointError, MissingDependency) if engine == "auto" else (CheckpointError,)
    try:
        found = _with_rest_alike(openvino.prepare(model, precision, int8=engine == INT8), precision)
    except gives_way as error:
        logger.warning("%s; PyTorch computes it instead", error)
        return pytorch.prepare(model, precision)
    if engine != "auto":
        return found
    in_pytorch = pytorch.prepare(model, precision)
    if on_passing_thread(lambda: is_faster(in_pytorch, found)):
        return found
    logger.info("OpenVINO is not faster here; PyTorch computes the model")
    return in_pytorch


def _with_rest_alike(found: openvino.OpenVinoModel, precision: str) -> Model:
    """The model; where OpenVINO computes in float32 although another precision was chosen, PyTorch does the same."""
    arithmetic = found.arithmetic.removeprefix(openvino.INT8)
    return InPrecision(found, torch.float32) if arithmetic == "float32" and precision != "auto" else found


def candidate(engine: str, device: torch.device) -> str:
    """The engine that is tried on a device: "openvino", "openvino_int8", "cuda_graphs" or "torch".

    Raises MissingDependency where the chosen engine is not installed, InvalidInput for a device that it has not.
    """
    if engine in ("openvino", INT8):
        if device.type != "cpu":
            raise InvalidInput(f"the engine {engine} computes on the CPU, not on {device}; set device to cpu")
        if not openvino.is_installed():
            raise MissingDependency(openvino.MISSING)
        return engine
    if engine == "auto" and device.type == "cuda":
        return cuda_graphs.NAME
    return "openvino" if engine == "auto" and device.type == "cpu" and openvino.is_installed() else "torch"


def engine_of(model: Model) -> str:
    """What computes a model, and in which precision, in words."""
    name, precision = used(model)
    return WORDS[name].format(precision)


def used(model: Model) -> tuple[str, str]:
    """The engine that computes a model, as ``candidate`` names it, and its precision."""
    inner, dtype = (model.model, model.dtype) if isinstance(model, InPrecision) else (model, model.precision)
    if isinstance(inner, openvino.OpenVinoModel):
        rest = inner.arithmetic.removeprefix(openvino.INT8)
        return "openvino" if rest == inner.arithmetic else INT8, rest
    name = "torch"
    if isinstance(inner, cuda_graphs.GraphedModel):
        name = cuda_graphs.NAME if inner.recordings else name
        dtype = dtype if isinstance(model, InPrecision) else inner.arithmetic
    return name, str(dtype).removeprefix("torch.")
