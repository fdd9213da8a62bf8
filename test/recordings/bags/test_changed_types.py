"""Bags whose messages were defined otherwise than here: converted, or refused by name."""

from dataclasses import replace

import pytest

pytest.importorskip("rosbags")

from recordings.bags import IMAGE, PROMPT, image_message, picture, prompt_message
from rosbags.typesys import get_types_from_msg

from sam2_ros.installation import share
from sam2_ros.recordings.bags.changed_types import Converter
from sam2_ros.recordings.bags.message_types import known_types
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Writes a bag with another definition of Prompt; its messages as they are played, and what is said.

    changes: lines of the definition by the name of their field, "" = left out.
    """

    def convert(damage=lambda message: message, **changes):
        text = (share("sam2_ros", "msg") / "Prompt.msg").read_text()
        lines = [
            line for line in text.splitlines() if line.split("#")[0].split()[1:2] not in [[name] for name in changes]
        ]
        definition = "\n".join([*lines, *filter(None, changes.values())])
        with BagWriter(tmp_path / "bag", kept_free=0) as writer:
            writer._types.types.pop(PROMPT), writer._types.fielddefs.pop(PROMPT)
            writer._types.register(get_types_from_msg(definition, PROMPT))
            writer.write("/sam2_ros/prompt", PROMPT, 1, prompt_message("cup", (1, 2)))
            writer.write("/sam2_ros/prompt", PROMPT, 2, prompt_message("can", (3, 4)))
            writer.write("/image", IMAGE, 3, image_message(picture(0), 3))
        said = []
        source = BagReader(tmp_path / "bag")
        messages = map(damage, source.messages({"/sam2_ros/prompt", "/image"}, []))
        return list(Converter(said.append).convert(messages)), said

    return convert


def test_what_is_defined_as_here_is_played_as_it_lies_in_the_bag(played):
    messages, said = played()
    assert [one.type for one in messages] == [PROMPT, PROMPT, IMAGE] and said == []


@pytest.mark.parametrize(
    "changes, words",
    [({"replace": ""}, "and is converted"), ({"score": "float32 score"}, "without score, which is not known here")],
)
def test_other_fields_are_converted_and_that_is_said_once(played, changes, words):
    messages, said = played(**changes)
    here = known_types()
    names = [here.deserialize_cdr(one.raw, PROMPT).name for one in messages[:2]]
    assert names == ["cup", "can"]
    assert len(said) == 1 and "/sam2_ros/prompt was recorded with another definition of sam2_ros/msg/Prompt" in said[0]
    assert words in said[0]


def test_a_field_of_another_type_is_refused_by_name_and_the_rest_is_played(played):
    messages, said = played(labels="int32[] labels")
    assert [one.type for one in messages] == [IMAGE]
    assert len(said) == 1 and "/sam2_ros/prompt" in said[0] and "not played: labels is of another type here" in said[0]


def test_a_damaged_message_of_another_definition_is_named_and_the_rest_is_played(played):
    messages, said = played(
        replace="", damage=lambda message: replace(message, raw=message.raw[:9]) if message.time == 1 else message
    )
    assert [one.time for one in messages] == [2, 3]
    assert len(said) == 2 and "a message on /sam2_ros/prompt is not played" in said[1]
