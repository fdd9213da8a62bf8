import pytest

pytest.importorskip("rclpy")

from sam2_ros.ros.unused import foreign_sections, unknown_parameters

KNOWN = ["image_transport", "threads", "use_sim_time"]


def test_a_misspelt_parameter_is_named_with_the_nearest_real_name():
    (sentence,) = unknown_parameters(["imag_transport", "threads"], KNOWN, ["/image"])
    assert "'imag_transport' does not exist" in sentence and "did you mean 'image_transport'?" in sentence


@pytest.mark.parametrize(
    "name, words",
    [
        ("image.transport", "did you mean 'image_transport'?"),
        ("frame_rate", "config/track.yaml lists"),
        ("qos_overrides./imag.subscription.depth", "did you mean 'qos_overrides./image.subscription.depth'?"),
        ("qos_overrides./image.subscription.deepness", "did you mean 'qos_overrides./image.subscription.depth'?"),
    ],
)
def test_other_parameters_that_set_nothing_are_named(name, words):
    (sentence,) = unknown_parameters([name], KNOWN, ["/image"])
    assert repr(name) in sentence and words in sentence


def test_quality_of_service_of_an_image_topic_that_is_not_subscribed_to_yet_is_known():
    assert unknown_parameters(["qos_overrides./image.subscription.depth"], KNOWN, ["/image"]) == []


PARAMETERS = "{ros__parameters: {threads: 1}}"


@pytest.mark.parametrize(
    "text",
    [
        f"/**: {PARAMETERS}",
        f"/robot/sam2_ros: {PARAMETERS}",
        f"robot: {{sam2_ros: {PARAMETERS}}}",
        f"/*/sam2_ros: {PARAMETERS}",
        f"/**/sam2_ros: {PARAMETERS}",
        f"robot/sam2_ros: {PARAMETERS}",
        f"camera: {PARAMETERS}\n/robot/sam2_ros: {PARAMETERS}",
        f"/robot/*: {PARAMETERS}",
        "",
    ],
)
def test_a_file_with_a_section_for_the_node_is_passed_without_a_word(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    assert foreign_sections(["--ros-args", "--params-file", str(tmp_path / "a.yaml")], "/robot/sam2_ros") == []


@pytest.mark.parametrize(
    "text, name",
    [
        (f"/sam2_ros: {PARAMETERS}", "'/sam2_ros'"),
        (f"tracker: {PARAMETERS}", "'/tracker'"),
        (f"robot: {{tracker: {PARAMETERS}}}", "'/robot/tracker'"),
        (f"/*: {PARAMETERS}", "'/*'"),
    ],
)
def test_a_file_for_another_node_is_named_with_what_to_write(tmp_path, text, name):
    (tmp_path / "a.yaml").write_text(text)
    (sentence,) = foreign_sections(["--ros-args", "--params-file", str(tmp_path / "a.yaml")], "/robot/sam2_ros")
    assert f"{tmp_path}/a.yaml" in sentence and name in sentence and "'/robot/sam2_ros:' or '/**:'" in sentence


@pytest.mark.parametrize("text", ["threads: 1", "hello", "/**: {threads: 1}"])
def test_a_file_without_a_section_is_named(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    (sentence,) = foreign_sections(["--params-file", str(tmp_path / "a.yaml")], "/sam2_ros")
    assert sentence == f"nothing in {tmp_path}/a.yaml sets a parameter; begin it with '/**:' and 'ros__parameters:'"


def test_a_parameter_for_another_node_is_named():
    arguments = ["--ros-args", "-p", "tracker:threads:=1", "-p", "sam2_ros:threads:=2", "-p", "threads:=3"]
    (sentence,) = foreign_sections(arguments, "/sam2_ros")
    assert "tracker:threads:=1" in sentence and "/sam2_ros" in sentence
