import gc
import weakref

import torch

from sam2_ros.model.device_memory import gpu_memory, release


def test_each_gpu_that_is_used_is_told(monkeypatch):
    used, reserved = [300, 0], [500, 0]
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "memory_allocated": used.__getitem__,
        "memory_reserved": reserved.__getitem__,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    assert gpu_memory() == {"cuda:0": (300, 500)}


def test_without_a_gpu_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_memory() == {}


def test_what_only_refers_to_itself_is_released_on_every_device(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    gc.disable()
    try:
        model = torch.nn.Linear(2, 2)
        model.itself = [model]
        gone = weakref.ref(model)
        del model
        assert gone() is not None
        release()
    finally:
        gc.enable()
    assert gone() is None and emptied == [1]
