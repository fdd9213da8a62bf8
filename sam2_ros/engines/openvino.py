"""OpenVINO, an engine for processors without a GPU: it computes what every image needs; PyTorch does the rest.

Encoder, memory attention and tracking decoder are converted when a model is first used, and kept in the cache of the
user.  Prompts, corrections and the encoding of memories stay in PyTorch.  Before an engine is used it computes an
image that PyTorch computes as well: in bfloat16 some versions of OpenVINO are known to be wrong.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sam2_ros.cpu_threads import on_passing_thread
from sam2_ros.engines.graphs import Graph, Port, attention, encoder, tracking_decoder
from sam2_ros.engines.trial import BOUNDS, deviations
from sam2_ros.errors import CheckpointError, InvalidInput, MissingDependency, first_sentence
from sam2_ros.model.downloads import ELSEWHERE, alone, cache_folder
from sam2_ros.model.interface import Candidates, ImageFeatures, Memories, Model, PromptInputs, WrappedModel
from sam2_ros.model.precision import computed_in, lowered
from sam2_ros.model.sam2 import SAM2

logger = logging.getLogger(__name__)

#: Said where it is wanted and not installed.
MISSING = "the engine openvino is not installed here: pip install 'sam2_ros[openvino]', or choose the engine torch"
#: Raise it when a graph of these changes: what was converted before is then converted again.
FORM = 1
#: Converted models that are kept, the last used ones: about 160 MB each for tiny.
KEPT = 8
#: How OpenVINO calls each arithmetic.
HINTS = {"float32": "f32", "bfloat16": "bf16"}
#: Before the name of what the rest is computed in, where the encoder is in int8; and the bound of that encoder: the
#: embedded one is off by 0.10, and would be by 0.29 with all of its layers in int8.
INT8, INT8_BOUND = "int8 and ", 2e-1
#: Fused kernels of OpenVINO 2026.4 that are wrong in bfloat16 by up to a quarter.
WITHOUT_FUSED_ATTENTION = {"SNIPPETS_MODE": "DISABLE"}


class OpenVinoModel(WrappedModel):
    """A SAM2 on a CPU whose way from image to mask runs in OpenVINO.  It belongs to one thread."""

    def __init__(self, model: SAM2, programs: Mapping[str, Program], arithmetic: str) -> None:
        """programs: by the names of their graphs.  arithmetic: "float32", "bfloat16", or one of them after INT8."""
        super().__init__(model)
        self._programs = programs
        self.arithmetic = arithmetic

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What the trunk sees on the images; see ``Model.encode_image``."""
        side = self.size.image_size
        if images.shape != (1, 3, side, side):
            return super().encode_image(images)
        return ImageFeatures(*self._programs["encoder"](images))

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it; see ``Model.attend``."""
        if memories is None or features.stride16.shape[0] > 1:
            return super().attend(features, memories)
        found = memories.tokens, memories.time_code, memories.pointers, memories.pointer_distance
        return self._programs["attention"](features.stride16, *found)[0]

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """Candidate masks; see ``Model.decode``."""
        if prompt is None and multimask and features.stride8.shape[0] == 1:
            return Candidates(*self._programs["tracking_decoder"](view, features.stride8, features.stride4))
        return super().decode(view, features, prompt, multimask=multimask, stability_fallback=stability_fallback)


class Program:
    """A graph that OpenVINO has compiled: tensors in, tensors out."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._count = len(compiled.inputs)  # the last input of a graph may be of no use to SAM 2.0, and then missing

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """What the graph answers, in new memory."""
        arrays = [tensor.contiguous().numpy() for tensor in inputs[: self._count]]  # alive until it has answered
        found = self._request.infer(arrays, share_inputs=True)
        return [torch.from_numpy(found[number]) for number in range(len(found))]


def is_installed() -> bool:
    """Whether OpenVINO is here; it is not imported for that."""
    spec = importlib.util.find_spec("openvino")
    return spec is not None and spec.origin is not None  # a mere folder of that name has none


