"""What the tests of the training share."""

import functools

import pytest


@pytest.fixture(scope="session", autouse=True)
def drawn_once():
    """Textures and shapes follow from their arguments, and nothing writes into them: one drawing is enough."""
    from sam2_ros.training import clips

    with pytest.MonkeyPatch.context() as patch:
        for name in ("make_bank", "make_shapes"):
            patch.setattr(clips, name, functools.cache(getattr(clips, name)))
        yield
