"""Shapes are checked at run time in every test: jaxtyping with beartype over the whole project."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
PACKAGES = ["audit", "cohort", "common", "metrics", "models", "phantom", "preprocess", "train", "wiring", "zero_shot"]

sys.path.insert(0, str(ROOT))
install_import_hook(PACKAGES, "beartype.beartype")
# A slow machine is no failure: benchmarks measure time, tests do not.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is not here")
    return folder


TOY = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def toy_architecture(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Register a model small enough for tests with open_clip, under the name "toy"."""
    import open_clip  # noqa: PLC0415  (seconds, which most tests do not need)

    path = tmp_path_factory.mktemp("configs") / "toy.json"
    path.write_text(json.dumps(TOY))
    open_clip.add_model_config(path)


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Keep torch on one thread: small models wait longer for a second than they save, above all on a busy machine."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of the reference's outputs."""
    return _folder("golden")


@pytest.fixture(scope="session")
def real() -> Path:
    """Return the folder of real images and reports."""
    return _folder("real")
