"""The model that a configuration starts from."""

import pytest
import torch

import models
from train.start import start_model
from train.train_config import TrainConfig


def config(**options):
    return TrainConfig(**{"model": "toy", "random_init": "model" not in options, **options})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    models.save(models.build("toy", seed=5), folder)
    return str(folder)


def test_a_path_is_a_trained_model_and_a_name_an_architecture(trained):
    assert models.fingerprint(start_model(config(model=trained))) == models.fingerprint(models.load(trained))
    assert start_model(config(model=trained)).name == trained
    assert models.fingerprint(start_model(config(seed=5))) == models.fingerprint(models.load(trained))


def test_options_of_the_architecture_are_handed_on():
    bundle = start_model(
        config(
            embed_dim=8, image_size=48, context_length=12, grey_stem=True, antialias=False, image_tower="timm:test_vit"
        )
    )
    assert bundle.config["embed_dim"] == 8
    assert bundle.preprocessing == models.Preprocessing(
        image_size=48, mean=(127.5,), std=(127.5,), channels=1, antialias=False
    )
    assert bundle.context_length == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 64}, r"was trained with image_size 32, so it cannot have 64"),
        ({"embed_dim": 8}, r"was trained with embed_dim 16, so it cannot have 8"),
        ({"image_tower": "timm:test_vit"}, r"was trained with image_tower its own, so it cannot have timm:test_vit"),
        ({"text_tower": "hf:a/b"}, r"was trained with text_tower its own"),
        ({"text_start": "bag_of_words", "pretrained": None}, r"it cannot also have --text_start bag_of_words"),
        (
            {"random_init": True},
            r"is a trained model, which its weights are taken from: it cannot also have --random_init",
        ),
        ({"pretrained": "laion400m_e32"}, r"is a trained model, .*: it cannot also have --pretrained laion400m_e32"),
        ({"pretrained": "mine.pt"}, r"is a trained model, .*: it cannot also have --pretrained mine.pt"),
    ],
)
def test_a_trained_model_refuses_what_would_undo_its_training(options, message, trained):
    with pytest.raises(ValueError, match=message):
        start_model(config(model=trained, **options))


def test_a_trained_model_takes_another_context_and_a_grey_stem(trained):
    bundle = start_model(config(model=trained, context_length=40, grey_stem=True))
    assert bundle.context_length == 40
    assert bundle.preprocessing.channels == 1


def test_a_checkpoint_keeps_its_antialiasing_with_a_note_and_no_antialias_is_obeyed(trained, tmp_path, capsys):
    assert start_model(config(model=trained)).preprocessing.antialias
    assert not start_model(config(model=trained, antialias=False)).preprocessing.antialias
    assert capsys.readouterr().err == ""
    models.save(models.build("toy", antialias=False, seed=5), tmp_path)
    assert not start_model(config(model=str(tmp_path))).preprocessing.antialias
    said = f"note: --model {tmp_path}: images are downscaled without antialiasing, as it was trained\n"
    assert capsys.readouterr().err == said


def test_a_weights_file_under_an_architectures_name_is_a_trained_model_with_its_own_statistics(trained):
    bundle = start_model(config(model=f"toy:{trained}/model.safetensors"))
    assert models.fingerprint(bundle) == models.fingerprint(models.load(trained))
    assert bundle.preprocessing == models.load(trained).preprocessing


@pytest.mark.parametrize("path", ["/no/such/folder", "./run", "runs/mine", "best.pt"])
def test_a_path_with_nothing_there_is_named_and_no_architecture_is_listed(path):
    with pytest.raises(FileNotFoundError) as error:
        start_model(config(model=path))
    assert str(error.value) == (
        f"--model {path}: no such file or folder; wanted an architecture such as ViT-B-32, a run, a checkpoint, or NAME:FILE"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_float16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match=r"--precision fp16: wanted a GPU, found a CPU.*use fp32 or auto"):
        start_model(config(precision="fp16"))


def test_a_tower_can_be_frozen_patches_left_out_and_activations_computed_again(trained):
    bundle = start_model(config(model=trained, freeze="text", gradient_checkpointing=True))
    assert not any(parameter.requires_grad for parameter in bundle.model.text.parameters())
    assert bundle.model.visual.trunk.grad_checkpointing
    bundle = start_model(config(image_tower="timm:test_vit", patch_dropout=0.5))
    assert bundle.model.visual.trunk.patch_drop.prob == 0.5


def test_random_weights_are_never_frozen():
    with pytest.raises(ValueError, match="freeze image would keep random weights as they are"):
        start_model(config(freeze="image"))


def test_a_model_that_chexzeros_layout_cannot_hold_is_refused_before_it_is_trained():
    with pytest.raises(ValueError, match=r"CheXzero's layout cannot hold toy .*missing visual.conv1.weight"):
        start_model(config(save_format="chexzero"))


def test_a_bag_of_words_needs_open_clips_text_tower():
    bundle = start_model(config(text_start="bag_of_words"))
    keys = bundle.model.text.transformer.resblocks[0].attn.in_proj_weight.chunk(3)[1]
    assert torch.equal(keys, torch.zeros_like(keys))
