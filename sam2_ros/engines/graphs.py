"""The methods of a SAM2 as graphs of tensors, which an engine can run without Python.

Each graph is a module that calls the model's own parts, or the method itself, and never depends on a value.  A method
that does is written again here, with the same result.  The numbers of objects, memories, pointers and points may
vary, the side of the image may not: one image, N objects, M memories of T tokens of m numbers, P pointers of C
numbers, K points.

    for graph in graphs(load("embedded")):
        graph.name, graph.inputs, graph.outputs, graph.traced()
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.attention import by_halves
from sam2_ros.model.interface import ABSENT_LOGIT, ImageFeatures, Memories
from sam2_ros.model.mask_decoder import MASK_TOKENS
from sam2_ros.model.memory_attention import MemoryAttentionLayer
from sam2_ros.model.position import rotate
from sam2_ros.model.sam2 import MASK_BIAS, MASK_SCALE, SAM2
from sam2_ros.model.sizes import Size

#: Lengths of the dimensions that vary, in the example with which a graph is traced.
EXAMPLE = {"N": 2, "M": 2, "P": 3, "K": 2}
#: Names of these dimensions.
MEANINGS = {"N": "objects", "M": "memories", "P": "pointers", "K": "points"}

#: The dimensions of a tensor; a name stands for a length that varies.
Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that goes into a graph or comes out of it."""

    shape: Shape
    dtype: torch.dtype = torch.float32

    def example(self) -> Tensor:
        """A tensor of this shape; its values do not matter."""
        lengths = [EXAMPLE[length] if isinstance(length, str) else length for length in self.shape]
        return torch.zeros(lengths, dtype=self.dtype)

    @property
    def varying(self) -> dict[int, str]:
        """The dimensions that vary, by their number."""
        return {number: length for number, length in enumerate(self.shape) if isinstance(length, str)}


@dataclass(frozen=True, slots=True)
class Graph:
    """A module with the names and shapes of its inputs and outputs, in the order of its arguments and results."""

    name: str
    module: nn.Module
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def __post_init__(self) -> None:
        self.module.eval()  # a new module would be in training, and an exporter leaves the model as it found the module

    def example(self) -> tuple[Tensor, ...]:
        """Inputs with which the graph can be traced."""
        return tuple(port.example() for port in self.inputs.values())

    def traced(self) -> torch.jit.ScriptModule:
        """The graph as TorchScript, in which no Python is left."""
        with torch.no_grad(), warnings.catch_warnings():
            # Of the tracer, about lengths that are the same for every input; of torch, about the tracer.
            warnings.simplefilter("ignore")
            trace: Any = torch.jit.trace  # it has no types
            traced: torch.jit.ScriptModule = trace(self.module, self.example(), check_trace=False)
            return traced


class Encoder(nn.Module):
    """``SAM2.encode_image``."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images to features of stride 16, 8 and 4."""
        features = self.model.encode_image(images)
        return features.stride16, features.stride8, features.stride4


