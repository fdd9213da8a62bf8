"""GPUs, of which this machine may have none."""

from types import SimpleNamespace

import torch

from sam2_ros.model.graphics import graphics


def test_each_gpu_is_named_with_its_memory(monkeypatch) -> None:
    def properties(number: int) -> SimpleNamespace:
        return SimpleNamespace(name=f"GPU {number}", total_memory=(8 + number) * 2**30)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert graphics() == ["GPU 0, 8 GB", "GPU 1, 9 GB"]
