"""timm's towers, and DINOv2 of the Hugging Face hub in timm's form."""

import json

import pytest
import timm
import torch
import transformers
from torch.nn.functional import normalize

import models
from models.files import open_clip_weights as published
from models.towers import dinov2, image_towers


def noisy(network, seed=0):
    """Give a network weights and running statistics that nothing happens to be equal in."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.2 + (0.5 if "var" in name else -0.1))
    return network.eval()


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Put a timm network's weights where `hf download` would have been asked to put them."""
    monkeypatch.setattr(published, "WEIGHTS", tmp_path)

    def place(name):
        network = noisy(timm.create_model(name))
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
        network.reset_classifier(0)
        return network

    return place


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
def test_features_are_timms_own_behind_a_new_projection(name, place, clip_weights, films):
    network = place(name)
    bundle = models.build("tiny-clip", pretrained=clip_weights, image_tower=f"timm:{name}", seed=0)
    assert bundle.preprocessing.image_size == 160
    assert bundle.preprocessing.mean == bundle.preprocessing.std == (127.5,)
    seen = models.to_network_input(films, bundle.preprocessing)
    with torch.no_grad():
        expected = normalize(network(seen) @ bundle.model.visual.head.proj.weight.T, dim=-1)
    torch.testing.assert_close(models.encode_images(bundle, films), expected)
    kept = models.build("tiny-clip", pretrained=clip_weights, seed=0)
    tokens = models.tokenize(["edema"], bundle.tokenizer, context_length=77)
    assert torch.equal(models.encode_texts(bundle, tokens), models.encode_texts(kept, tokens))


def test_another_image_size_interpolates_positions_as_timm_does(place, clip_weights):
    network = place("test_vit")
    network.set_input_size(96)
    bundle = models.build("tiny-clip", pretrained=clip_weights, image_tower="timm:test_vit", image_size=96, seed=0)
    assert torch.equal(bundle.model.visual.trunk.pos_embed, network.pos_embed)
    assert bundle.preprocessing.image_size == 96


def test_a_random_transformer_has_positions_for_its_image_size_and_so_has_its_saved_copy(tmp_path):
    bundle = models.build("tiny-clip", image_tower="timm:test_vit", image_size=48, seed=0)
    models.save(bundle, tmp_path)
    for each in (bundle, models.load(tmp_path)):
        trunk = each.model.visual.trunk
        assert trunk.pos_embed.shape[1] == 3 * 3 + (0 if trunk.no_embed_class else trunk.num_prefix_tokens)


def tiny_dinov2(**options):
    torch.manual_seed(1)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28}
    return noisy(transformers.Dinov2Model(transformers.Dinov2Config(**(sizes | options))))


@pytest.mark.parametrize("published_names", [False, True])
def test_a_converted_dinov2_computes_what_transformers_computes(published_names):
    theirs = tiny_dinov2()
    state = theirs.state_dict()
    if published_names:
        old = {
            "q_proj": "attention.query",
            "k_proj": "attention.key",
            "v_proj": "attention.value",
            "o_proj": "output.dense",
        }
        for new, name in old.items():
            state = {key.replace(f"attention.{new}", f"attention.{name}"): tensor for key, tensor in state.items()}
    ours = timm.models.VisionTransformer(
        img_size=28, patch_size=14, embed_dim=24, depth=2, num_heads=2, init_values=1.0, num_classes=0
    ).eval()
    ours.load_state_dict(dinov2.to_timm(state), strict=True)
    pictures = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), theirs(pictures).pooler_output, atol=1e-5, rtol=0)


@pytest.fixture
def rad_dino(tmp_path):
    network = tiny_dinov2(hidden_size=384, num_hidden_layers=12, num_attention_heads=6)
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.53] * 3, "image_std": [0.26] * 3}))
    return tmp_path, network


