"""One frozen row per size of the model: everything that the published checkpoints do not share.

What all of them share (7 memories, 16 pointers, 8 decoder heads, strides 4 to 32, ...) is a
constant where it is used, not an option.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from sam2_ros.errors import InvalidInput

#: Stride of the coarsest image feature in pixels.
COARSEST_STRIDE = 32
#: The largest side of the image in pixels: beyond it the attention over the whole image fills any memory.
LARGEST_SIDE = 4096
#: The trunk of the published models.
HIERA = "hiera"
#: The memories of the published models: every place of the map is remembered.
WHOLE_MAP = "whole_map"


@dataclass(frozen=True)
class EfficientNetStage:
    """One stage of an EfficientNet: its blocks, and of each the kernel, the widening and the channels that come out."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


#: The stages of an EfficientNet whose outputs are the features of strides 4, 8, 16 and 32.
FEATURE_STAGES = (1, 2, 4, 6)
#: The trunks made of convolutions, by name (https://arxiv.org/abs/1905.11946, table 1, scaled; stem of 32 channels).
EFFICIENTNET_STAGES = {
    "efficientnet-lite0": (
        EfficientNetStage(1, 3, 1, 1, 16),
        EfficientNetStage(2, 3, 2, 6, 24),
        EfficientNetStage(2, 5, 2, 6, 40),
        EfficientNetStage(3, 3, 2, 6, 80),
        EfficientNetStage(3, 5, 1, 6, 112),
        EfficientNetStage(4, 5, 2, 6, 192),
        EfficientNetStage(1, 3, 1, 6, 320),
    ),
    "efficientnet-lite2": (
        EfficientNetStage(1, 3, 1, 1, 16),
        EfficientNetStage(3, 3, 2, 6, 24),
        EfficientNetStage(3, 5, 2, 6, 48),
        EfficientNetStage(4, 3, 2, 6, 88),
        EfficientNetStage(4, 5, 1, 6, 120),
        EfficientNetStage(5, 5, 2, 6, 208),
        EfficientNetStage(1, 3, 1, 6, 352),
    ),
}


@dataclass(frozen=True)
class RepViTStage:
    """One stage of a RepViT: its blocks, besides those at the change of stride, and its channels."""

    blocks: int
    channels: int


#: The trunk of EdgeTAM (https://arxiv.org/abs/2307.09283); its four stages are the features.
REPVIT_STAGES = {
    "repvit-m1": (RepViTStage(2, 48), RepViTStage(2, 96), RepViTStage(14, 192), RepViTStage(2, 384)),
}
#: The memories of EdgeTAM: a perceiver compresses a map to few tokens, part of them a grid of this side.
PERCEIVER, PERCEIVER_SIDE = "perceiver", 16
#: Every trunk that a size may name.
TRUNK_NAMES = (HIERA, *EFFICIENTNET_STAGES, *REPVIT_STAGES)