def prepare(model: SAM2, precision: str = "auto", int8: bool = False) -> OpenVinoModel:
    """A model on a CPU, run by OpenVINO in the fastest arithmetic that ``precision`` allows and that is right.

    precision: a setting of the tracker; bfloat16 is taken only where the processor computes in it, and not for a model
        whose encoder needs float32.
    int8: with the encoder that ``quantisation`` made.
    Raises MissingDependency without OpenVINO, CheckpointError where it cannot run the model, InvalidInput where there
    is no encoder in int8 that can be used.
    """
    openvino = imported()
    try:
        core = openvino.Core()
        networks = read_networks(openvino, core, model)
        rests = _arithmetics(core, precision)
        tried = rests if "encode_image" in lowered(model.size) else ["float32"]
        if int8:
            networks[INT8] = _int8_encoder(core, model, networks["encoder"])
            tried = [*(INT8 + rest for rest in rests), *tried]
        fastest = tried[0].removeprefix(INT8)
        if precision not in ("auto", fastest):
            logger.warning("precision %s was chosen; OpenVINO computes in %s here", precision, fastest)
        for arithmetic, other in zip(tried, [*tried[1:], ""]):
            try:
                found = OpenVinoModel(model, _compiled(core, networks, arithmetic), arithmetic)
                used = _in_tracker(found, precision)
                wrong = on_passing_thread(partial(deviations, model, used, _bounds(arithmetic)))
            except RuntimeError as error:
                if not other:
                    raise
                wrong = [_reason(error)]
            if not wrong:
                return found
            instead = f"; {other} is tried instead" if other else ""
            logger.warning("OpenVINO is wrong in %s: %s%s", arithmetic, ", ".join(wrong), instead)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise CheckpointError(f"cannot keep the model that OpenVINO converts ({where}); {ELSEWHERE}") from error
    except RuntimeError as error:  # of OpenVINO, for all of its errors
        raise CheckpointError(f"OpenVINO cannot run this model ({_reason(error)})") from error
    raise CheckpointError("OpenVINO computes something else than PyTorch on this machine")


def _in_tracker(found: OpenVinoModel, precision: str) -> Model:
    """The model as a tracker computes it: PyTorch's part is in bfloat16 only if OpenVINO's is, too."""
    return computed_in(found, precision) if found.arithmetic.endswith("bfloat16") else found


def _reason(error: RuntimeError) -> str:
    """What an error of OpenVINO says, without the lines of its code that it names first."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), "no reason given")


def imported(name: str = "openvino", missing: str = MISSING) -> Any:
    """A module of OpenVINO or of its tools; missing: said where it is not installed."""
    with unreported():
        try:
            return importlib.import_module(name)
        except ImportError as error:
            if error.name == name:
                raise MissingDependency(missing) from error
            raise MissingDependency(
                f"{name} is installed, but cannot be imported ({first_sentence(error)}); install it again"
            ) from error


@contextlib.contextmanager
def unreported() -> Iterator[None]:
    """Let what is imported meanwhile send nothing and write nothing: OpenVINO and its tools would report their use."""
    reporter = "openvino_telemetry"
    forbidden = reporter not in sys.modules
    if forbidden:
        sys.modules[reporter] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        if forbidden:
            del sys.modules[reporter]


# Conversion ----------------------------------------------------------------------------------------


def read_networks(openvino: Any, core: Any, model: SAM2) -> dict[str, Any]:
    """The converted graphs by their names; what the disk has damaged is converted again."""
    parts = on_passing_thread(lambda: (encoder(model), attention(model), tracking_decoder(model)))
    folder = converted(openvino, model, parts)
    try:
        return _read(core, folder, parts)
    except RuntimeError as error:
        logger.warning("%s is damaged and is converted again (%s)", folder, _reason(error))
    remove(folder)
    folder = converted(openvino, model, parts)
    try:
        return _read(core, folder, parts)
    except RuntimeError as error:  # a folder of another user, or a disk that is full
        raise CheckpointError(f"cannot read {folder} ({_reason(error)}); delete it, or {ELSEWHERE}") from error


def _read(core: Any, folder: Path, parts: Sequence[Graph]) -> dict[str, Any]:
    return {graph.name: core.read_model(folder / f"{graph.name}.xml") for graph in parts}


def converted(openvino: Any, model: SAM2, parts: Sequence[Graph]) -> Path:
    """The folder of the user's cache with the converted graphs; they are made if need be.

    Processes that start at once wait for each other, and a folder is there whole or not at all.
    """
    folder = _place("openvino", model, f"{openvino.__version__} {torch.__version__} {FORM}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        with alone(folder, "converts a model into"):
            if not folder.is_dir():
                _convert(openvino, parts, folder)
    with contextlib.suppress(OSError):  # the cache is read-only, or another process removes the same
        os.utime(folder)
        for former in sorted(_kept(folder.parent), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            remove(former)
    return folder


def _place(name: str, model: SAM2, versions: str) -> Path:
    """The folder for a model in the folder ``name`` of the cache; versions: what else must be the same."""
    size = model.size
    digest = hashlib.sha256(f"{model.checksum()} {size} {versions}".encode()).hexdigest()[:16]
    return cache_folder() / name / f"{size.name}-{size.image_size}-{digest}"


def remove(folder: Path) -> None:
    """Delete a folder so that no moment leaves half of it under its name."""
    leaving = folder.with_name(f"{folder.name}-{os.getpid()}.part")
    with contextlib.suppress(OSError):  # another process was faster
        os.replace(folder, leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def _kept(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir() and path.suffix != ".part"]


def _convert(openvino: Any, parts: Sequence[Graph], folder: Path) -> None:
    with written_whole(folder) as unfinished:
        for graph in tqdm(parts, desc="converting for OpenVINO, once", unit="part", disable=None):
            traced = on_passing_thread(graph.traced)
            ports = [_port(openvino, port) for port in graph.inputs.values()]
            try:
                with _same_logging():
                    whole = openvino.convert_model(traced, input=ports)
            except Exception as error:  # of several kinds that have only this base
                raise RuntimeError(str(error)) from error
            save(openvino, whole, unfinished / f"{graph.name}.xml")


def save(openvino: Any, network: Any, path: Path) -> None:
    """Write a graph.  Raises OSError where that fails: OpenVINO has another error for it, which hides the cause."""
    try:
        openvino.save_model(network, path, compress_to_fp16=False)
    except RuntimeError as error:
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OSError(errno.EIO, f"writing fails, {free:.0f} MB are free ({_reason(error)})", str(path)) from error


@contextlib.contextmanager
def _same_logging() -> Iterator[None]:
    """Bring the root logger back to how it was: a conversion that fails leaves it silent for warnings."""
    root = logging.getLogger()
    level, filters, handlers = root.level, [*root.filters], [*root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which then takes the place of ``folder``, with files that outlive a power cut.

    Raises OSError where the disk has no room for them after all.
    """
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        for file in unfinished.iterdir():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
        remove(folder)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # half a model would fill the rest of the disk


