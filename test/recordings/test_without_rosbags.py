"""Pictures and videos need no library for bags."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from fakes import RED, picture

from sam2_ros import recordings
from sam2_ros.errors import MissingDependency
from sam2_ros.recordings.video_writer import VideoWriter

TEST = Path(__file__).parents[1]
HIDDEN = """
import sys
sys.modules["rosbags"] = None  # as where it is not installed
from fakes import ColourModel
from sam2_ros import cli
from sam2_ros.model import checkpoint

checkpoint.load = lambda *_: ColourModel()
for command, source, out in (sys.argv[1:4], sys.argv[4:7]):
    assert cli.main([command, source, "--point", "6,16", "--out", out]) == 0
"""


def test_pictures_and_videos_are_tracked_without_rosbags(tmp_path: Path) -> None:
    image, film = tmp_path / "a.png", tmp_path / "a.mp4"
    cv2.imwrite(str(image), picture({RED: (4, 8)})[..., ::-1])
    with VideoWriter(film, 10.0) as video:
        for step in range(3):
            video.write(picture({RED: (4 * step, 8)}))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TEST), str(TEST.parent)])}
    commands = map(str, ("segment", image, tmp_path / "one", "track", film, tmp_path / "many"))
    subprocess.run([sys.executable, "-c", HIDDEN, *commands], env=environment, check=True, timeout=120)
    assert recordings.read_labels(tmp_path / "one" / "masks.png").max() == 1
    assert recordings.read_labels(tmp_path / "many" / "masks" / "00002.png").max() == 1


def test_a_bag_says_which_library_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metadata.yaml").touch()
    monkeypatch.delitem(sys.modules, "sam2_ros.recordings.bags.reader", raising=False)
    monkeypatch.setitem(sys.modules, "sam2_ros.recordings.bags.message_types", None)
    with pytest.raises(MissingDependency, match="pip install rosbags"):
        recordings.open(tmp_path)
