"""sam2_ros quantise."""

import sys

import pytest

from sam2_ros import cli
from sam2_ros.engines import quantisation


def test_the_model_at_the_chosen_side_and_the_images_are_handed_on(weights, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        quantisation, "quantise", lambda model, path, tell, **options: given.append((model, path, options))
    )
    words = ["--image-side", "192", "--image-topic", "/camera/image"]
    assert cli.main(["quantise", str(weights), str(tmp_path), *words]) == 0
    ((model, path, options),) = given
    assert (model.size.image_size, path) == (192, tmp_path)
    assert options == {"image_range": "auto", "image_topic": "/camera/image"}


def test_without_nncf_one_sentence_says_what_to_install(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert cli.main(["quantise", str(weights), str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"sam2_ros quantise: {quantisation.MISSING}\n"


def test_without_images_the_usage_is_wrong(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["quantise", "embedded"])
    assert ended.value.code == 2 and "BAG|FOLDER|VIDEO" in capsys.readouterr().err