class AttentionLayer(nn.Module):
    """A layer of the memory attention, in which values stay as narrow as the memories are.

    What was seen is projected in place of all values: the two projections behind each other are one.
    """

    def __init__(self, layer: MemoryAttentionLayer) -> None:
        super().__init__()
        self.layer = layer
        cross = layer.cross_attn_image
        projections = {
            "own_queries": by_halves(layer.self_attn.q_proj),
            "own_keys": by_halves(layer.self_attn.k_proj),
            "queries": by_halves(cross.q_proj),
            "keys": by_halves(cross.k_proj),
            "seen": (cross.out_proj.weight @ cross.v_proj.weight, cross.out_proj(cross.v_proj.bias)),
        }
        for name, (weight, bias) in projections.items():
            self.register_buffer(f"{name}_weight", weight.detach())
            self.register_buffer(f"{name}_bias", bias.detach())

    def forward(
        self,
        image: Tensor,
        keys: Tensor,
        values: Tensor,
        image_table: tuple[Tensor, Tensor],
        key_table: tuple[Tensor, Tensor],
    ) -> Tensor:
        """As in MemoryAttentionLayer."""
        layer, own = self.layer, self.layer.self_attn
        normed = layer.norm1(image)
        queries = rotate(self._projected("own_queries", normed), *image_table)
        own_keys = rotate(self._projected("own_keys", normed), *image_table)
        image = image + own.out_proj(_seen(queries, own_keys, own.v_proj(normed)))
        queries = rotate(self._projected("queries", layer.norm2(image)), *image_table)
        keys, turns = self._projected("keys", keys), key_table[0].shape[0]
        keys = torch.cat((rotate(keys[:, :turns], *key_table), keys[:, turns:]), dim=1)
        image = image + self._projected("seen", _seen(queries.expand(keys.shape[0], -1, -1), keys, values))
        mixed: Tensor = layer.linear2(F.relu(layer.linear1(layer.norm3(image))))
        return image + mixed

    def _projected(self, name: str, tokens: Tensor) -> Tensor:
        return F.linear(tokens, self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias"))


class Attention(nn.Module):
    """``SAM2.attend`` with memories."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList(
            AttentionLayer(layer) for layer in model.memory_attention.layers if isinstance(layer, MemoryAttentionLayer)
        )

    def forward(
        self, stride16: Tensor, tokens: Tensor, time_code: Tensor, pointers: Tensor, pointer_distance: Tensor
    ) -> Tensor:
        """The feature of the image, and what the fields of Memories hold, to the views of N objects."""
        memories = Memories(tokens, time_code, pointers, pointer_distance)
        keys, values, key_table = self.model.keys_and_values(memories)
        part = self.model.memory_attention
        image = (stride16 + 0.1 * part.position).flatten(2).transpose(1, 2)  # (1, hw, C)
        for layer in self.layers:
            image = layer(image, keys, values, (part.cosine, part.sine), key_table)
        views: Tensor = part.norm(image).transpose(1, 2)
        return torch.unflatten(views, 2, stride16.shape[-2:])


class TrackingDecoder(nn.Module):
    """``SAM2.decode`` where nobody said anything: three answers."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model

    def forward(self, view: Tensor, stride8: Tensor, stride4: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Views of N objects to logits, predicted IoU, object score and pointers."""
        found = self.model.decode(view, ImageFeatures(view, stride8, stride4), None, multimask=True)
        return found.logits, found.iou, found.object_score, found.pointer


class PromptDecoder(nn.Module):
    """``SAM2.decode`` with prompts: the one answer, the three, and which one is given where one is wanted."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        view: Tensor,
        stride8: Tensor,
        stride4: Tensor,
        points: Tensor,
        labels: Tensor,
        previous: Tensor,
        has_previous: Tensor,
    ) -> tuple[Tensor, ...]:
        """Views and prompts of N objects to four answers, of which the first is for a clear prompt.

        previous: logits of the answer before, read where ``has_previous``.
        """
        model, encoder = self.model, self.model.sam_prompt_encoder
        former = torch.where(_wide(has_previous), encoder.embed_masks(previous), encoder.embed_masks(None))
        logits, iou, tokens, score = model.sam_mask_decoder(
            view + former,
            encoder.image_positions(),
            encoder.embed_points(points, labels),
            (stride4, stride8),
            slice(MASK_TOKENS),
        )
        single, single_iou = model.clearest(logits, iou, points, labels)
        visible = score > 0
        pointers = torch.where(visible[:, None, None], model.obj_ptr_proj(tokens), model.no_obj_ptr)
        logits, single = (torch.where(_wide(visible), masks, ABSENT_LOGIT) for masks in (logits, single))
        return logits, iou, score, pointers, single, single_iou


class MaskPrompt(nn.Module):
    """``SAM2.decode_mask``, with a resize that is two products of matrices: engines know no other of its kind."""

    shrinking: Tensor

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shrinking", _shrinking(model.size.image_size))

    def forward(
        self, stride16: Tensor, stride8: Tensor, stride4: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features and masks of N objects to logits, object score and pointer."""
        model = self.model
        logits = self.shrinking @ (masks * MASK_SCALE + MASK_BIAS) @ self.shrinking.T
        lost = (logits > 0).float().mean(dim=(1, 2, 3)) < masks.mean(dim=(1, 2, 3)) / 2
        logits = torch.where(_wide(lost), F.max_pool2d(masks, 4) * MASK_SCALE + MASK_BIAS, logits)
        encoder = model.sam_prompt_encoder
        former = encoder.embed_masks(model.mask_downsample(masks))
        points, labels = masks.new_zeros(masks.shape[0], 1, 2), masks.new_full((masks.shape[0], 1), -1)
        _, _, tokens, score = model.sam_mask_decoder(
            stride16 + former,
            encoder.image_positions(),
            encoder.embed_points(points, labels),
            (stride4, stride8),
            slice(1),
        )
        inside = masks.amax(dim=(1, 2, 3)) > 0
        seen = (score > 0) & inside
        pointer = torch.where(seen[:, None], model.obj_ptr_proj(tokens)[:, 0], model.no_obj_ptr)
        return logits, inside.float() * MASK_SCALE + MASK_BIAS, pointer


class MemoryEncoder(nn.Module):
    """``SAM2.encode_memory``."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model

    def forward(self, stride16: Tensor, mask_logits: Tensor, object_score: Tensor, binarize: Tensor) -> Tensor:
        """The feature of the image and the masks of N objects to their memories."""
        model, side = self.model, self.model.size.image_size
        masks = F.interpolate(mask_logits, size=(side, side), mode="bilinear", align_corners=False)
        masks = torch.where(_wide(binarize), (masks > 0).to(masks.dtype), masks.sigmoid())
        memory: Tensor = model.memory_encoder(stride16, masks * MASK_SCALE + MASK_BIAS)
        if model.size.version_2_1:
            absent = _wide(object_score <= 0).to(memory.dtype)
            memory = memory + absent * model.no_obj_embed_spatial[..., None, None]
        return model.spatial_perceiver(memory)


def graphs(model: SAM2) -> tuple[Graph, ...]:
    """All graphs of a model that computes on a CPU, in eval mode."""
    return encoder(model), attention(model), tracking_decoder(model), *_around_prompts(model)


def encoder(model: SAM2) -> Graph:
    """The graph that looks at an image."""
    side = model.size.image_size
    return Graph("encoder", Encoder(model), {"images": Port((1, 3, side, side))}, _features(model.size))


def attention(model: SAM2) -> Graph:
    """The graph that looks at an image with the memories of N objects."""
    size = model.size
    inputs = {
        "stride16": _features(size)["stride16"],
        "tokens": Port(("N", "M", *_memory(model))),
        "time_code": Port(("N", "M"), torch.int64),
        "pointers": Port(("N", "P", size.hidden_dim)),
        "pointer_distance": Port(("N", "P")),
    }
    return Graph("attention", Attention(model), inputs, {"view": _view(size)})


def tracking_decoder(model: SAM2) -> Graph:
    """The graph that finds N objects in their views."""
    size, count = model.size, MASK_TOKENS - 1
    inputs = {"view": _view(size), **_sharp_features(size)}
    return Graph("tracking_decoder", TrackingDecoder(model), inputs, _answers(size, count))


def _around_prompts(model: SAM2) -> tuple[Graph, Graph, Graph]:
    size, side = model.size, model.size.image_size
    masks, flags = Port(("N", 1, 4 * size.grid, 4 * size.grid)), Port(("N",), torch.bool)
    points = {"points": Port(("N", "K", 2)), "labels": Port(("N", "K"), torch.int32)}
    prompts = {"view": _view(size), **_sharp_features(size), **points, "previous": masks, "has_previous": flags}
    single = {"single_logits": masks, "single_iou": Port(("N", 1))}
    pointer = {"object_score": Port(("N",)), "pointer": Port(("N", size.hidden_dim))}
    remembered = {"tokens": Port(("N", *_memory(model)))}
    found = {"stride16": _features(size)["stride16"], "mask_logits": masks, "object_score": Port(("N",))}
    return (
        Graph("prompt_decoder", PromptDecoder(model), prompts, _answers(size, MASK_TOKENS) | single),
        Graph(
            "mask_prompt",
            MaskPrompt(model),
            {**_features(size), "masks": Port(("N", 1, side, side))},
            {"logits": masks, **pointer},
        ),
        Graph("memory_encoder", MemoryEncoder(model), {**found, "binarize": flags}, remembered),
    )


def _memory(model: SAM2) -> tuple[int, int]:
    """T and m: how many tokens a memory has, of how many numbers."""
    return len(model.spatial_perceiver.positions), model.size.memory_dim


def _features(size: Size) -> dict[str, Port]:
    width, grid = size.hidden_dim, size.grid
    return {"stride16": Port((1, width, grid, grid)), **_sharp_features(size)}


def _sharp_features(size: Size) -> dict[str, Port]:
    width, grid = size.hidden_dim, size.grid
    return {
        "stride8": Port((1, width // 4, 2 * grid, 2 * grid)),
        "stride4": Port((1, width // 8, 4 * grid, 4 * grid)),
    }


def _view(size: Size) -> Port:
    return Port(("N", size.hidden_dim, size.grid, size.grid))


def _answers(size: Size, count: int) -> dict[str, Port]:
    return {
        "logits": Port(("N", count, 4 * size.grid, 4 * size.grid)),
        "iou": Port(("N", count)),
        "object_score": Port(("N",)),
        "pointer": Port(("N", count, size.hidden_dim)),
    }


def _seen(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one head: (N, Q, C), (N, K, C) and (N, K, m) to (N, Q, m)."""
    return F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])[:, 0]


def _wide(values: Tensor) -> Tensor:
    """One value for each object, beside its masks: (N,) to (N, 1, 1, 1)."""
    return values[:, None, None, None]


def _shrinking(side: int) -> Tensor:
    """The (side / 4, side) matrix that shrinks a column of values as the resize of a mask prompt does."""
    one_each = torch.eye(side)[None, None]
    return F.interpolate(one_each, size=(side // 4, side), mode="bilinear", antialias=True)[0, 0]
