"""The other implementations get the same work: they find what our tracker finds."""

import numpy as np
import pytest
import torch

pytest.importorskip("sam2", reason="the official SAM 2 is not installed")
pytest.importorskip("transformers.models.sam2_video", reason="transformers is not installed")

from parts import contenders
from speed import references

from sam2_ros.engines import pytorch
from sam2_ros.model.sizes import EMBEDDED_LITE, TINY
from sam2_ros.tracking.tracker import Tracker

CPU = torch.device("cpu")


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_peers_find_what_our_tracker_finds():
    """One object for three frames; the peers round memories to bfloat16, and the official code fills no holes here."""
    torch.manual_seed(0)
    entered = contenders.contenders(TINY.at(256), CPU, ["torch"], ["float32"], contenders.PEERS)
    assert [one.name for one in entered] == ["sam2_ros float32", "official float32", "transformers float32"]
    steps = [one.begin(1, 3) for one in entered]
    found = [[np.squeeze(np.asarray(step(number))) for step in steps] for number in range(3)]
    for ours, official, transformers in found[1:]:
        assert ours.shape == contenders.IMAGE and 0.02 < ours.mean() < 0.98
        assert overlap(ours, official) > 0.9 and overlap(ours, transformers) > 0.9


def test_a_size_without_peers_runs_alone():
    entered = contenders.contenders(EMBEDDED_LITE, CPU, ["torch"], ["float32", "bfloat16"], contenders.PEERS)
    assert [one.name for one in entered] == ["sam2_ros float32", "sam2_ros bfloat16"]
    assert references([one.name for one in entered]) == ["sam2_ros float32"]


def test_an_engine_that_gives_way_to_pytorch_or_to_another_precision_has_no_row(monkeypatch, capsys):
    monkeypatch.setattr(contenders, "with_engine", lambda model, engine, precision: model)
    assert len(contenders.contenders(EMBEDDED_LITE, CPU, ["torch", "openvino"], ["float32"], ())) == 1
    monkeypatch.setattr(contenders, "engine_of", lambda model: "OpenVINO, float32")
    entered = contenders.contenders(EMBEDDED_LITE, CPU, ["openvino"], ["float32", "bfloat16"], ())
    assert [one.name for one in entered] == ["sam2_ros openvino float32"]
    assert "openvino does not compute embedded_lite in bfloat16 here" in capsys.readouterr().err


def test_all_boxes_lie_in_the_image():
    found = np.array(contenders.boxes(16))
    assert len(np.unique(found, axis=0)) == 16
    assert (
        (found >= 0).all() and (found[:, 2] < contenders.IMAGE[1]).all() and (found[:, 3] < contenders.IMAGE[0]).all()
    )


def test_a_tracker_computes_in_the_precision_of_its_contender(monkeypatch):
    chosen = []
    monkeypatch.setattr(pytorch, "deviations", lambda *_: [])  # random weights are at the bound, by rounding
    monkeypatch.setattr(contenders, "Tracker", lambda model, settings: chosen.append(settings) or Tracker(model))
    entered = contenders.contenders(EMBEDDED_LITE, CPU, ["torch"], ["bfloat16"], ())
    entered[0].begin(1, 1)
    assert chosen[0].precision == "bfloat16"
