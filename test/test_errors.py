import pytest

from sam2_ros.errors import CheckpointError, InvalidInput, OutOfMemory, needs_room


def test_a_device_that_cannot_compute_a_model_is_the_users_to_change():
    with (
        pytest.raises(
            InvalidInput, match="the model large cannot be used on cuda: CUDA out of memory; free the device"
        ),
        needs_room("large", "cuda"),
    ):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_lack_of_memory_while_the_model_warms_up_has_one_remedy():
    with pytest.raises(InvalidInput) as raised, needs_room("large", "cuda"):
        raise OutOfMemory(
            "there is no memory for the prompt of anything (CUDA out of memory); remove objects", "CUDA out of memory"
        )
    assert str(raised.value) == (
        "the model large cannot be used on cuda: CUDA out of memory; "
        "free the device's memory, name a smaller model, or use the device cpu"
    )


def test_other_errors_stay_what_they_are():
    with pytest.raises(CheckpointError, match="damaged"), needs_room("large", "cuda"):
        raise CheckpointError("damaged")
