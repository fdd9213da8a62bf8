"""CUDA graphs without CUDA: a recording is run again as a function, and its memory is spoilt by every other one."""

import logging
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda, on_gpu
from tiny_models import FAMILIES, tiny_model
from tracking.test_ahead import AtOnce

from sam2_ros.engines import choice, cuda_graphs
from sam2_ros.engines.cuda_graphs import GraphedModel
from sam2_ros.tracking import ahead
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

SEEN = 5.0


class FunctionsAsGraphs:
    """Runs what was recorded again, into the same memory; results of all other recordings are lost by that."""

    def __init__(self):
        self.held, self.replays = [], 0

    def __call__(self, work):
        results = [value.clone() for value in work()]
        self.held.append(results)

        def replay():
            self.replays += 1
            for others in self.held:
                for value in others:
                    value.fill_(float("nan"))
            for value, computed in zip(results, work()):
                value.copy_(computed)

        return results, replay


def refuse(work):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def run(model, frames=30, side=64):
    """A recording in which objects come, go and are corrected: the tracks of each image."""
    pictures = np.random.default_rng(3).integers(0, 255, (frames, side, side, 3), np.uint8)
    tracker, found = Tracker(model), []
    for number, picture in enumerate(pictures, start=1):
        found.append(tracker.track(Frame(picture, number)))
        if number in (1, 4, 9):
            tracker.prompt(Prompt(f"object {number}", box=(5, 5, 20 + number, 30)))
        if number == 14:
            tracker.forget("object 4")
        if number == 19:
            tracker.prompt(Prompt("object 9", points=[(12, 12)], labels=[0]), stamp=17)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_tracking_by_recordings_is_tracking(family, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "OFTEN", 2)
    monkeypatch.setattr(cuda_graphs, "KEPT", 5)  # so that some are recorded a second time
    graphs, counts = FunctionsAsGraphs(), []
    model = tiny_model(FAMILIES[family], SEEN)
    graphed = GraphedModel(model, graphs)
    for expected, found in zip(run(model), run(graphed)):
        counts.append(graphed.recordings)
        assert [track.name for track in found] == [track.name for track in expected]
        for one, other in zip(found, expected):
            assert (one.mask == other.mask).all() and one.state == other.state
            assert np.allclose(one.object_pointer, other.object_pointer, atol=1e-5)
            assert one.object_score == pytest.approx(other.object_score, abs=1e-4)
    assert graphs.replays > 50 and max(counts) <= 5 < len(graphs.held)


@pytest.fixture
def two_at_the_start(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "EXPECTED_OBJECTS", 2)


def test_on_a_gpu_recordings_copy_nothing_from_or_to_the_processor(two_at_the_start):
    model = tiny_model(object_score=SEEN)
    side = model.size.image_size
    with fake_cuda(torch.bfloat16) as transfers:
        graphed = cuda_graphs.prepare(on_gpu(model), "auto", FunctionsAsGraphs())
        assert graphed.recordings == 1 + 2 * 3 and not transfers.counts
        tracker = Tracker(graphed)
        tracker.track(Frame(np.zeros((side, side, 3), np.uint8), 1))
        tracker.prompt(Prompt("one", box=(5, 5, 30, 30)))
        transfers.counts.clear()
        assert len(tracker.track(Frame(np.zeros((side, side, 3), np.uint8), 2))) == 1
    # Up: the image, time codes, distances.  Down: scores, pointers, masks.
    assert transfers.counts == {"up without waiting": 3, "down without waiting": 3, "awaited": 3}


def test_what_is_expected_is_recorded_at_the_start_and_never_in_the_middle(two_at_the_start):
    graphs = FunctionsAsGraphs()
    graphed = cuda_graphs.prepare(tiny_model(object_score=SEEN), "float32", graphs)
    assert graphed.recordings == len(graphs.held) == 1 + 2 * 3
    assert choice.engine_of(graphed) == "PyTorch with CUDA graphs, float32"
    pictures = np.random.default_rng(3).integers(0, 255, (20, 64, 64, 3), np.uint8)
    tracker = Tracker(graphed)
    for number, picture in enumerate(pictures, start=1):
        before = graphs.replays
        tracker.track(Frame(picture, number))
        if number == 1:
            tracker.prompt(Prompt("one", box=(5, 5, 30, 30)))
            tracker.prompt(Prompt("two", box=(20, 20, 60, 60)))
    assert graphs.replays - before == 4  # encode, attend, decode, remember: with a full memory all are recordings
    assert len(graphs.held) == 1 + 2 * 3


def test_a_recording_in_bfloat16_is_another_one(two_at_the_start):
    graphed = cuda_graphs.prepare(tiny_model(), "float32", FunctionsAsGraphs())
    graphed.record_expected("bfloat16")
    assert choice.engine_of(graphed) == "PyTorch with CUDA graphs, bfloat16"
    # What decodes stays in float32, but the image comes from other arithmetic.
    assert graphed.recordings > 1 + 2 * 3


def test_where_recording_fails_pytorch_goes_on_with_one_sentence(caplog):
    model = tiny_model(object_score=SEEN)
    with caplog.at_level(logging.WARNING):
        graphed = cuda_graphs.prepare(model, "float32", refuse)
        found = run(graphed, frames=4)
    assert [len(tracks) for tracks in found] == [len(tracks) for tracks in run(model, frames=4)]
    assert [record.getMessage() for record in caplog.records] == [
        "no CUDA graph for encode_image (CUDA out of memory); PyTorch goes on without"
    ]
    assert graphed.failed and not graphed.recordings and choice.engine_of(graphed) == "PyTorch, float32"


