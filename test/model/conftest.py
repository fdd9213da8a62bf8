import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test of the model draws the same random tensors in every run."""
    torch.manual_seed(0)
