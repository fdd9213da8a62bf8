"""Operations and bytes of stages, compared with counts by hand."""

import torch
from parts import floors
from tiny_models import tiny_model
from torch.nn import functional as F


class Model:
    """One stage: ``run`` calls a function."""

    def __init__(self, function):
        self.run = function


def work_of(function, *inputs):
    model = Model(function)
    count = floors.Count(model, {"stage": "run"})
    with torch.inference_mode():
        model.run(*inputs)
    count.stop()
    assert model.run is function
    return count.work["stage"]


def test_attention_on_a_cpu_is_counted():
    query, key, value = torch.rand(2, 3, 50, 8), torch.rand(2, 3, 70, 8), torch.rand(2, 3, 70, 8)
    work = work_of(F.scaled_dot_product_attention, query, key, value)
    assert work.operations == 2 * 3 * (2 * 50 * 70 * 8 + 2 * 50 * 70 * 8)
    assert work.bytes == 4 * (query.numel() + key.numel() + value.numel() + query.numel())


def test_products_and_convolutions_are_counted():
    weight, kernel = torch.rand(32, 16), torch.rand(5, 4, 3, 3)
    assert work_of(lambda rows: F.linear(rows, weight), torch.rand(7, 16)).operations == 2 * 7 * 16 * 32
    image = torch.rand(1, 4, 10, 12)
    assert work_of(lambda one: F.conv2d(one, kernel, padding=1), image).operations == 2 * 10 * 12 * 5 * 4 * 9


def test_modules_are_counted_in_inference_mode():
    layer = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    work = work_of(layer, torch.rand(7, 16))
    assert work.operations == 2 * 7 * (16 * 32 + 32 * 8)
    assert work.bytes == 4 * (7 * 16 + 16 * 32 + 32 + 32 * 8 + 8 + 7 * 8)


def test_narrow_values_of_attention_are_counted_as_they_are():
    query, key, value = torch.rand(1, 1, 50, 8), torch.rand(1, 1, 70, 8), torch.rand(1, 1, 70, 4)
    assert floors._attention(query, key, value) == 2 * 50 * 70 * (8 + 4)


def test_a_stage_of_the_model_does_what_its_layers_do():
    """The image encoder has no other work than its convolutions and products: more pixels, more operations."""
    model = tiny_model()
    count = floors.Count(model, {"encode": "encode_image"})
    with torch.inference_mode():
        model.encode_image(torch.rand(1, 3, model.size.image_size, model.size.image_size))
    parameters = sum(one.nbytes for one in model.image_encoder.parameters())
    assert count.work["encode"].operations > 1e6 and count.work["encode"].bytes > parameters / 2


def test_bytes_are_those_read_from_outside_and_of_the_result_each_once():
    weight, rows = torch.rand(16, 16), torch.rand(8, 16)
    work = work_of(lambda one: F.linear(F.linear(one, weight), weight), rows)  # what lies between is not counted
    assert work.bytes == 4 * (weight.numel() + 2 * rows.numel())


def test_an_input_that_is_shown_many_times_is_read_once():
    row = torch.rand(1, 16)
    assert work_of(lambda one: one.expand(100, -1).sum(), row).bytes == 4 * 16 + 4


def test_a_stage_that_runs_twice_on_a_frame_counts_twice():
    model = Model(lambda rows: rows @ rows)
    count = floors.Count(model, {"stage": "run"})
    for _ in range(2):
        model.run(torch.rand(4, 4))
    assert count.work["stage"].operations == 2 * 2 * 4**3


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    most = floors.Ceiling(operations=100.0, bytes=10.0)
    assert most.floor(floors.Work(operations=1000, bytes=1)) == 10.0
    assert most.floor(floors.Work(operations=1, bytes=1000)) == 100.0


def test_a_ceiling_is_measured(monkeypatch):
    monkeypatch.setattr(floors, "SIDES", (64,))
    monkeypatch.setattr(floors, "COPIED", 2**16)
    most = floors.ceiling(torch.device("cpu"), torch.float32)
    assert most.operations > 1e6 and most.bytes > 1e6


def test_a_row_of_the_table_has_the_share():
    line = floors.floor_line(("tiny 512", "1", "ours"), "encode", floors.Work(2 * 10**9, 10**6), 5.0, 10.0)
    assert line == "| tiny 512 | 1 | ours | encode | 2.00 | 1.00 | 5.00 | 10.00 | 0.50 |"
