"""What the tracker promises holds with every engine as with PyTorch."""

import pytest
from tiny_models import FAMILIES, tiny_model
from tracking.test_exported import (  # noqa: F401  # the same, of one object's memory outside of its tracker
    test_a_restored_object_can_be_corrected_and_gone_through_again,
    test_a_restored_object_is_followed_as_the_original_is,
    test_an_object_that_is_behind_is_brought_up_to_date_before_it_is_exported,
    test_it_holds_what_the_next_frame_sees_in_plain_tensors_that_can_be_saved,
    test_what_is_exported_does_not_change_with_the_tracker_that_it_came_from,
)
from tracking.test_families import (  # noqa: F401  # collected here, with the models of this file
    SEEN,
    test_a_late_correction_counts_on_every_frame_since_and_leaves_other_objects_untouched,
    test_a_prompt_that_comes_late_ends_where_one_in_time_does,
    test_an_object_that_is_not_seen_is_occluded_then_lost_and_has_no_mask,
    test_late_prompts_that_are_followed_in_parts_end_where_those_do_that_are_followed_at_once,
    test_objects_beside_each_other_are_found_as_each_alone,
)

from sam2_ros.engines import onnx, openvino


def by_onnx_runtime(model, folder):
    onnx.export(model, folder)
    return onnx.load(folder, threads=1)


def by_openvino(model, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM2_ROS_CACHE", str(folder))
        return openvino.prepare(model, "float32")


#: What makes the model of an engine from one of PyTorch, by the module that it needs.
ENGINES = {"onnxruntime": by_onnx_runtime, "openvino": by_openvino}


@pytest.fixture(scope="module", params=[(engine, name) for engine in ENGINES for name in FAMILIES], ids=" ".join)
def family(request, tmp_path_factory):
    """Makes a model of one family, run by one engine, from a bias of its occlusion head."""
    engine, name = request.param
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    made = {}

    def load(score=SEEN):
        if score not in made:
            made[score] = ENGINES[engine](tiny_model(FAMILIES[name], score), tmp_path_factory.mktemp(engine))
        return made[score]

    return load


@pytest.fixture(scope="module", params=ENGINES)
def model(request, tmp_path_factory):
    """A model that is sometimes sure to see its object, run by one engine."""
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return ENGINES[request.param](tiny_model(object_score=1.0), tmp_path_factory.mktemp(request.param))
