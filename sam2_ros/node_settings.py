"""How the node behaves around the tracker, as settings with their ranges; none of them changes a mask."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_ros.settings import check, setting


@dataclass(frozen=True)
class NodeSettings:
    """How the node behaves around the tracker."""

    model: str = setting("embedded", "weights: a known name or the path of a checkpoint", fixed=True)
    image_side: int = setting(
        0,
        "side of the square to which images are scaled [pixels]; 0 = the model's own, a smaller one is faster",
        low=0,
        high=4096,
        fixed=True,
    )
    device: str = setting(
        "auto", "where the model runs: cpu, cuda, cuda:1, ...; auto = a GPU if there is one", fixed=True
    )
    engine: str = setting(
        "auto",
        "what computes the model; auto = on a CPU openvino if it is installed and faster, on a GPU torch with CUDA "
        "graphs, else torch; openvino_int8 needs an encoder made by sam2_ros quantise",
        choices=("auto", "torch", "openvino", "openvino_int8"),
        fixed=True,
    )
    threads: int = setting(
        0,
        "CPU threads of the model; 0 = as many as torch chooses, and with engine torch fewer while other programs keep "
        "the cores busy",
        low=0,
        high=256,
        fixed=True,
    )
    autostart: bool = setting(
        True, "the node configures and activates itself; false = a lifecycle manager does that", fixed=True
    )
    image_transport: str = setting(
        "auto",
        "what to subscribe to; auto = raw if it is published, else compressed",
        choices=("auto", "raw", "compressed"),
        fixed=True,
    )
    image_reliability: str = setting(
        "auto",
        "quality of service of the image subscription; auto = what the camera offers",
        choices=("auto", "reliable", "best_effort"),
        fixed=True,
    )
    object_frames: bool = setting(
        False, "publish a frame for each object whose position was measured: <frame of the camera>/object/<id>"
    )
    organized_points: bool = setting(
        False, "the point cloud has a point for each pixel of the depth image, nan where there is no object"
    )
    mask_topics: bool = setting(
        False, "a topic for the mask of each object, ~/mask/NAME, at most 64; a mask is made while somebody subscribes"
    )
    answer_timeout: float = setting(
        30.0,
        "a service call fails if the tracker has not started on it after this long [s]",
        low=0.1,
        high=600.0,
    )
    detection_score: float = setting(0.5, "detections below this score are ignored [0 to 1]", low=0.0, high=1.0)
    overlay_jpeg_quality: int = setting(80, "quality of the compressed overlay [1 to 100]", low=1, high=100)
    silence_after: float = setting(3.0, "the node warns if no image has come for this long [s]", low=0.1, high=3600.0)
    report_period: float = setting(10.0, "an unchanged state is logged again after this long [s]", low=0.1, high=3600.0)
    trace_file: str = setting(
        "", "a file that gets a line of JSON with the times of each image; empty = none", fixed=True
    )

    def __post_init__(self) -> None:
        check(self)
