"""Start-up times and memory, with one process."""

import pytest
import startup
import torch
from parts.contenders import weights_of

from sam2_ros.model.sizes import EMBEDDED_LITE

MEBIBYTE = 2**20


def test_a_process_says_how_long_it_took_and_what_memory(tmp_path):
    torch.save({"model": dict(weights_of(EMBEDDED_LITE)[1])}, tmp_path / "weights.pt")
    found = startup.started(tmp_path / "weights.pt", 256, "torch", "cpu", 2)
    assert found.imported > 0 and found.loaded > 0 and found.first_mask > 0
    assert found.together == found.imported + found.loaded + found.first_mask
    assert 50 * MEBIBYTE < found.started_bytes <= found.peak_bytes


def test_the_table_has_medians():
    runs = [startup.Started(1.0, 2.0, second, 10**8, 2 * 10**8) for second in (1.0, 9.0, 2.0)]
    row = startup.line(EMBEDDED_LITE, 4_900_000, "torch", 8, startup.median(runs))
    assert row == "| embedded_lite 256 | 4.9 M | torch | 8 | 1.0 | 2.0 | 2.0 | 5.0 | 100 | 200 |"


def test_weights_that_cannot_be_loaded_end_the_measurement(monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "CHILD", tmp_path / "ends.py")
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    with pytest.raises(SystemExit, match="ended with code 3"):
        startup.started(tmp_path / "weights.pt", 256, "torch", "cpu", 1)