def test_a_shape_that_comes_seldom_is_not_recorded():
    graphed = GraphedModel(tiny_model(), FunctionsAsGraphs())
    with torch.inference_mode():
        for _ in range(cuda_graphs.OFTEN - 1):
            graphed._run("twice", lambda value: (2 * value,), torch.ones(2))
        assert graphed.recordings == 0
        (found,) = graphed._run("twice", lambda value: (2 * value,), torch.full((2,), 4.0))
    assert graphed.recordings == 1 and found.tolist() == [8.0, 8.0]


def test_with_gradients_nothing_is_recorded():
    model = tiny_model()
    graphed = GraphedModel(model, refuse)
    graphed._at_once = True
    features = graphed.encode_image(torch.zeros(1, 3, model.size.image_size, model.size.image_size))
    assert features.stride16.requires_grad


class FakeCuda:
    """What CudaRecorder uses of torch.cuda; says in which order."""

    def __init__(self, patch):
        self.said = []
        for name in ("device", "stream", "graph"):
            patch.setattr(torch.cuda, name, self.block(name))
        self.present = self.stream("main")
        patch.setattr(torch.cuda, "Stream", lambda: self.stream("side"))
        patch.setattr(torch.cuda, "current_stream", lambda device=None: self.present)
        patch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(pool=lambda: "pool", replay=lambda: None))

    def stream(self, name):
        return SimpleNamespace(
            name=name,
            wait_stream=lambda other: self.said.append(f"{name} waits for {other.name}"),
            wait_event=lambda event: self.said.append(f"{name} waits for {event}"),
            record_event=lambda: f"what was begun on {name}",
        )

    def block(self, name):
        @contextmanager
        def inside(*given, **options):
            self.said.append(" ".join([name, *(f"{key}={value}" for key, value in options.items() if key == "pool")]))
            yield
            self.said.append(f"end of {name}")

        return inside


def test_cuda_runs_the_work_on_a_stream_of_its_own_and_then_records_it_in_one_pool(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    record = cuda_graphs.CudaRecorder(torch.device("cuda", 1))
    results, replay = record(lambda: cuda.said.append("work") or ["result"])
    assert results == ["result"] and callable(replay)
    assert cuda.said == [
        "device",
        "side waits for main",
        "stream",
        *["work"] * cuda_graphs.WARM_UP,
        "end of stream",
        "main waits for side",
        "graph pool=None",
        "work",
        "end of graph",
        "end of device",
    ]
    cuda.said.clear()
    record(list)
    assert "graph pool=pool" in cuda.said


def test_recordings_that_share_memory_wait_for_each_other_on_whatever_stream(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    lane = cuda_graphs._Lane(list, torch.device("cuda", 0))
    for stream, word in (("main", "first"), ("side", "second"), ("main", "third")):
        cuda.present = cuda.stream(stream)
        with lane.turn():
            cuda.said.append(word)
    assert cuda.said == [
        "first",
        "side waits for what was begun on main",
        "second",
        "main waits for what was begun on side",
        "third",
    ]


def test_the_encoder_shares_no_memory_with_what_may_run_beside_it(two_at_the_start, monkeypatch):
    made = []

    def recorder(device):
        made.append(FunctionsAsGraphs())
        return made[-1]

    monkeypatch.setattr(cuda_graphs, "CudaRecorder", recorder)
    cuda_graphs.prepare(tiny_model(), "float32")
    assert [len(one.held) for one in made] == [1, 2 * 3]


def test_nothing_is_given_back_in_which_another_stream_may_still_compute(two_at_the_start, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "KEPT", 6)
    model, said = tiny_model(), []
    with fake_cuda():
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append(graphed.recordings))
        graphed = GraphedModel(on_gpu(model), FunctionsAsGraphs())
        graphed.record_expected("float32")
    assert said == [6] and graphed.recordings == 6


def test_the_engine_is_named_with_the_precision_that_its_tracker_has(two_at_the_start):
    graphed = cuda_graphs.prepare(tiny_model(object_score=SEEN), "bfloat16", FunctionsAsGraphs())
    assert choice.engine_of(graphed).endswith("bfloat16")
    for precision in ("float32", "float16"):
        tracker = Tracker(graphed, TrackerSettings(precision=precision))
        tracker.warm_up()
        assert choice.engine_of(tracker.model).endswith(precision)


def test_an_image_that_is_encoded_ahead_is_waited_for_no_more_than_another(two_at_the_start, monkeypatch):
    monkeypatch.setattr(ahead, "side_stream", lambda device: AtOnce())
    model = tiny_model(object_score=SEEN)
    side = model.size.image_size
    with fake_cuda(torch.bfloat16) as transfers:
        tracker = Tracker(cuda_graphs.prepare(on_gpu(model), "auto", FunctionsAsGraphs()))
        frames = [Frame(np.zeros((side, side, 3), np.uint8), stamp) for stamp in (1, 2, 3)]
        tracker.track(frames[0])
        tracker.prompt(Prompt("one", box=(5, 5, 30, 30)))
        tracker.prepare(frames[2])
        transfers.counts.clear()
        tracker.track(frames[1])
    # Up: two images, time codes, distances.  Down: scores, pointers, masks, as without it.
    assert transfers.counts == {"up without waiting": 4, "down without waiting": 3, "awaited": 3}
