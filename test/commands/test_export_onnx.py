"""sam2_ros export-onnx."""

import json

import pytest

from sam2_ros import cli


def test_a_model_is_exported_for_the_chosen_side_and_each_file_is_named(weights, tmp_path, capsys):
    pytest.importorskip("onnx", reason="onnx is not installed")
    assert cli.main(["export-onnx", str(weights), str(tmp_path / "out"), "--image-side", "192"]) == 0
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"encoder.onnx", "attention.onnx", "model.json"} <= files and len(files) == 7
    said = capsys.readouterr().out
    assert all(str(tmp_path / "out" / name) in said for name in files)
    assert json.loads((tmp_path / "out" / "model.json").read_text())["size"]["image_size"] == 192


def test_a_folder_that_cannot_be_made_is_one_sentence(weights, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["export-onnx", str(weights), str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.startswith("sam2_ros export-onnx: cannot create the folder ")


def test_without_a_folder_the_usage_is_wrong(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["export-onnx", "embedded"])
    assert ended.value.code == 2 and "DIR" in capsys.readouterr().err
