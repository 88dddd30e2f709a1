"""NAME:TAG and NAME:FILE of open_clip have the features that open_clip itself computes, with its own transforms."""

import json
from types import SimpleNamespace

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import models
from models.files import open_clip_weights

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
TEXTS = ["small left effusion", "no edema"]
WEBLI = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear", "resize_mode": "squash"}
LAION = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28), "interpolation": "bicubic", "resize_mode": "shortest"}


@pytest.fixture(scope="module", autouse=True)
def _architectures(tmp_path_factory):
    """Register a network with GELU and narrow heads, the same with QuickGELU, and tags of a third one."""
    folder = tmp_path_factory.mktemp("configs")
    variants = {"narrow": {}, "narrow-quickgelu": {"quick_gelu": True}, "narrow-one": {}, "narrow-two": {}}
    for name, options in variants.items():
        (folder / f"{name}.json").write_text(json.dumps(TINY | options))
    open_clip.add_model_config(folder)
    # as open_clip lists its published weights
    tags = {"narrow-one": {"webli": WEBLI}, "narrow-two": {"webli": WEBLI, "laion": LAION | {"quick_gelu": True}}}
    with pytest.MonkeyPatch.context() as patch:
        for name, published in tags.items():
            records = {tag: {"url": "", "hf_hub": "", **record} for tag, record in published.items()}
            patch.setitem(open_clip.pretrained._PRETRAINED, name, records)
        yield


@pytest.fixture(scope="module")
def films():
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((6, 1, 6, 6), generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (90, 90), mode="bicubic").clamp(0, 255).byte()[:, 0]


def write(path, name="narrow", wrapped=None, prefix="", **options):
    """Write random weights of an architecture as open_clip saves them, and return its network."""
    torch.manual_seed(4)
    model = open_clip.create_model(name, **options).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = {prefix + key: tensor for key, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save({"epoch": 2, wrapped: state} if wrapped else state, path)
    return model


def by_open_clip(model, films, **record):
    """Return the features that open_clip computes with its own transform and tokenizer."""
    settings = {"size": 32, "mode": "RGB", "fill_color": 0, **record}
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**settings), is_train=False)
    pictures = torch.stack([transform(Image.fromarray(film.numpy())) for film in films])
    with torch.no_grad():
        return model.encode_image(pictures, normalize=True), model.encode_text(
            open_clip.get_tokenizer("ViT-B-32")(TEXTS), normalize=True
        )


def assert_same(bundle, expected, films):
    tokens = models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)
    images, texts = models.encode_images(bundle, films), models.encode_texts(bundle, tokens)
    # Pillow rounds to whole grey levels
    assert (images * expected[0]).sum(dim=1).min() > 0.9999
    assert (texts * expected[1]).sum(dim=1).min() > 0.99999


@pytest.mark.parametrize(("name", "tag"), [("narrow-one", "webli"), ("narrow-two", "laion"), ("narrow-two", "webli")])
def test_a_published_tag_has_its_own_statistics_kernel_and_activation(name, tag, films, tmp_path, monkeypatch, capsys):
    record = {"webli": WEBLI, "laion": LAION}[tag]
    model = write(tmp_path / f"{name}-{tag}.pt", name, force_quick_gelu=tag == "laion")
    monkeypatch.setattr(open_clip_weights, "WEIGHTS", tmp_path)
    assert_same(models.load(f"{name}:{tag}"), by_open_clip(model, films, **record), films)
    assert capsys.readouterr().err == ""


def test_open_clips_own_records_are_what_its_published_tags_get(monkeypatch):
    def without_weights(name, tag, config):
        with torch.device("meta"):
            return models.towers.network.network(config)

    monkeypatch.setattr(open_clip_weights, "_downloaded", without_weights)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_, **__: SimpleNamespace())
    for name, tag in (("ViT-B-16-SigLIP", "webli"), ("ViT-B-32", "openai"), ("ViT-B-16", "datacomp_xl_s13b_b90k")):
        bundle = models.load(f"{name}:{tag}")
        record = open_clip.get_pretrained_cfg(name, tag)
        assert [value / 255 for value in bundle.preprocessing.mean] == pytest.approx(record["mean"])
        assert [value / 255 for value in bundle.preprocessing.std] == pytest.approx(record["std"])
        assert bundle.preprocessing.antialias
        assert bundle.config.get("quick_gelu", False) == record.get("quick_gelu", False)


