"""The device that a model runs on."""

import torch


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is CUDA if there is a GPU, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
