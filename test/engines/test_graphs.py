"""Each graph computes what the method of the model computes, for any number of objects, memories, pointers, points."""

import re
from pathlib import Path

import pytest
import torch
from engines.methods import CASES, assert_methods_agree
from tiny_models import FAMILIES, tiny_model

from sam2_ros.engines.graph_model import GraphModel
from sam2_ros.engines.graphs import graphs
from sam2_ros.errors import InvalidInput
from sam2_ros.model.sizes import EDGETAM, EMBEDDED, EMBEDDED_LITE, TEST, TINY

#: Every trunk, every form of memories, and the rules of both versions.
SIZES = {**FAMILIES, "SAM 2.0": TEST.as_version_2_0(), "embedded_lite": EMBEDDED_LITE, "edgetam": EDGETAM.at(256)}
LARGER = {"embedded": EMBEDDED, "tiny": TINY.at(256)}


def traced_model(model):
    """A model whose methods are traced graphs, which PyTorch runs."""
    programs = {graph.name: graph.traced() for graph in graphs(model)}

    def run(name, inputs):
        found = programs[name](*inputs)
        return list(found) if isinstance(found, tuple) else [found]

    return GraphModel(model.size, model.checksum(), model.no_mem_embed.flatten(), run)


@pytest.fixture(scope="module", params=[*SIZES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)])
def pair(request):
    """A model and its graphs."""
    model = tiny_model((SIZES | LARGER)[request.param])
    return model, traced_model(model)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_graph_answers_as_the_method_of_the_model(pair, case):
    assert_methods_agree(*pair, case)


def test_the_lengths_that_may_vary_are_named_alike_in_all_graphs():
    for graph in graphs(tiny_model()):
        for name, port in (graph.inputs | graph.outputs).items():
            assert set(port.varying.values()) <= set("NMPK"), (graph.name, name)


def test_the_page_names_every_graph_with_its_inputs_and_outputs_in_their_order():
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
    for graph in graphs(tiny_model()):
        (inputs, outputs) = re.search(rf"^\| `{graph.name}` \| (.*) \| (.*) \|$", page, re.MULTILINE).groups()
        assert re.findall(r"`(\w+)`", inputs) == list(graph.inputs), graph.name
        assert re.findall(r"`(\w+)`", outputs) == list(graph.outputs), graph.name


def test_a_graph_takes_one_image_at_a_time_of_the_side_that_it_was_made_for():
    model = tiny_model()
    for shape in ((2, 3, 128, 128), (1, 3, 64, 64)):
        with pytest.raises(InvalidInput, match="one 128x128 image at a time"):
            GraphModel(model.size, "", torch.zeros(32), None).encode_image(torch.zeros(shape))
