"""CheXzero's checkpoint files: architecture from shapes, and everything that is not one refused."""

import pickle
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip.model import CustomTextCLIP, convert_to_custom_text_state_dict

import models
from models.architecture import architecture_config
from models.files.state_dicts import StoredWeights, read_weights
from models.formats.chexzero import (
    config_from_shapes,
    is_like_chexzeros,
    load_chexzero,
    refuse_other_than_chexzero,
)
from models.towers.network import differences


def openai_layout(*, patch, image, width, layers, embed, context=77, vocab=49408, text_width=512, text_layers=12):
    """Return empty tensors with the names and shapes of a CLIP of that size; meta tensors hold no memory."""
    state = {}

    def put(name, *shape):
        state[name] = torch.empty(shape, device="meta")

    def block(prefix, w):
        put(f"{prefix}.attn.in_proj_weight", 3 * w, w), put(f"{prefix}.attn.in_proj_bias", 3 * w)
        put(f"{prefix}.attn.out_proj.weight", w, w), put(f"{prefix}.attn.out_proj.bias", w)
        put(f"{prefix}.mlp.c_fc.weight", 4 * w, w), put(f"{prefix}.mlp.c_fc.bias", 4 * w)
        put(f"{prefix}.mlp.c_proj.weight", w, 4 * w), put(f"{prefix}.mlp.c_proj.bias", w)
        for norm in ("ln_1", "ln_2"):
            put(f"{prefix}.{norm}.weight", w), put(f"{prefix}.{norm}.bias", w)

    put("positional_embedding", context, text_width), put("text_projection", text_width, embed), put("logit_scale")
    put("token_embedding.weight", vocab, text_width)
    put("visual.class_embedding", width), put("visual.conv1.weight", width, 3, patch, patch)
    put("visual.positional_embedding", (image // patch) ** 2 + 1, width), put("visual.proj", width, embed)
    for norm, w in (("ln_final", text_width), ("visual.ln_pre", width), ("visual.ln_post", width)):
        put(f"{norm}.weight", w), put(f"{norm}.bias", w)
    for layer in range(text_layers):
        block(f"transformer.resblocks.{layer}", text_width)
    for layer in range(layers):
        block(f"visual.transformer.resblocks.{layer}", width)
    return state


PUBLISHED = {"patch": 32, "image": 224, "width": 768, "layers": 12, "embed": 512}
RANDOM_INIT = {"patch": 16, "image": 320, "width": 768, "layers": 12, "embed": 768}


@pytest.mark.parametrize(("shape", "parameters"), [(PUBLISHED, 151_277_313), (RANDOM_INIT, 150_105_089)])
def test_both_variants_are_recognised_from_shapes_and_load_strictly(shape, parameters):
    state = openai_layout(**shape)
    assert len(state) == 302
    config = config_from_shapes(state)
    assert config["vision_cfg"]["image_size"] == shape["image"]
    assert config["vision_cfg"]["patch_size"] == shape["patch"]
    assert config["text_cfg"]["heads"] == 8
    assert config["quick_gelu"]
    with torch.device("meta"):
        model = CustomTextCLIP(**{key: value for key, value in config.items() if key != "custom_text"})
    model.load_state_dict(convert_to_custom_text_state_dict(state), strict=True, assign=True)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.golden
def test_half_precision_is_widened_and_the_preprocessing_is_chexzeros(golden):
    path = golden / "model" / "tiny_clip.pt"
    stored = torch.load(path, weights_only=True)
    bundle = load_chexzero(path)
    assert bundle.preprocessing == models.CHEXZERO
    assert bundle.name == "tiny_clip"
    assert {p.dtype for p in bundle.model.parameters()} == {torch.float32}
    assert stored["visual.proj"].dtype == torch.float16
    assert torch.equal(bundle.model.visual.proj, stored["visual.proj"].float())
    assert torch.equal(bundle.model.text.token_embedding.weight, stored["token_embedding.weight"])


def test_a_git_lfs_pointer_is_named_as_such(tmp_path):
    path = tmp_path / "best.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:620ee1\nsize 353553\n")
    with pytest.raises(ValueError, match=r"best.pt is a git-lfs pointer.*git lfs pull"):
        models.load(path)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("writer", [pickle.dump, torch.save])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, writer):
    path, trace = tmp_path / "evil.pt", tmp_path / "ran"
    with path.open("wb") as handle:
        writer({"state_dict": Bomb(str(trace))}, handle)
    with pytest.raises(ValueError, match=r"evil.pt holds more than tensors.*refused"):
        models.load(path)
    assert not trace.exists()


def test_another_architecture_is_an_error_that_says_what_was_found(tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}, tmp_path / "resnet.pt")
    with pytest.raises(ValueError, match=r"resnet.pt is a checkpoint of another architecture.*layer1.0.conv1.weight"):
        models.load(tmp_path / "resnet.pt")


