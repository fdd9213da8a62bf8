"""The second stream without CUDA: who waits for whom, and whose memory is recorded for which stream."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sam2_ros.model import side_stream
from sam2_ros.model.interface import ImageFeatures

CUDA = torch.device("cuda", 0)


class FakeCuda:
    """What SideStream uses of torch.cuda; says in which order."""

    def __init__(self, patch):
        self.said, self.present, self.made = [], self.stream("main"), 0
        patch.setattr(torch.cuda, "Stream", self.another)
        patch.setattr(torch.cuda, "current_stream", lambda device: self.present)
        patch.setattr(torch.cuda, "stream", self.within)

    def another(self, device):
        self.made += 1
        return self.stream("side")

    def stream(self, name):
        return SimpleNamespace(
            name=name,
            wait_stream=lambda other: self.said.append(f"{name} waits for {other.name}"),
            wait_event=lambda event: self.said.append(f"{name} waits for {event}"),
            record_event=lambda: self.said.append(f"an event of {name}") or f"the event of {name}",
        )

    @contextmanager
    def within(self, stream):
        before, self.present = self.present, stream
        self.said.append(f"on {stream.name}")
        yield
        self.said.append("back")
        self.present = before

    def tensor(self, name):
        return SimpleNamespace(record_stream=lambda stream: self.said.append(f"{name} is recorded for {stream.name}"))


@pytest.fixture
def cuda(monkeypatch):
    side_stream._stream_of.cache_clear()
    yield FakeCuda(monkeypatch)
    side_stream._stream_of.cache_clear()


def test_the_present_stream_waits_for_what_the_second_one_computes_and_keeps_its_memory(cuda):
    features = ImageFeatures(*map(cuda.tensor, ("stride16", "stride8", "stride4")))
    coming = side_stream.side_stream(CUDA).begin(lambda: cuda.said.append("encode") or features)
    assert cuda.said == ["side waits for main", "on side", "encode", "back", "an event of side"]
    cuda.said.clear()
    assert coming.features() is features
    assert cuda.said == [
        "main waits for the event of side",
        "stride16 is recorded for main",
        "stride8 is recorded for main",
        "stride4 is recorded for main",
    ]


def test_weights_that_one_stream_converted_are_not_used_on_the_other(cuda):
    assert torch.is_autocast_cache_enabled()
    seen = []

    def encode():
        with torch.autocast("cpu", torch.bfloat16):  # as a model in another precision does
            seen.append(torch.is_autocast_cache_enabled())

    side_stream.side_stream(CUDA).begin(encode)
    assert seen == [False] and torch.is_autocast_cache_enabled()


def test_an_error_leaves_the_present_stream_as_it_was(cuda, monkeypatch):
    left = []

    @contextmanager
    def within(stream):
        try:
            yield
        finally:
            left.append(stream.name)

    monkeypatch.setattr(torch.cuda, "stream", within)
    with pytest.raises(ZeroDivisionError):
        side_stream.side_stream(CUDA).begin(lambda: 1 / 0)
    assert left == ["side"]


def test_all_trackers_share_one_second_stream_of_a_gpu(cuda):
    side_stream.side_stream(CUDA), side_stream.side_stream(CUDA)
    assert cuda.made == 1
    assert cuda.said == 2 * ["side waits for main"]  # the weights of the second model came after the first one's


def test_a_processor_has_none():
    assert side_stream.side_stream(torch.device("cpu")) is None
