"""Folders in open_clip's format as the hub has them: BiomedCLIP in small, and what can be wrong with a download."""

import json
import pickle
import shutil

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

import models

ENCODER = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
TEXTS = ["no edema", "small left effusion", "edema"]
STATISTICS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def write_biomedclip(folder, write_bert, **text_options):
    """Write BiomedCLIP's files in small, as downloaded with the encoder's config.json, and return open_clip's model."""
    write_bert(folder)
    (folder / "model.safetensors").unlink()
    text = {"hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 20}
    text = {"hf_model_name": ENCODER, "hf_tokenizer_name": ENCODER, **text, **text_options}
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
    settings = {"embed_dim": 24, "vision_cfg": {**vision, "image_size": 160}, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": STATISTICS}))
    torch.manual_seed(2)
    local = {**text, "hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(24, settings["vision_cfg"], local).eval()
    # as weights of 2023 have it, before transformers 4.31
    numbers = {"text.transformer.embeddings.position_ids": torch.arange(32).unsqueeze(0)}
    torch.save(model.state_dict() | numbers, folder / "open_clip_pytorch_model.bin")
    return model


@pytest.fixture(scope="module")
def original(write_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("biomedclip")
    return folder, write_biomedclip(folder, write_bert)


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original[0], tmp_path / "BiomedCLIP")


def tokens_of(bundle):
    return models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)


def test_a_biomedclip_folder_computes_what_open_clip_computes(original, films):
    folder, model = original
    bundle = models.load(folder)
    tokens = tokens_of(bundle)
    assert tokens.shape == (3, 20)
    with torch.no_grad():
        words = normalize(model.encode_text(tokens))
        pictures = normalize(model.encode_image(models.to_network_input(films, bundle.preprocessing)))
    torch.testing.assert_close(models.encode_texts(bundle, tokens), words, atol=1e-6, rtol=0)
    torch.testing.assert_close(models.encode_images(bundle, films), pictures, atol=1e-6, rtol=0)
    assert bundle.preprocessing.mean == pytest.approx([255 * value for value in STATISTICS["mean"]])
    assert bundle.preprocessing.image_size == 160
    assert bundle.name == folder.name


def test_a_saved_copy_has_the_same_features_to_the_bit(folder, films, tmp_path):
    bundle = models.load(folder)
    models.save(bundle, tmp_path / "saved")
    shutil.rmtree(folder)
    again = models.load(tmp_path / "saved")
    assert torch.equal(models.encode_texts(again, tokens_of(again)), models.encode_texts(bundle, tokens_of(bundle)))
    assert torch.equal(models.encode_images(again, films), models.encode_images(bundle, films))
    assert models.fingerprint(again) == models.fingerprint(bundle)


def test_an_encoder_that_is_read_through_berts_pooler_keeps_it(write_bert, tmp_path):
    model = write_biomedclip(tmp_path, write_bert, hf_pooler_type="cls_pooler")
    bundle = models.load(tmp_path)
    with torch.no_grad():
        expected = normalize(model.encode_text(tokens_of(bundle)))
    torch.testing.assert_close(models.encode_texts(bundle, tokens_of(bundle)), expected, atol=1e-6, rtol=0)


def test_the_weights_in_open_clips_names_count_where_hugging_faces_lie_beside_them(folder):
    save_file({"vision_model.post_layernorm.weight": torch.zeros(2)}, folder / "model.safetensors")
    state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
    state = {name: tensor + 1 if name == "logit_scale" else tensor for name, tensor in state.items()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    assert models.load(folder).model.logit_scale == state["logit_scale"]
    assert models.load(folder / "open_clip_model.safetensors").model.logit_scale == state["logit_scale"]


def damage(folder, kind):
    weights = folder / "open_clip_pytorch_model.bin"
    if kind == "no encoder":
        (folder / "config.json").unlink()
    elif kind == "no tokenizer":
        for name in ("tokenizer.json", "vocab.txt"):
            (folder / name).unlink()
    elif kind == "no weights":
        weights.unlink()
    elif kind == "lfs":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:620ee1\nsize 353553\n")
    elif kind == "code":
        weights.write_bytes(pickle.dumps({"a": exit}))
    else:
        state = torch.load(weights, weights_only=True)
        state["visual.trunk.rope.periods"] = state.pop("visual.head.proj.weight")
        torch.save(state, weights)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (
            "no encoder",
            FileNotFoundError,
            rf"lacks the configuration of its text tower.*hf download {ENCODER} config.json",
        ),
        ("no tokenizer", FileNotFoundError, rf"has no tokenizer.*hf download {ENCODER} --include"),
        ("no weights", FileNotFoundError, r"but no weights: wanted one of open_clip_model.safetensors, .*found config"),
        ("lfs", ValueError, r"open_clip_pytorch_model.bin is a git-lfs pointer"),
        ("code", ValueError, r"open_clip_pytorch_model.bin holds more than tensors.*refused"),
        (
            "names",
            ValueError,
            r"lacks 1 weights of this network: visual.head.proj.weight; and has 1 .*: visual.trunk.rope.periods",
        ),
    ],
)
def test_a_bad_folder_is_an_error_that_says_what_is_wrong_and_what_to_fetch(kind, error, message, folder):
    damage(folder, kind)
    with pytest.raises(error, match=message):
        models.load(folder)