def test_biovils_image_half_by_itself_is_recognised_and_refused(tmp_path):
    state = {"encoder.encoder.conv1.weight": torch.zeros(2, 2), "projector.model.0.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "biovil.pt")
    with pytest.raises(ValueError, match=r"biovil.pt .*BioViL's image half: give the folder .* beside CXR-BERT's"):
        models.load(tmp_path / "biovil.pt")


def random_state(*, dtype=torch.float32, **shape):
    state = openai_layout(**shape)
    return {name: torch.zeros(tensor.shape, dtype=dtype) for name, tensor in state.items()}


SMALL = {"patch": 8, "image": 32, "width": 64, "layers": 1, "embed": 32, "text_width": 64, "text_layers": 1}


def test_a_bare_file_of_other_sizes_is_asked_for_its_origin_and_read_when_told(tmp_path, capsys):
    torch.save(random_state(**SMALL), tmp_path / "mine.pt")
    advice = (
        rf"give NAME:{tmp_path}/mine.pt with its open_clip name, .*, or chexzero:{tmp_path}/mine.pt if CheXzero's code"
    )
    with pytest.raises(ValueError, match=rf"mine.pt holds a CLIP, but tells neither its activation, heads.*: {advice}"):
        models.load(tmp_path / "mine.pt")
    bundle = models.load(f"chexzero:{tmp_path / 'mine.pt'}")
    assert bundle.config["quick_gelu"]
    assert bundle.preprocessing == replace(models.CHEXZERO, image_size=32)
    assert capsys.readouterr().err == ""


@pytest.mark.golden
def test_a_file_that_openais_code_converted_is_known_by_its_types_and_noted(golden, capsys):
    models.load(golden / "model" / "tiny_clip.pt")
    said = capsys.readouterr().err
    assert said.startswith(
        f"note: {golden}/model/tiny_clip.pt is read as CheXzero's, by its names, shapes and types: Quick"
    )
    assert "of other origin: NAME:" in said


@pytest.mark.parametrize(
    ("shape", "change", "is_like"),
    [
        (PUBLISHED, {}, True),
        (RANDOM_INIT, {}, True),
        (RANDOM_INIT | {"context": 120}, {}, True),
        # as open_clip's own training saves a ViT-B/32: it may have GELU
        (PUBLISHED, {"is_changed": True}, False),
        (PUBLISHED | {"layers": 11}, {}, False),
        (PUBLISHED | {"image": 256}, {}, False),
        (PUBLISHED, {"is_openai": True}, False),
    ],
)
def test_the_two_networks_of_chexzeros_code_are_known_by_their_sizes(shape, change, is_like):
    plain = {"is_changed": False, "is_openai": False}
    assert is_like_chexzeros(StoredWeights(tensors=openai_layout(**shape), **plain | change)) == is_like


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "_orig_mod.module."])
def test_prefixes_of_training_programs_are_taken_off(prefix, golden, tmp_path):
    state = torch.load(golden / "model" / "tiny_clip.pt", weights_only=True)
    torch.save({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "prefixed.pt")
    plain = models.load(golden / "model" / "tiny_clip.pt")
    assert models.fingerprint(models.load(tmp_path / "prefixed.pt")) == models.fingerprint(plain)


def test_numbers_of_numpy_beside_the_weights_are_no_code(golden, tmp_path):
    state = torch.load(golden / "model" / "tiny_clip.pt", weights_only=True)
    scores = {"auc": np.float64(0.8), "step": np.int64(3), "done": np.bool_(True), "losses": np.arange(3.0)}
    torch.save({"state_dict": state, **scores}, tmp_path / "scored.pt")
    plain = models.load(golden / "model" / "tiny_clip.pt")
    assert models.fingerprint(models.load(tmp_path / "scored.pt")) == models.fingerprint(plain)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused_with_the_command_that_converts_it(tmp_path):
    module = torch.nn.Linear(2, 2)
    module.register_buffer("input_resolution", torch.tensor(224))
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 2)), tmp_path / "ViT-B-32.pt")
    with pytest.raises(
        ValueError, match=r"ViT-B-32.pt is a TorchScript archive, .*convert it once with `python -c"
    ) as error:
        models.load(tmp_path / "ViT-B-32.pt")
    # the command of the message works
    command = str(error.value).split("`")[1].removeprefix("python ")
    subprocess.run([sys.executable, *shlex.split(command)], check=True, capture_output=True)
    stored = read_weights(tmp_path / "ViT-B-32.weights.pt")
    assert stored.is_openai
    assert torch.equal(stored.tensors["weight"], module.weight)


