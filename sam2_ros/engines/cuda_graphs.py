"""CUDA graphs: on a GPU what every image needs is recorded once and then started as a whole.

A small model has hundreds of operations for each image, and the processor needs longer to start them one by one than
the GPU needs to compute them.  A recording belongs to one set of shapes.  Those of a full memory are recorded at the
start, for few objects; others are computed as before, and recorded when they have come often.  Prompts and
corrections are never recorded.

A recording reads and writes always the same memory.  Inputs are copied into it, and results are copies of what it
wrote, so that the tracker may keep them.  If recording fails, PyTorch computes as before.

The next image may be encoded on a second stream while objects are followed on the present one.  So the recordings of
the encoder have memory of their own.  Recordings that share memory wait for each other, also across streams.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from sam2_ros.errors import first_sentence
from sam2_ros.model.device_memory import release
from sam2_ros.model.full_memory import encode, follow
from sam2_ros.model.interface import Candidates, ImageFeatures, Memories, Model, PromptInputs, WrappedModel
from sam2_ros.model.precision import computed_in, precision

logger = logging.getLogger(__name__)

#: How ``choice`` calls this engine.
NAME = "cuda_graphs"
#: Up to this many objects are recorded at the start, with a full memory.
EXPECTED_OBJECTS = 4
#: Other shapes are recorded when they have come this often: about a second of images.
OFTEN = 30
#: Recordings that are kept, the last used ones: each holds its inputs and results.
KEPT = 24
#: Shapes that are counted before the counts start again.
COUNTED = 256
#: Runs before a recording, in which libraries choose their kernels and take their memory.
WARM_UP = 3

#: Name of the method, what it computes in, and the shapes and types of its inputs.
Key = tuple[Hashable, ...]
#: Computes some tensors from others.
Compute = Callable[..., Sequence[Tensor]]
#: Does some work, which reads and writes tensors that stay where they are; returns the results, and what does it again.
Record = Callable[[Callable[[], Sequence[Tensor]]], tuple[Sequence[Tensor], Callable[[], object]]]


class GraphedModel(WrappedModel):
    """A model on a GPU, with recordings of what every image needs.  Any thread may use it."""

    def __init__(self, model: Model, record: Record | None = None) -> None:
        """record: by default with CUDA."""
        super().__init__(model)
        self._encoding = _Lane(record or CudaRecorder(model.device), model.device)
        self._following = _Lane(record or CudaRecorder(model.device), model.device)
        self._programs: OrderedDict[Key, _Program] = OrderedDict()
        self._seen: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._at_once = False
        #: Precision of the methods that may be lowered: the expected one, then that of the last call.
        self.arithmetic = torch.float32
        #: Whether a recording has failed; then no other is tried.
        self.failed = False

    @property
    def recordings(self) -> int:
        """How many there are."""
        return len(self._programs)

    def record_expected(self, wanted: str) -> None:
        """Record what a tracker with this precision will need."""
        self.arithmetic = precision(wanted, self.device)
        model = computed_in(self, wanted)
        self._at_once = True
        try:
            with torch.inference_mode():
                features = encode(model)
                for objects in range(1, EXPECTED_OBJECTS + 1):
                    follow(model, features, objects)
        finally:
            self._at_once = False

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What the trunk sees on the images; see ``Model.encode_image``."""
        return ImageFeatures(*self._run("encode_image", self._encode_image, images))

    def _encode_image(self, images: Tensor) -> Sequence[Tensor]:
        features = super().encode_image(images)
        return features.stride16, features.stride8, features.stride4

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it; see ``Model.attend``."""
        if memories is None:
            return super().attend(features, memories)
        self.arithmetic = self._lowered() or torch.float32
        found = memories.tokens, memories.time_code, memories.pointers, memories.pointer_distance
        return self._run("attend", self._attend, features.stride16, *found)[0]

    def _attend(self, stride16: Tensor, *memories: Tensor) -> Sequence[Tensor]:
        return (super().attend(_coarse(stride16), Memories(*memories)),)

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
        if prompt is not None or not multimask:
            return super().decode(view, features, prompt, multimask=multimask, stability_fallback=stability_fallback)
        inputs = view, features.stride16, features.stride8, features.stride4
        return Candidates(*self._run("decode", self._decode, *inputs))

    def _decode(self, view: Tensor, *features: Tensor) -> Sequence[Tensor]:
        found = super().decode(view, ImageFeatures(*features), multimask=True)
        return found.logits, found.iou, found.object_score, found.pointer

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """The tokens to remember; see ``Model.encode_memory``."""
        if binarize:
            return super().encode_memory(features, mask_logits, object_score, binarize=binarize)
        return self._run("encode_memory", self._encode_memory, features.stride16, mask_logits, object_score)[0]

    def _encode_memory(self, stride16: Tensor, mask_logits: Tensor, object_score: Tensor) -> Sequence[Tensor]:
        return (super().encode_memory(_coarse(stride16), mask_logits, object_score, binarize=False),)

    # -- recordings ----------------------------------------------------------------------------

    def _run(self, name: str, compute: Compute, *inputs: Tensor) -> Sequence[Tensor]:
        """What ``compute`` makes of the inputs: by a recording where there is one, or where it is time for one."""
        if torch.is_grad_enabled():  # a recording has no gradients
            return compute(*inputs)
        key: Key = (name, self._lowered(), *((value.shape, value.dtype) for value in inputs))
        lane = self._encoding if name == "encode_image" else self._following
        with self._lock:  # from the copies of the inputs to the copies of the results
            if key not in self._programs and self._is_time_for(key):
                self._add(key, compute, inputs, lane)
            if key in self._programs:
                self._programs.move_to_end(key)
                with lane.turn():
                    return self._programs[key](inputs)
        return compute(*inputs)

    def _lowered(self) -> torch.dtype | None:
        """The lower precision that autocast has chosen for the present call; None without autocast."""
        kind = self.device.type
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None

    def _is_time_for(self, key: Key) -> bool:
        """Whether these shapes have come often enough to be recorded."""
        if self.failed:
            return False
        if len(self._seen) >= COUNTED:
            self._seen.clear()
        self._seen[key] += 1
        return self._at_once or self._seen[key] >= OFTEN

    def _add(self, key: Key, compute: Compute, inputs: Sequence[Tensor], lane: _Lane) -> None:
        """Record, in the place of what was not used for longest; without a recording where that fails."""
        while len(self._programs) >= KEPT:
            if self.device.type == "cuda":  # another stream may still use the memory that is given back
                torch.cuda.synchronize(self.device)
            self._programs.popitem(last=False)
        try:
            with lane.turn():
                self._programs[key] = _Program(compute, inputs, lane.record)
        except RuntimeError as error:  # of CUDA, for all of its errors; out of memory is one
            self.give_up(str(key[0]), error)
        if self.failed:
            release()  # after the error, which holds what was computed before it

    def give_up(self, name: str, error: Exception) -> None:
        """Record nothing more; those that there are stay."""
        self.failed = True
        logger.warning("no CUDA graph for %s (%s); PyTorch goes on without", name, first_sentence(error))


class _Program:
    """One recording, with the memory that it reads and writes."""

    def __init__(self, compute: Compute, inputs: Sequence[Tensor], record: Record) -> None:
        with torch.inference_mode(False):  # memory that may be written in any mode
            self._inputs = [torch.empty_like(value) for value in inputs]
        self._fill(inputs)

        def work() -> Sequence[Tensor]:
            with _without_cache(self._inputs[0].device):
                return compute(*self._inputs)

        self._results, self._replay = record(work)

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The results for these inputs, in new memory."""
        self._fill(inputs)
        self._replay()
        return [value.clone() for value in self._results]

    def _fill(self, inputs: Sequence[Tensor]) -> None:
        for held, value in zip(self._inputs, inputs):
            held.copy_(value)


