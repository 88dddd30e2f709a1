"""Saving and loading our own layout, which open_clip reads too."""

import json
from dataclasses import replace

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from models.checkpoint import find_beside

KINDS = {
    "open_clip transformer": {},
    "timm network": {"image_tower": "timm:test_resnet"},
    "timm transformer at another size": {"image_tower": "timm:test_vit", "image_size": 48},
    "grey stem": {"grey_stem": True},
    "timm network with a grey stem": {"image_tower": "timm:test_convnext", "grey_stem": True},
    "another context": {"context_length": 100},
    "another joint space": {"embed_dim": 24},
}


@pytest.fixture(scope="module")
def bundle():
    bundle = models.build("toy", seed=0)
    # running statistics that differ from a fresh network's must survive, too
    bundle.model.train()
    models.image_features(bundle, torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    bundle.model.eval()
    return replace(bundle, preprocessing=models.Preprocessing(image_size=32, mean=(90.5,), antialias=False))


@pytest.fixture(scope="module")
def saved(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "step_000010"
    models.save(bundle, folder)
    return folder


@pytest.fixture(scope="module")
def batch(bundle):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (5, 40, 40), dtype=torch.uint8, generator=generator)
    tokens = models.tokenize(["edema", "no edema", "left chest tube"], bundle.tokenizer, context_length=24)
    return images, tokens


def logits(bundle, batch):
    return models.encode_images(bundle, batch[0]) @ models.encode_texts(bundle, batch[1]).T


def test_a_round_trip_keeps_logits_bit_equal_and_everything_beside_the_weights(bundle, saved, batch):
    loaded = models.load(saved)
    assert torch.equal(logits(loaded, batch), logits(bundle, batch))
    assert loaded.preprocessing == bundle.preprocessing
    assert loaded.context_length == bundle.context_length
    assert loaded.name == "toy"
    assert models.fingerprint(loaded) == models.fingerprint(bundle)
    assert loaded.config == bundle.config


def test_open_clip_loads_the_folder_by_itself(bundle, saved, batch):
    model = open_clip.create_model(f"local-dir:{saved}")
    model.eval()
    with torch.no_grad():
        theirs = model.encode_text(batch[1], normalize=True)
        pictures = model.encode_image(models.to_network_input(batch[0], bundle.preprocessing), normalize=True)
    torch.testing.assert_close(pictures @ theirs.T, logits(bundle, batch), atol=1e-6, rtol=0)
    attached = open_clip.get_model_preprocess_cfg(model)
    assert attached["mean"] == pytest.approx([90.5 / 255] * 3)
    assert open_clip.get_tokenizer(f"local-dir:{saved}").context_length == 24


@pytest.mark.golden
def test_a_chexzero_checkpoint_survives_our_layout(golden, tmp_path, batch):
    original = models.load(golden / "model" / "tiny_clip.pt")
    models.save(original, tmp_path)
    again = models.load(tmp_path)
    wide = (batch[0], models.tokenize(["edema", "no edema"], original.tokenizer, context_length=77))
    assert torch.equal(logits(again, wide), logits(original, wide))
    assert again.preprocessing == models.CHEXZERO


def test_a_run_folder_loads_its_best_checkpoint_and_says_so_and_its_last_when_asked(bundle, tmp_path, capsys):
    models.save(bundle, tmp_path / "checkpoints" / "step_000010")
    other = models.build("toy", seed=9)
    models.save(other, tmp_path / "checkpoints" / "step_000020")
    (tmp_path / "latest").write_text("checkpoints/step_000010\n")
    (tmp_path / "best").write_text("checkpoints/step_000020\n")
    assert models.fingerprint(models.load(tmp_path)) == models.fingerprint(other)
    said = f"note: {tmp_path}: taken is its best checkpoint, step_000020; its last is {tmp_path / 'latest'}\n"
    assert capsys.readouterr().err == said
    assert models.fingerprint(models.load(tmp_path / "latest")) == models.fingerprint(bundle)
    assert models.fingerprint(models.load(tmp_path / "best")) == models.fingerprint(other)
    assert capsys.readouterr().err == ""


def test_a_run_without_a_best_checkpoint_loads_its_last_and_says_so(bundle, tmp_path, capsys):
    models.save(bundle, tmp_path / "checkpoints" / "step_000010")
    (tmp_path / "latest").write_text("checkpoints/step_000010\n")
    assert models.fingerprint(models.load(tmp_path)) == models.fingerprint(bundle)
    assert capsys.readouterr().err.endswith("its latest checkpoint, step_000010; no validation chose a best one\n")


def test_what_lies_beside_a_run_is_found_from_its_best_checkpoint_too(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "step_000020"
    checkpoint.mkdir(parents=True)
    for file in (tmp_path / "trained_on.csv.gz", checkpoint / "preprocess.json"):
        file.write_bytes(b"")
    (tmp_path / "best").write_text("checkpoints/step_000020\n")
    assert find_beside(tmp_path / "best", "trained_on.csv.gz") == (tmp_path / "trained_on.csv.gz").absolute()
    assert find_beside(tmp_path / "best", "preprocess.json") == (checkpoint / "preprocess.json").absolute()


def test_the_weights_file_of_a_checkpoint_folder_loads_the_folder(bundle, saved):
    assert models.fingerprint(models.load(saved / "model.safetensors")) == models.fingerprint(bundle)


def test_a_bias_in_the_weights_is_read_although_the_configuration_does_not_mention_it(bundle, saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_file(
        load_file(saved / "model.safetensors") | {"logit_bias": torch.tensor(-7.5)}, tmp_path / "model.safetensors"
    )
    assert models.load(tmp_path).model.logit_bias.item() == -7.5


def test_a_bias_that_the_configuration_has_and_the_weights_lack_is_an_error(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["init_logit_bias"] = -10.0
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model.safetensors lacks 1 weights of this network: logit_bias"):
        models.load(tmp_path)


def test_settings_without_statistics_are_noted(saved, tmp_path, capsys):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocess.json").unlink()
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    del config["preprocess_cfg"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    found = models.load(tmp_path).preprocessing
    assert [value / 255 for value in found.mean] == pytest.approx(open_clip.OPENAI_DATASET_MEAN)
    assert (
        "does not state mean and std of the images under preprocess_cfg: taken as open_clip's default, mean 0.4815"
        in (capsys.readouterr().err)
    )


def test_weights_that_do_not_fit_the_configuration_are_an_error(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 20
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"the weights do not fit the architecture of open_clip_config.json"):
        models.load(tmp_path)


def test_preprocessing_of_another_version_is_refused(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocess.json").write_text(json.dumps({"version": 99, "name": "x", "image_size": 32}))
    with pytest.raises(ValueError, match=r"version 99, this program reads version 1"):
        models.load(tmp_path)


def test_without_our_preprocess_json_open_clips_own_settings_count(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocess.json").unlink()
    found = models.load(tmp_path).preprocessing
    assert found.mean == pytest.approx((90.5, 90.5, 90.5))
    assert found.image_size == 32


@pytest.mark.parametrize("name", ["nowhere/at/all", "ViT-B-32"])
def test_nothing_there_is_an_error_that_lists_what_can_be_given(name):
    with pytest.raises(FileNotFoundError, match=r"no model at .*run folder.*CheXzero .pt.*NAME:TAG"):
        models.load(name)


def test_a_folder_without_a_model_is_an_error_that_says_what_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"is not a checkpoint: wanted open_clip_config.json.*found notes.txt"):
        models.load(tmp_path)


def test_encoding_leaves_the_mode_of_the_model_as_it_was(bundle, batch):
    bundle.model.train()
    statistics = bundle.model.visual.trunk.bn1.running_mean.clone()
    logits(bundle, batch)
    assert bundle.model.training
    assert torch.equal(bundle.model.visual.trunk.bn1.running_mean, statistics)
    bundle.model.eval()


def test_bf16_features_stay_close(bundle, batch):
    exact, fast = (models.encode_images(bundle, batch[0], bf16=bf16) for bf16 in (False, True))
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, exact, atol=3e-2, rtol=0)


def test_a_file_is_found_from_the_run_its_checkpoint_its_weights_and_beside_a_pt(tmp_path):
    run, old = tmp_path / "run", tmp_path / "old"
    step = run / "checkpoints/step_000001"
    for folder in (step, old):
        folder.mkdir(parents=True)
    (step / "model.safetensors").write_bytes(b"weights")
    (old / "best.pt").write_bytes(b"weights")
    everything = [run, step, step / "model.safetensors", f"toy:{step / 'model.safetensors'}", old / "best.pt"]
    assert [find_beside(path, "notes.txt") for path in everything] == [None] * 5
    for folder in (run, old):
        (folder / "notes.txt").write_bytes(b"")
    found = [find_beside(path, "notes.txt") for path in everything]
    assert found == [run / "notes.txt"] * 4 + [old / "notes.txt"]
    for nothing in ("ViT-B-32:openai", "hf-hub:a/b", tmp_path / "nowhere"):
        assert find_beside(nothing, "notes.txt") is None


def test_a_folder_two_above_that_is_no_run_has_nothing_to_say_of_a_model(tmp_path):
    (tmp_path / "exports/mine").mkdir(parents=True)
    (tmp_path / "notes.txt").write_bytes(b"")
    assert find_beside(tmp_path / "exports/mine", "notes.txt") is None


def pair_logits(bundle, films):
    texts = ["small left effusion", "no edema"]
    tokens = models.tokenize(texts, bundle.tokenizer, context_length=bundle.context_length)
    return bundle.model.logit_scale.exp() * models.encode_images(bundle, films) @ models.encode_texts(bundle, tokens).T


def assert_same(bundle, films, folder):
    with torch.no_grad():
        expected = pair_logits(bundle, films)
        models.save(bundle, folder)
        # the resume state of a run lies beside the weights
        torch.save({"step": 3}, folder / "state.pt")
        again = models.load(folder)
        assert torch.equal(pair_logits(again, films), expected)
    assert models.fingerprint(again) == models.fingerprint(bundle)
    assert again.preprocessing == bundle.preprocessing
    assert again.context_length == bundle.context_length
    assert again.name == bundle.name


@pytest.mark.parametrize("kind", KINDS)
def test_logits_after_a_round_trip_are_equal_to_the_bit(kind, films, tmp_path):
    assert_same(models.build("tiny-clip", seed=0, **KINDS[kind]), films, tmp_path)


def test_so_are_those_of_an_encoder_of_the_hub_with_a_timm_network(bert, films, tmp_path):
    bundle = models.build("tiny-clip", image_tower="timm:test_vit", text_tower=str(bert[0]), embed_dim=8, seed=0)
    assert_same(bundle, films, tmp_path)


def test_a_learnt_bias_comes_back_too(films, tmp_path):
    bundle = models.build("tiny-clip", seed=0)
    bundle.model.logit_bias = torch.nn.Parameter(torch.tensor(-4.5))
    models.save(bundle, tmp_path)
    assert models.load(tmp_path).model.logit_bias.item() == -4.5


def test_weights_that_are_a_git_lfs_pointer_are_named_as_such(tmp_path):
    models.save(models.build("tiny-clip", seed=0), tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:620ee1\n")
    with pytest.raises(ValueError, match=r"model.safetensors is a git-lfs pointer"):
        models.load(tmp_path)
