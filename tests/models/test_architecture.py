"""Architectures by name, with weights from where they are."""

import open_clip
import pytest
import torch

import models
from models import architecture
from models.files import open_clip_weights as published


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (models.build("toy", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert models.fingerprint(first) == models.fingerprint(second) != models.fingerprint(other)


def test_image_size_and_context_length_can_be_chosen():
    bundle = models.build("toy", image_size=48, context_length=12, seed=0)
    assert bundle.preprocessing.image_size == 48
    assert bundle.context_length == 12
    assert models.tokenize(["x " * 40], bundle.tokenizer, context_length=bundle.context_length).shape == (1, 12)
    assert bundle.config["vision_cfg"]["image_size"] == 48


def test_phantom_tiny_is_known_and_small():
    bundle = models.build("phantom-tiny", seed=0)
    images = torch.zeros((2, 64, 64), dtype=torch.uint8)
    assert models.encode_images(bundle, images).shape == (2, bundle.config["embed_dim"])
    assert sum(p.numel() for p in bundle.model.parameters()) < 15e6


def test_an_unknown_architecture_is_an_error_that_lists_known_ones():
    with pytest.raises(ValueError, match=r"'ViT-Z-99' is unknown to open_clip.*ViT-B-32"):
        models.build("ViT-Z-99", seed=0)


def test_an_unknown_tag_is_an_error_that_lists_the_published_ones():
    with pytest.raises(ValueError, match=r"neither a file nor published weights of RN50; published: .*openai"):
        models.build("RN50", pretrained="opnai", seed=0)


def test_a_weights_file_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"weights/none.pt does not exist"):
        models.build("toy", pretrained="weights/none.pt", seed=0)


def test_weights_that_cannot_be_downloaded_say_where_to_put_the_file(monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", offline)
    with pytest.raises(FileNotFoundError, match=r"'yfcc15m' of RN50 .*no route to host(.|\n)*RN50-yfcc15m.safetensors"):
        models.build("RN50", pretrained="yfcc15m", seed=0)


def test_a_file_placed_in_the_weights_folder_stands_in_for_the_download(tmp_path, monkeypatch):
    source = models.build("toy", seed=3)
    torch.save(source.model.state_dict(), tmp_path / "toy-published.pt")
    monkeypatch.setattr(published, "WEIGHTS", tmp_path)
    bundle = models.build("toy", pretrained="published", seed=0)
    assert models.fingerprint(bundle) == models.fingerprint(source)


def test_a_local_file_of_another_architecture_is_an_error_that_names_both(tmp_path):
    torch.save({"visual.trunk.wrong": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt holds weights of another architecture than toy"):
        models.build("toy", pretrained=str(tmp_path / "other.pt"), seed=0)


def test_published_weights_trained_with_quick_gelu_get_it(monkeypatch):
    config = architecture._config("ViT-B-32", "openai", image_size=None)
    assert config["quick_gelu"] is True
    assert "quick_gelu" not in architecture._config("ViT-B-32", None, image_size=None)