def int8_folder(model: SAM2) -> Path:
    """Where the encoder in int8 of a model is kept; no later conversion takes its place."""
    return _place("openvino_int8", model, str(FORM))


def _int8_encoder(core: Any, model: SAM2, exact: Any) -> Any:
    """The encoder that ``quantisation`` made; exact: the one in float32, which has the same inputs and outputs."""
    size = model.size
    path = int8_folder(model) / "encoder.xml"
    remedy = (
        f"make it from your images with sam2_ros quantise MODEL IMAGES --image-side {size.image_size}, "
        "or choose another engine"
    )
    if not path.parent.is_dir():
        raise InvalidInput(
            f"there is no encoder in int8 for this model ({size.title}, {size.image_size} pixels): {remedy}"
        )
    try:
        found = core.read_model(path)
    except RuntimeError as error:
        raise InvalidInput(f"the encoder in int8 cannot be read from {path} ({_reason(error)}): {remedy}") from error
    if _shapes(found) != _shapes(exact):
        raise InvalidInput(f"{path} is not the encoder of this model ({size.title}): {remedy}")
    return found


def _shapes(network: Any) -> list[str]:
    """The shapes of its inputs and outputs."""
    return [str(port.partial_shape) for port in (*network.inputs, *network.outputs)]


def _port(openvino: Any, port: Port) -> tuple[Any, Any]:
    lengths = [-1 if isinstance(length, str) else length for length in port.shape]
    return openvino.PartialShape(lengths), openvino.Type(np.dtype(str(port.dtype).removeprefix("torch.")))


def _bounds(arithmetic: str) -> dict[str, float]:
    """The largest error of each part."""
    rest = arithmetic.removeprefix(INT8)
    return BOUNDS[rest] | ({"encoder": INT8_BOUND} if arithmetic != rest else {})


def _arithmetics(core: Any, precision: str) -> list[str]:
    """What may be computed in, the fastest first."""
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bfloat16", "float32"] if has_bfloat16 and precision in ("auto", "bfloat16") else ["float32"]


def _compiled(core: Any, networks: Mapping[str, Any], arithmetic: str) -> dict[str, Program]:
    graphs, rest = dict(networks), arithmetic.removeprefix(INT8)
    int8_encoder = graphs.pop(INT8, None)
    if arithmetic != rest:
        graphs["encoder"] = int8_encoder
    chosen = options(rest)
    return {name: Program(core.compile_model(network, "CPU", chosen)) for name, network in graphs.items()}


def options(arithmetic: str) -> dict[str, Any]:
    """What OpenVINO is told for "float32" or "bfloat16"."""
    fused = WITHOUT_FUSED_ATTENTION if arithmetic == "bfloat16" else {}
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[arithmetic],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Of two nodes that are bound to cores, both may be bound to the same ones: each image took half as long again.
        "ENABLE_CPU_PINNING": False,
        **fused,
    }
