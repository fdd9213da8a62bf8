"""What of a bag is played, and from where on."""

from types import SimpleNamespace

from recordings.bags import IMAGE, PROMPT, image_message, picture, prompt_message

from sam2_ros.recordings.bags.playback import rounds_of, targets_of
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter


def test_what_was_latched_before_the_start_is_played_at_it(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/test_where", "std_msgs/msg/String", 1, SimpleNamespace(data="here"), latched=True)
        for time_ in (2, 10, 20):
            writer.write("/test_text", "std_msgs/msg/String", time_, SimpleNamespace(data="x"))
    source = BagReader(tmp_path / "bag")
    (played,) = (
        list(messages)
        for messages in rounds_of(source, {"/test_where": "/there", "/test_text": "/text"}, 5, False, print)
    )
    assert [(one.topic, one.time) for one in played] == [("/there", 10), ("/text", 10), ("/text", 20)]


def test_results_are_not_played_and_applied_prompts_take_the_place_of_others(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for topic in ("/camera/image", "/sam2_ros/masks"):
            writer.write(topic, IMAGE, 1, image_message(picture(0), 1))
        for topic in ("/sam2_ros/prompt", "/sam2_ros/prompt/applied"):
            writer.write(topic, PROMPT, 2, prompt_message("cup", (1, 2)))
        writer.write("/clicked_point", "geometry_msgs/msg/PointStamped", 2, object())
        for topic in ("/camera/image_mouse_left", "/sam2_ros/overlay/compressed_mouse_left"):
            writer.write(topic, "geometry_msgs/msg/Point", 2, object())
        writer.write("/sam2_ros/points", "sensor_msgs/msg/PointCloud2", 2, object())
        writer.write("/joint_states", "sensor_msgs/msg/JointState", 2, object())
    source = BagReader(tmp_path / "bag")
    assert targets_of(source, ()) == {
        "/camera/image": "/camera/image",
        "/joint_states": "/joint_states",
        "/sam2_ros/prompt/applied": "/sam2_ros/prompt",
    }
    assert targets_of(source, ("/sam2_ros/masks",)) == {"/sam2_ros/masks": "/sam2_ros/masks"}


def test_detections_are_played_only_where_it_is_not_known_what_they_led_to():
    def holding(*topics):
        return SimpleNamespace(topics=[SimpleNamespace(name=name, type=kind, count=1) for name, kind in topics])

    boxes, applied = ("/yolo", "vision_msgs/msg/Detection2DArray"), ("/sam2_ros/prompt/applied", PROMPT)
    assert targets_of(holding(boxes), ()) == {"/yolo": "/yolo"}
    assert targets_of(holding(boxes, applied), ()) == {"/sam2_ros/prompt/applied": "/sam2_ros/prompt"}
