"""Fixtures that several folders share."""

import signal

import pytest

# A shell starts what runs in the background with SIGINT ignored, and nohup with SIGHUP; the tests send both.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A checkpoint of the smallest size with random weights."""
    import torch

    from sam2_ros.model import checkpoint
    from sam2_ros.model.sam2 import SAM2
    from sam2_ros.model.sizes import TEST

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(SAM2(TEST).eval(), path)
    return path


@pytest.fixture
def data_set(tmp_path):
    """Two sequences in DAVIS layout: a square that moves by one pixel for each image."""
    import cv2
    from recordings.bags import labels, picture

    from sam2_ros.recordings.labels import LabelWriter

    root = tmp_path / "data"
    for name, count in (("long", 9), ("short", 5)):
        folder = root / "JPEGImages" / name
        folder.mkdir(parents=True)
        writer = LabelWriter(root / "Annotations" / name)
        for index in range(count):
            cv2.imwrite(str(folder / f"{index:05d}.png"), picture(index)[..., ::-1])
            writer.write(labels(index))
    return root
