"""The prompt options, in the order in which they were given."""

import pytest
from run_command import main

from sam2_ros.commands.prompt_options import prompts_from
from sam2_ros.errors import InvalidPrompt


@pytest.mark.parametrize(
    "arguments",
    [
        ["--point", "6"],
        ["--point", "6,16,0.5"],
        ["--point", "6,16,-1"],
        ["--box", "1,2,3"],
        ["--point", "a,b"],
        ["--mask", "nowhere.png"],
        ["--frame", "-1", "--point", "1,1"],
    ],
)
def test_options_of_the_wrong_form_are_explained(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit):
        main("track", tmp_path, *arguments, "--out", tmp_path / "out")
    assert "error: argument" in capsys.readouterr().err


def test_options_gather_by_name_and_image_in_the_order_they_were_said():
    first = [("point", (1, 2, 1)), ("name", "b"), ("box", (0, 0, 5, 5))]
    prompts = prompts_from([*first, ("frame", 4), ("point", (3, 4, 0)), ("point", (5, 6, 1))])
    assert [(index, prompt.name, prompt.labels.tolist(), prompt.box) for index, prompt in prompts] == [
        (0, "object", [1], None),
        (0, "b", [], (0, 0, 5, 5)),
        (4, "b", [0, 1], None),
    ]
    with pytest.raises(InvalidPrompt):
        prompts_from([])
