import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_the_script_for_a_gpu_runs_to_its_end_and_keeps_every_part(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--json", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    parts = json.loads(out.read_text())["parts"]
    assert not {name: part for name, part in parts.items() if "result" not in part}
    assert parts["parity test"]["result"]["largest"] == 0.0
    assert parts["parity test_edgetam"]["result"]["largest"] == 0.0
    assert 0 < parts["bfloat16 test"]["result"]["view"] < 0.1
    for words in ("graphs", "ahead", "eager"):
        assert parts[f"speed test 2 {words}"]["result"]["images per second"] > 0
    assert parts["ahead"]["result"] == {"pixels": 0.0, "score": 0.0}
    assert parts["batches test"]["result"]["1"] > 0


def test_a_part_that_fails_loses_no_other_and_one_without_time_is_left_out(tmp_path):
    out = tmp_path / "gpu.json"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import gpu, torch, dataclasses, pathlib\n"
        "plan = gpu.plan_of(quick=True, seconds=60)\n"
        "report = gpu.Report(pathlib.Path(sys.argv[2]), plan, torch.device('cpu'))\n"
        "report.part('bad', lambda: 1 / 0)\n"
        "report.part('good', lambda: 7)\n"
        "report._end = 0\n"
        "report.part('late', lambda: 8)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(SCRIPT.parent), str(out)], check=True, capture_output=True)
    parts = json.loads(out.read_text())["parts"]
    assert parts["bad"]["error"] == "ZeroDivisionError: division by zero"
    assert parts["good"]["result"] == 7 and "result" not in parts["late"]
