"""EdgeTAM's official code as a test oracle.

It installs under the name of SAM 2's, so it lies in a folder of its own (see test/parity_edgetam.txt), and
bears that name only while a model is built.  Importing this module skips the tests where that folder is missing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("hydra", reason="hydra is not installed")

FOLDER = Path(os.environ.get("SAM2_ROS_EDGETAM") or Path(sys.prefix) / "edgetam")
if not (FOLDER / "sam2" / "configs" / "edgetam.yaml").is_file():
    pytest.skip(f"the official code of EdgeTAM is not in {FOLDER}", allow_module_level=True)

#: timm imports these for its training; no trunk needs them, and torchvision does not fit a CPU torch.
NOT_NEEDED = [
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.datasets",
    "torchvision.transforms",
    "torchvision.transforms.functional",
]


#: The modules of that package, once they are imported.
KNOWN: dict[str, types.ModuleType] = {}


@contextlib.contextmanager
def official_package() -> Iterator[None]:
    """``import sam2`` finds EdgeTAM's, and timm its stand-ins; afterwards those names mean what they meant before."""
    package = types.ModuleType("sam2")
    package.__path__ = [str(FOLDER / "sam2")]  # without its start, which would take over Hydra's configurations
    before = _taken_out()
    sys.modules.update({name: unittest.mock.MagicMock() for name in NOT_NEEDED})
    sys.modules.update(KNOWN or {"sam2": package})
    sys.path.append(str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        KNOWN.update({name: module for name, module in _taken_out().items() if name.split(".")[0] == "sam2"})
        sys.modules.update(before)


def _taken_out() -> dict[str, types.ModuleType]:
    """Remove what is known by the names of these packages."""
    names = [name for name in sys.modules if name.split(".")[0] in ("sam2", "torchvision")]
    return {name: sys.modules.pop(name) for name in names}


def official_edgetam(side: int = 1024, *, video: bool = False, overrides: dict[str, object] | None = None):
    """The official model at an image side, on the CPU, in eval mode, weights not set; video: the predictor."""
    with official_package():
        import sam2.modeling.backbones.timm as trunk
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        config = OmegaConf.load(FOLDER / "sam2" / "configs" / "edgetam.yaml")
        for name, value in {**_at(side), **(overrides or {})}.items():
            OmegaConf.update(config.model, name, value, force_add=True)
        if video:
            config.model._target_ = "sam2.sam2_video_predictor.SAM2VideoPredictor"
        create = trunk.create_model
        trunk.create_model = lambda name, pretrained, **options: create(name, pretrained=False, **options)
        return instantiate(config.model, _recursive_=True).eval()


def predictor_module() -> types.ModuleType:
    """The module of the video predictor, once one was built."""
    return KNOWN["sam2.sam2_video_predictor"]


def _at(side: int) -> dict[str, object]:
    grid = [side // 16, side // 16]
    attention = "memory_attention.layer"
    return {
        "image_size": side,
        f"{attention}.self_attention.feat_sizes": grid,
        f"{attention}.cross_attention.q_sizes": grid,
    }