class _Lane:
    """Recordings that share the memory in which they compute, so that only one of them may run at a time."""

    def __init__(self, record: Record, device: torch.device) -> None:
        self.record = record
        self._device = device
        self._done: torch.cuda.Event | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Work of this block, on the present stream, begins after all work of the block before, on any stream."""
        if self._device.type != "cuda":
            yield
            return
        stream = torch.cuda.current_stream(self._device)
        if self._done is not None:
            stream.wait_event(self._done)
        try:
            yield
        finally:
            self._done = stream.record_event()


class CudaRecorder:
    """Records with CUDA; all of its recordings share the memory in which they compute.

    They also share the stream on which they are recorded, and with it the memory that libraries keep per stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._first: torch.cuda.CUDAGraph | None = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, work: Callable[[], Sequence[Tensor]]) -> tuple[Sequence[Tensor], Callable[[], object]]:
        """See ``Record``."""
        with torch.cuda.device(self._device):
            stream = self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Its own thread only: another may read masks from the GPU meanwhile.
            pool = None if self._first is None else self._first.pool()
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                results = work()
        self._first = self._first or graph
        return results, graph.replay


def prepare(model: Model, wanted: str = "auto", record: Record | None = None) -> GraphedModel:
    """A model on a GPU with recordings of what will be needed; where that fails, a sentence in the log and none.

    wanted: the precision, a setting of the tracker.
    """
    graphed = GraphedModel(model, record)
    try:
        graphed.record_expected(wanted)
    except RuntimeError as error:  # see above
        graphed.give_up("the start", error)
    return graphed


def _coarse(stride16: Tensor) -> ImageFeatures:
    """Features for what looks at the coarse one only."""
    return ImageFeatures(stride16, stride16, stride16)


def _without_cache(device: torch.device) -> AbstractContextManager[object]:
    """The present autocast without its cache: a recording must not read weights that were converted outside of it."""
    kind = device.type
    enabled = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if enabled else None
    return torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False)
