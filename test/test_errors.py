import pytest

from sam2_ros.errors import CheckpointError, InvalidInput, needs_room


def test_a_device_that_cannot_compute_a_model_is_the_users_to_change():
    with (
        pytest.raises(
            InvalidInput, match="the model large cannot be used on cuda: CUDA out of memory; free the device"
        ),
        needs_room("large", "cuda"),
    ):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_other_errors_stay_what_they_are():
    with pytest.raises(CheckpointError, match="damaged"), needs_room("large", "cuda"):
        raise CheckpointError("damaged")
