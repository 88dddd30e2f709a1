"""The device by name."""

import torch

from models import pick_device


def test_the_device_is_a_name_or_cuda_if_there_is_a_gpu():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
