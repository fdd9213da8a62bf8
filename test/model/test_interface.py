"""What is declared of a model: the real one and the fake of the tests have it all."""

import pytest
from fakes import ColourModel

from sam2_ros.model.interface import DECLARED, Model
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST


def test_every_declared_name_is_looked_for():
    assert set(DECLARED) == {name for name in vars(Model) if not name.startswith("_")}


@pytest.mark.parametrize("make", [lambda: SAM2(TEST), ColourModel], ids=["SAM2", "fake"])
def test_a_model_has_all_that_is_declared(make):
    model = make()
    assert all(hasattr(model, name) for name in DECLARED)


def test_the_checksum_tells_weights_apart_and_not_their_layout():
    model = SAM2(TEST)
    before = model.checksum()
    copy = SAM2(TEST)
    assert copy.checksum() != before
    copy.load_state_dict(model.state_dict())
    assert copy.checksum() == before
    copy.no_obj_ptr.data[0, 0] += 1e-6
    assert copy.checksum() != before