def test_shapes_that_do_not_agree_are_an_error(tmp_path, golden):
    state = torch.load(golden / "model" / "tiny_clip.pt", weights_only=True)
    state["visual.proj"] = torch.zeros(64, 31)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=r"odd.pt is a checkpoint of another architecture.*visual.proj"):
        models.load(tmp_path / "odd.pt")


def test_a_truncated_file_and_a_file_without_tensors_are_errors(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:600])
    with pytest.raises(ValueError, match=r"cut.pt"):
        models.load(tmp_path / "cut.pt")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list.pt is not a state dict: wanted tensors by name, found list"):
        models.load(tmp_path / "list.pt")
    torch.save({"net": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"alone or under state_dict, model_state_dict, model; found .* net, epoch"):
        models.load(tmp_path / "other.pt")


def test_weights_wrapped_by_a_trainer_are_found(tmp_path, golden):
    state = torch.load(golden / "model" / "tiny_clip.pt", weights_only=True)
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "wrapped.pt")
    plain, unwrapped = models.load(golden / "model" / "tiny_clip.pt"), models.load(tmp_path / "wrapped.pt")
    assert models.fingerprint(plain) == models.fingerprint(unwrapped)


@pytest.fixture
def clip(clip_weights):
    return models.build("tiny-clip", pretrained=clip_weights, antialias=False, seed=0)


@pytest.mark.parametrize("grey_stem", [False, True])
def test_a_saved_file_has_chexzeros_layout_and_loads_again_to_the_bit(grey_stem, clip_weights, films, tmp_path):
    bundle = models.build("tiny-clip", pretrained=clip_weights, antialias=False, grey_stem=grey_stem, seed=0)
    bundle.model.logit_bias = torch.nn.Parameter(torch.tensor(-5.0))
    models.save_chexzero(bundle, tmp_path / "model.pt")
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    expected = openai_layout(patch=8, image=32, width=64, layers=2, embed=32, text_width=64, text_layers=2)
    assert {name: tensor.shape for name, tensor in stored.items()} == {n: t.shape for n, t in expected.items()}
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    again = models.load(f"chexzero:{tmp_path / 'model.pt'}")
    assert again.preprocessing == replace(bundle.preprocessing, channels=3)
    tokens = models.tokenize(["no edema"], bundle.tokenizer, context_length=77)
    assert torch.equal(models.encode_texts(again, tokens), models.encode_texts(bundle, tokens))
    tolerance = 1e-6 if grey_stem else 0
    pictures = models.encode_images(bundle, films)
    torch.testing.assert_close(models.encode_images(again, films), pictures, atol=tolerance, rtol=0)
    assert again.model.logit_scale == bundle.model.logit_scale


@pytest.mark.golden
def test_a_chexzero_file_comes_back_tensor_for_tensor(golden, tmp_path):
    models.save_chexzero(models.load(golden / "model" / "tiny_clip.pt"), tmp_path / "model.pt")
    stored, ours = (
        torch.load(path, weights_only=True) for path in (golden / "model" / "tiny_clip.pt", tmp_path / "model.pt")
    )
    assert set(ours) == set(stored)
    for name, tensor in stored.items():
        assert torch.equal(ours[name], tensor.float()), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"antialias": True}, r"antialias is True, not False \(--no_antialias\)"),
        ({"image_tower": "timm:test_vit"}, r"missing visual.conv1.weight"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused_with_the_reasons(options, message, tmp_path):
    bundle = models.build("tiny-clip", seed=0, **{"antialias": False, **options})
    with pytest.raises(ValueError, match=message):
        models.save_chexzero(bundle, tmp_path / "model.pt")
    assert not any(tmp_path.iterdir())


def test_another_activation_and_other_heads_are_refused_because_shapes_do_not_show_them(clip):
    other = {**clip.config, "quick_gelu": False, "vision_cfg": {**clip.config["vision_cfg"], "head_width": 32}}
    with pytest.raises(ValueError, match=r"vision head_width is 32, not 64; quick_gelu is False, not True"):
        refuse_other_than_chexzero(replace(clip, config=other))


def test_the_refusal_of_gelu_names_the_architectures_that_chexzeros_scripts_build(clip):
    other = replace(clip, config={**clip.config, "quick_gelu": False})
    with pytest.raises(
        ValueError, match=r"start from --model ViT-B-32-quickgelu, or from the network of .*--image_size 320"
    ):
        refuse_other_than_chexzero(other)
    # the two sets of flags describe CheXzero's two networks
    for name, image_size, embed_dim, shape in (
        ("ViT-B-32-quickgelu", 224, 512, PUBLISHED),
        ("ViT-B-16-quickgelu", 320, 768, RANDOM_INIT),
    ):
        config = architecture_config(name) | {"embed_dim": embed_dim}
        config["vision_cfg"]["image_size"] = image_size
        assert differences(config, config_from_shapes(openai_layout(**shape))) == []
