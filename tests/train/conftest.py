"""A model small enough for tests, registered with open_clip under the name "toy"."""

import json

import open_clip
import pytest
import torch

TOY = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session", autouse=True)
def toy_architecture(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.json"
    path.write_text(json.dumps(TOY))
    open_clip.add_model_config(path)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    # small models wait longer for a second thread than they save, above all on a busy machine
    torch.set_num_threads(1)