@dataclass(frozen=True)
class Size:
    """What distinguishes one size of SAM 2 from another (paper, appendix C; Hiera, table 2).

    name: the published short name.
    embed_dim: channels of the first stage of the trunk; doubled at each later stage.  This and the next five
        describe Hiera, and no other trunk.
    num_heads: attention heads of the first stage; doubled likewise.
    stages: blocks per stage.
    global_attention_blocks: blocks, counted from 0, that look at the whole image.
    window_spec: side of the attention windows in tokens, per stage.
    position_background_size: side of the coarse position embedding in tokens.
    image_size: side of the square input in pixels, a multiple of 32.
    hidden_dim: width of image feature, prompt tokens and object pointers.
    memory_dim: width of one memory token; divides hidden_dim.
    memory_layers: layers of the memory attention.
    feedforward_dim: hidden width of the memory attention's and the mask decoder's MLPs.
    trunk: HIERA, or a name in EFFICIENTNET_STAGES; ``neck.TRUNKS`` has the part of that name.
    memory: what a memory is compressed to; ``memory_tokens.MEMORY_TOKENS`` has the part of that name.
    obeys_clicks: of the four masks for a clear prompt, prefer one that agrees with the clicks; else a stable one, as
        the published models do.
    version_2_1: SAM 2.1 (an embedding for absent objects, timed pointers) or SAM 2.
    drop_path, dropout: training only; probability of skipping a trunk block (of the last
        one; earlier ones less) and of zeroing an activation in the memory attention.
    """

    name: str
    embed_dim: int = 0
    num_heads: int = 0
    stages: tuple[int, int, int, int] = (0, 0, 0, 0)
    global_attention_blocks: tuple[int, ...] = ()
    window_spec: tuple[int, int, int, int] = (8, 4, 14, 7)
    position_background_size: int = 7
    image_size: int = 1024
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_layers: int = 4
    feedforward_dim: int = 2048
    trunk: str = HIERA
    memory: str = WHOLE_MAP
    obeys_clicks: bool = False
    version_2_1: bool = True
    drop_path: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.trunk not in TRUNK_NAMES:
            raise InvalidInput(f"unknown trunk {self.trunk!r}; known are {', '.join(TRUNK_NAMES)}")
        if self.trunk == HIERA and not (self.embed_dim and self.num_heads and all(self.stages)):
            raise InvalidInput(
                f"a size with the trunk {HIERA} names its embed_dim, num_heads and stages; {self.name} does not"
            )
        step = math.lcm(COARSEST_STRIDE, 4 * self.window_spec[0]) if self.trunk == HIERA else COARSEST_STRIDE
        if self.memory == PERCEIVER:
            step = math.lcm(step, 16 * PERCEIVER_SIDE)
        if not step <= self.image_size <= LARGEST_SIDE or self.image_size % step:
            below = min(max(step, self.image_size // step * step), LARGEST_SIDE - step)
            raise InvalidInput(
                f"the image side must be a multiple of {step} pixels, got {self.image_size}; "
                f"the nearest that {self.name} can take are {below} and {below + step}"
            )
        if self.hidden_dim % self.memory_dim or self.hidden_dim % 16 or self.memory_dim % 4:
            raise InvalidInput(
                f"hidden_dim {self.hidden_dim} must be a multiple of 16 and of memory_dim "
                f"{self.memory_dim}, which must be a multiple of 4"
            )

    def at(self, image_size: int) -> Size:
        """The same size for images of another side in pixels (weights are shared)."""
        return dataclasses.replace(self, image_size=image_size)

    def as_version_2_0(self) -> Size:
        """The same size of SAM 2 as first published, without the three tensors that 2.1 added."""
        return dataclasses.replace(self, version_2_1=False)

    @property
    def title(self) -> str:
        """The family, its version where it has one, and the name by which users choose it."""
        if self.memory == PERCEIVER:
            return "EdgeTAM"
        name = EMBEDDED.name if self.name == EMBEDDED_LITE.name else self.name
        return f"SAM {'2.1' if self.version_2_1 else '2.0'} {name}"

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the trunk's four features, at strides 4, 8, 16 and 32."""
        if self.trunk in EFFICIENTNET_STAGES:
            stages = EFFICIENTNET_STAGES[self.trunk]
            stride4, stride8, stride16, stride32 = (stages[stage].channels for stage in FEATURE_STAGES)
        elif self.trunk in REPVIT_STAGES:
            stride4, stride8, stride16, stride32 = (stage.channels for stage in REPVIT_STAGES[self.trunk])
        else:
            stride4, stride8, stride16, stride32 = (self.embed_dim * 2**stage for stage in range(4))
        return stride4, stride8, stride16, stride32

    @property
    def blocks(self) -> int:
        """Blocks of the trunk."""
        if self.trunk == HIERA:
            return sum(self.stages)
        return sum(stage.blocks for stage in (EFFICIENTNET_STAGES | REPVIT_STAGES)[self.trunk])

    @property
    def grid(self) -> int:
        """Side of the stride-16 feature in tokens."""
        return self.image_size // 16


TINY = Size("tiny", embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_attention_blocks=(5, 7, 9))
SMALL = Size("small", embed_dim=96, num_heads=1, stages=(1, 2, 11, 2), global_attention_blocks=(7, 10, 13))
BASE_PLUS = Size(
    "base_plus",
    embed_dim=112,
    num_heads=2,
    stages=(2, 3, 16, 3),
    global_attention_blocks=(12, 16, 20),
    position_background_size=14,
)
LARGE = Size(
    "large",
    embed_dim=144,
    num_heads=2,
    stages=(2, 6, 36, 4),
    global_attention_blocks=(23, 33, 43),
    window_spec=(8, 4, 16, 8),
)
#: EdgeTAM (https://arxiv.org/abs/2501.07256), for processors without a GPU; the rules of SAM 2, not of 2.1.
EDGETAM = Size("edgetam", memory_layers=2, trunk="repvit-m1", memory=PERCEIVER, version_2_1=False)
#: Ours, the first generation, for two CPU cores: windows that divide the grid, so that nothing is padded.
EMBEDDED = Size(
    "embedded",
    embed_dim=32,
    num_heads=1,
    stages=(1, 2, 5, 2),
    global_attention_blocks=(5, 7),
    window_spec=(8, 4, 8, 4),
    image_size=256,
    hidden_dim=128,
    memory_layers=2,
    feedforward_dim=512,
)
#: Ours, the weights that ship as ``embedded``: convolutions that have seen real pictures in place of Hiera.
EMBEDDED_LITE = Size(
    "embedded_lite",
    image_size=256,
    hidden_dim=128,
    memory_layers=2,
    feedforward_dim=512,
    trunk="efficientnet-lite0",
    obeys_clicks=True,
)
#: Ours, for tests of everything around the model: milliseconds per frame, never trained.
TEST = Size(
    "test",
    embed_dim=8,
    num_heads=1,
    stages=(1, 1, 1, 1),
    global_attention_blocks=(2,),
    window_spec=(8, 4, 4, 2),
    image_size=128,
    hidden_dim=32,
    memory_dim=16,
    memory_layers=1,
    feedforward_dim=32,
)

#: All of them by name.
SIZES = {size.name: size for size in (TINY, SMALL, BASE_PLUS, LARGE, EDGETAM, EMBEDDED, EMBEDDED_LITE, TEST)}
