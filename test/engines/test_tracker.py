"""What the tracker promises holds with a model that ONNX Runtime runs, as with PyTorch."""

import pytest
from tiny_models import FAMILIES, tiny_model
from tracking.test_families import (  # noqa: F401  # collected here, with the models of this file
    SEEN,
    test_a_late_correction_counts_on_every_frame_since_and_leaves_other_objects_untouched,
    test_a_prompt_that_comes_late_ends_where_one_in_time_does,
    test_an_object_that_is_not_seen_is_occluded_then_lost_and_has_no_mask,
    test_late_prompts_that_are_followed_in_parts_end_where_those_do_that_are_followed_at_once,
    test_objects_beside_each_other_are_found_as_each_alone,
)

from sam2_ros.engines import onnx

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """Makes a model of one family from a bias of its occlusion head, run by ONNX Runtime."""
    folders = {}

    def load(score=SEEN):
        if score not in folders:
            folders[score] = tmp_path_factory.mktemp("onnx")
            onnx.export(tiny_model(FAMILIES[request.param], score), folders[score])
        return onnx.load(folders[score], threads=1)

    return load
