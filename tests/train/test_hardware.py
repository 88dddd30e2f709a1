"""Kernels and layouts change the speed, not the numbers."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend

import models
from train import TrainConfig
from train.hardware import SHORT, arrange_memory, attention, autocast, cpu_threads, idle_cores, image_tokens

CPU = torch.device("cpu")


def backends():
    """Kernels that attention may use now."""
    flags = {
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled(),
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled(),
    }
    return {backend for backend, is_on in flags.items() if is_on}


@pytest.mark.parametrize(("n_tokens", "is_plain"), [(10, True), (SHORT, True), (SHORT + 1, False), (None, False)])
def test_short_sequences_on_a_cpu_use_plain_attention_and_others_what_torch_chooses(n_tokens, is_plain):
    usual = backends()
    with attention(CPU, n_tokens=n_tokens):
        assert backends() == ({SDPBackend.MATH} if is_plain else usual)
    assert backends() == usual


def test_a_gpu_keeps_its_own_kernels():
    usual = backends()
    with attention(torch.device("cuda"), n_tokens=10):
        assert backends() == usual


def test_the_length_of_an_image_sequence_is_read_from_the_tower():
    assert image_tokens(models.build("phantom-tiny", seed=0).model.visual) == 1 + (112 // 32) ** 2
    assert image_tokens(models.build("toy", seed=0).model.visual) is None


def test_thin_convolutions_stay_contiguous_on_a_cpu_and_the_output_is_the_same():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3))
    films = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    before = network(films)
    arrange_memory(network, CPU)
    assert network[0].weight.is_contiguous()
    assert network[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert not network[3].weight.is_contiguous()
    torch.testing.assert_close(network(films), before, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_for_wide_towers_with_hardware_for_it_and_float16_for_who_asks(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})

    def dtype(config, width):
        with autocast(config, CPU, width=width):
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    assert dtype(TrainConfig(), None) == torch.bfloat16
    assert dtype(TrainConfig(), 512) == torch.bfloat16
    assert dtype(TrainConfig(), 128) == torch.float32
    assert dtype(TrainConfig(precision="bf16"), 128) == torch.bfloat16
    assert dtype(TrainConfig(precision="fp16"), 128) == torch.float16
    assert dtype(TrainConfig(precision="fp32"), 512) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False})
    assert dtype(TrainConfig(), 512) == torch.float32


@pytest.mark.parametrize(
    ("busy_percent", "cores", "free"), [(0, 2, 2), (10, 2, 2), (50, 2, 1), (100, 2, 1), (40, 16, 10)]
)
def test_idle_cores_are_what_other_programs_leave_and_never_none(monkeypatch, busy_percent, cores, free):
    monkeypatch.setattr("train.hardware.psutil.cpu_percent", lambda interval: busy_percent)
    assert idle_cores(at_most=cores) == free


def test_a_run_computes_with_the_threads_it_names_and_leaves_torch_as_it_was():
    usual = torch.get_num_threads()
    with cpu_threads(TrainConfig(threads=3), CPU) as note:
        assert torch.get_num_threads() == 3
        assert note == "3 threads (--threads)"
    assert torch.get_num_threads() == usual
    with cpu_threads(TrainConfig(threads=3), torch.device("cuda")) as note:
        assert torch.get_num_threads() == usual
        assert note is None
