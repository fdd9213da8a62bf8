"""Small bags with known content, for the tests of this folder."""

from types import SimpleNamespace

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from sam2_ros.messages import fill_compressed, fill_image, seconds_and_rest
from sam2_ros.recordings.bags.writer import BagWriter

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
PROMPT, CAMERA_INFO = "sam2_ros/msg/Prompt", "sensor_msgs/msg/CameraInfo"
PERIOD = 100_000_000
SIZE = (48, 64)


def header(stamp, frame_id="camera"):
    seconds, rest = seconds_and_rest(stamp)
    return SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest), frame_id=frame_id)


def image_message(image, stamp, compressed=False):
    message = SimpleNamespace(header=header(stamp))
    return fill_compressed(message, image) if compressed else fill_image(message, image)


def picture(index, size=SIZE):
    """A red square that moves to the right over black."""
    image = np.zeros((*size, 3), np.uint8)
    image[16:32, 4 + index : 20 + index] = (255, 0, 0)
    return image


def labels(index, size=SIZE):
    return (picture(index, size)[..., 0] > 0).astype(np.uint8)


def prompt_message(name, point, stamp=0, label=1):
    return SimpleNamespace(
        header=header(stamp), name=name, points=[SimpleNamespace(x=point[0], y=point[1], z=0.0)], labels=[label]
    )


def stamp(index):
    return PERIOD * (index + 1)


def write_bag(
    path, count=10, *, topic="/camera/image", compressed=False, truth=True, prompts=True, noise=False, size=SIZE
):
    """A camera, its truth shortly after each image, a click on the first image, and camera_info."""
    random = np.random.default_rng(0)
    with BagWriter(path, kept_free=0) as writer:
        for index in range(count):
            now = stamp(index)
            image = random.integers(0, 255, (*size, 3)).astype(np.uint8) if noise else picture(index, size)
            kind = COMPRESSED if compressed else IMAGE
            name = f"{topic}/compressed" if compressed else topic
            writer.write(name, kind, now + 1, image_message(image, now, compressed))
            if truth:
                writer.write("/ground_truth", IMAGE, now + 1000, image_message(labels(index, size), now))
            if prompts and index == 0:
                writer.write("/sam2_ros/prompt", PROMPT, now + 2000, prompt_message("square", (10, 20), now))
            if index == 0:
                matrix = np.eye(3).ravel() * 5
                info = SimpleNamespace(header=header(now), height=size[0], width=size[1], k=matrix, d=[0.1])
                writer.write("/camera/camera_info", CAMERA_INFO, now + 3000, info)
    return path


def copy_bag(source, target, *, plugin=StoragePlugin.SQLITE3, compression=CompressionMode.NONE, version=9):
    """The same messages in another storage."""
    writer = Writer(target, version=version, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer, Reader(source) as reader:
        connections = {
            connection.id: writer.add_connection(
                connection.topic,
                connection.msgtype,
                msgdef=connection.msgdef.data,
                rihs01=connection.digest or "RIHS01_" + "0" * 64,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )
            for connection in reader.connections
        }
        for connection, time, raw in reader.messages():
            writer.write(connections[connection.id], time, raw)
    return target


def cut(bag, share, *, metadata=True):
    """Keep the first part of the storage file, and perhaps the metadata."""
    file = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    if not metadata:
        (bag / "metadata.yaml").unlink()
    return bag


STORAGES = {
    "mcap": {"plugin": StoragePlugin.MCAP},
    "mcap with compressed chunks": {"plugin": StoragePlugin.MCAP, "compression": CompressionMode.STORAGE},
    "sqlite3": {},
    "sqlite3 with compressed messages": {"compression": CompressionMode.MESSAGE},
    "compressed sqlite3 file": {"compression": CompressionMode.FILE},
    "an older version of the metadata": {"version": 8},
}