@pytest.mark.parametrize(
    "layout", ["bare", "wrapped", "safetensors", "module.", "_orig_mod.", "model.", "_orig_mod.module."]
)
def test_a_file_under_an_architectures_name_computes_what_open_clip_computes(layout, films, tmp_path, capsys):
    path = tmp_path / ("epoch_2.safetensors" if layout == "safetensors" else "epoch_2.pt")
    prefix = layout if layout.endswith(".") else ""
    model = write(path, wrapped="state_dict" if layout != "bare" else None, prefix=prefix)
    default = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    assert_same(models.load(f"narrow:{path}"), by_open_clip(model, films, **default), films)
    said = capsys.readouterr().err
    assert (
        "neither activation nor heads; taken are those of narrow, GELU; if it was trained with QuickGELU: narrow-quick"
        in said
    )
    assert "open_clip's default: mean 0.4815, 0.4578, 0.4082" in said
    assert str(tmp_path / "open_clip_config.json") in said


def test_the_name_says_the_activation(films, tmp_path, capsys):
    model = write(tmp_path / "epoch_2.pt", "narrow-quickgelu")
    default = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    assert_same(
        models.load(f"narrow-quickgelu:{tmp_path / 'epoch_2.pt'}"), by_open_clip(model, films, **default), films
    )
    assert "those of narrow-quickgelu, QuickGELU" in capsys.readouterr().err


def test_a_file_of_an_architecture_whose_published_weights_agree_has_their_statistics(films, tmp_path, capsys):
    model = write(tmp_path / "mine.pt", "narrow-one")
    assert_same(models.load(f"narrow-one:{tmp_path / 'mine.pt'}"), by_open_clip(model, films, **WEBLI), films)
    assert "that of all published weights of narrow-one: mean 0.5, 0.5, 0.5" in capsys.readouterr().err


def test_settings_beside_a_file_tell_its_statistics(films, tmp_path, capsys):
    model = write(tmp_path / "mine.pt")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": WEBLI}))
    assert_same(models.load(f"narrow:{tmp_path / 'mine.pt'}"), by_open_clip(model, films, **WEBLI), films)
    assert "mean" not in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"open_clip_config.json lacks model_cfg, .*: name it with NAME:FILE"):
        models.load(tmp_path)


def test_a_whole_configuration_beside_a_file_is_obeyed_and_another_name_is_refused(films, tmp_path, capsys):
    model = write(tmp_path / "epoch_9.pt")
    settings = {"model_cfg": TINY, "preprocess_cfg": WEBLI}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    expected = by_open_clip(model, films, **WEBLI)
    for address in (f"narrow:{tmp_path / 'epoch_9.pt'}", tmp_path / "epoch_9.pt", tmp_path):
        assert_same(models.load(address), expected, films)
    assert capsys.readouterr().err == ""
    with pytest.raises(
        ValueError, match=r"describes another network than narrow-quickgelu \(quick_gelu is False, not True"
    ):
        models.load(f"narrow-quickgelu:{tmp_path / 'epoch_9.pt'}")


def test_statistics_in_grey_levels_are_refused(tmp_path):
    write(tmp_path / "mine.pt")
    beside = {"preprocess_cfg": {"mean": [101.5] * 3, "std": [83.4] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(beside))
    with pytest.raises(
        ValueError, match=r"mean is \[101.5, 101.5, 101.5\]; wanted shares of the whitest grey level, 0 to 1"
    ):
        models.load(f"narrow:{tmp_path / 'mine.pt'}")


def test_a_learnt_bias_in_a_file_is_read_although_the_architecture_has_none(tmp_path):
    model = write(tmp_path / "mine.pt", init_logit_bias=-10.0)
    assert models.load(f"narrow:{tmp_path / 'mine.pt'}").model.logit_bias == model.logit_bias


def test_weights_that_openais_code_saved_are_refused_under_a_name_with_gelu(tmp_path):
    model = write(tmp_path / "mine.pt", "narrow-quickgelu")
    state = model.state_dict()
    torch.save(state | {"input_resolution": torch.tensor(32)}, tmp_path / "openai.pt")
    open_clip.model.convert_weights_to_lp(model, torch.float16)
    torch.save(model.state_dict(), tmp_path / "half.pt")
    for file in ("openai.pt", "half.pt"):
        with pytest.raises(
            ValueError, match=rf"{file} was saved by OpenAI's code .*: name the architecture narrow-quickgelu"
        ):
            models.load(f"narrow:{tmp_path / file}")
        models.load(f"narrow-quickgelu:{tmp_path / file}")


def test_an_unknown_architecture_is_an_error_that_names_near_ones_only(tmp_path):
    write(tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=r"'ViT-B/32' is unknown to open_clip .*; near: ViT-B-32") as error:
        models.load(f"ViT-B/32:{tmp_path / 'mine.pt'}")
    assert len(str(error.value)) < 250