def test_a_dinov2_folder_is_an_image_tower_with_its_own_statistics(rad_dino, clip_weights, films):
    folder, network = rad_dino
    bundle = models.build("tiny-clip", pretrained=clip_weights, image_tower=str(folder), seed=0)
    assert bundle.preprocessing.image_size == 28
    assert bundle.preprocessing.mean == pytest.approx((0.53 * 255,))
    assert bundle.preprocessing.std == pytest.approx((0.26 * 255,))
    with torch.no_grad():
        pooled = network(models.to_network_input(films, bundle.preprocessing)).pooler_output
        expected = normalize(pooled @ bundle.model.visual.head.proj.weight.T, dim=-1)
    torch.testing.assert_close(models.encode_images(bundle, films), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("num_attention_heads", 12, 6), ("hidden_act", "relu", "gelu"), ("layer_norm_eps", 1e-5, 1e-6)],
)
def test_a_dinov2_whose_weights_do_not_show_that_it_is_another_network_is_refused(option, value, expected, rad_dino):
    path = rad_dino[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {option: value}))
    with pytest.raises(ValueError, match=rf"{option} is {value}; timm's vit_small_patch14_dinov2 has {expected}"):
        image_towers.find_image_tower(str(rad_dino[0]), image_size=None)


def test_without_a_processors_statistics_imagenets_count_and_are_noted(rad_dino, capsys):
    (rad_dino[0] / "preprocessor_config.json").unlink()
    tower = image_towers.find_image_tower(str(rad_dino[0]), image_size=None)
    assert tower.mean == pytest.approx((255 * (0.485 + 0.456 + 0.406) / 3,))
    assert "does not state image_mean and image_std in preprocessor_config.json: taken are ImageNet's" in (
        capsys.readouterr().err
    )


def test_without_pretrained_weights_the_joint_space_may_have_any_width(films):
    bundle = models.build("tiny-clip", image_tower="timm:test_resnet", embed_dim=8, seed=0)
    assert models.encode_images(bundle, films).shape == (5, 8)
    assert models.encode_texts(bundle, torch.zeros(1, 77, dtype=torch.int64)).shape == (1, 8)


def test_weights_that_cannot_be_downloaded_say_what_to_fetch_and_where_to_put_it(clip_weights):
    with pytest.raises(
        FileNotFoundError, match=r"hf download timm/test_vit.r160_in1k(.|\n)*weights/test_vit.safetensors"
    ):
        models.build("tiny-clip", pretrained=clip_weights, image_tower="timm:test_vit", seed=0)


def test_placed_weights_of_another_architecture_are_an_error(place, clip_weights, tmp_path):
    place("test_resnet")
    (tmp_path / "test_resnet.pt").rename(tmp_path / "test_vit.pt")
    with pytest.raises(ValueError, match=r"test_vit.pt holds weights of another architecture than test_vit"):
        models.build("tiny-clip", pretrained=clip_weights, image_tower="timm:test_vit", seed=0)


@pytest.mark.parametrize(
    ("tower", "message"),
    [
        ("timm:mobilenetv3_small_050", "has a layer of 1024 behind its pooling of 288, which .* take another network"),
        ("timm:test_mambaout", "has a layer of 256 behind its pooling of 64"),
        ("timm:convnxt_tiny", r"'convnxt_tiny' is unknown to timm .*known: "),
        ("convnext_tiny", r"none of timm:NAME, hf:OWNER/NAME and a folder"),
    ],
)
def test_an_unknown_tower_is_an_error_that_says_what_can_be_given(tower, message):
    with pytest.raises(ValueError, match=message):
        models.build("tiny-clip", image_tower=tower, seed=0)


def test_another_hugging_face_network_is_refused_as_an_image_tower(bert, tmp_path):
    tiny_dinov2().save_pretrained(tmp_path)
    for folder, found in ((bert[0], "bert of width 16"), (tmp_path, "dinov2 of width 24")):
        with pytest.raises(ValueError, match=rf"is a {found}; wanted a dinov2 .*width 384, 768, 1024.*timm:NAME"):
            models.build("tiny-clip", image_tower=str(folder), seed=0)
