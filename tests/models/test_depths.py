"""How many layers are above a weight."""

import pytest
import torch
from timm.optim import param_groups_layer_decay

import models
from models.depths import layer_depths

NAMES = ["tiny-clip", "phantom-tiny", "timm:test_vit", "timm:test_resnet", "timm:test_convnext"]


def build(kind):
    tower = kind if kind.startswith("timm:") else None
    return models.build("tiny-clip" if tower else kind, image_tower=tower, image_size=32, seed=0)


@pytest.mark.parametrize("kind", NAMES)
def test_every_parameter_has_a_depth_and_both_ends_are_where_they_belong(kind):
    bundle = build(kind)
    depths = layer_depths(bundle)
    assert set(depths) == {name for name, _ in bundle.model.named_parameters()}
    assert depths["logit_scale"] == depths["text.text_projection"] == depths["text.ln_final.weight"] == 0
    assert depths["text.token_embedding.weight"] == depths["text.positional_embedding"]
    visual = {name: depth for name, depth in depths.items() if name.startswith("visual.")}
    assert sorted(set(visual.values())) == list(range(max(visual.values()) + 1))
    first = next(name for name in visual if "conv1" in name or "patch_embed" in name or "stem" in name)
    assert visual[first] == max(visual.values())


def test_clips_transformers_count_their_blocks_from_above():
    depths = layer_depths(build("tiny-clip"))
    for tower in ("visual", "text"):
        assert depths[f"{tower}.transformer.resblocks.1.mlp.c_fc.weight"] == 1
        assert depths[f"{tower}.transformer.resblocks.0.ln_1.bias"] == 2
        assert depths[f"{tower}.positional_embedding"] == 3
    assert depths["visual.class_embedding"] == depths["visual.conv1.weight"] == depths["visual.ln_pre.weight"] == 3
    assert depths["visual.proj"] == depths["visual.ln_post.weight"] == 0


@pytest.mark.parametrize("kind", ["timm:test_vit", "timm:test_resnet", "timm:test_convnext"])
def test_a_timm_towers_rates_are_timms_own_one_projection_further_down(kind):
    bundle = build(kind)
    trunk = bundle.model.visual.trunk
    depths = layer_depths(bundle)
    rates = {}
    for group in param_groups_layer_decay(trunk, weight_decay=0.0, layer_decay=0.5):
        rates |= {id(parameter): group["lr_scale"] for parameter in group["params"]}
    highest = max(rates.values())
    for name, parameter in trunk.named_parameters():
        assert 0.5 ** (depths[f"visual.trunk.{name}"] - 1) == pytest.approx(rates[id(parameter)] / highest), name
    assert depths["visual.head.proj.weight"] == 0


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_an_encoder_of_the_hub_counts_its_blocks_from_above(kind, write_bert, tmp_path):
    write_bert(tmp_path, kind)
    depths = layer_depths(models.build("tiny-clip", text_tower=str(tmp_path), seed=0))
    assert depths["text.proj.weight"] == 0
    below = {name: depth for name, depth in depths.items() if name.startswith("text.transformer.")}
    assert {depth for name, depth in below.items() if "embeddings" in name} == {3}
    assert {depth for name, depth in below.items() if ".0." in name} == {2}
    assert {depth for name, depth in below.items() if ".1." in name} == {1}


def test_the_rates_reach_the_weights_they_are_meant_for():
    bundle = build("tiny-clip")
    depths = layer_depths(bundle)
    named = dict(bundle.model.named_parameters())
    groups = [{"params": [named[name]], "lr": 0.5**depth} for name, depth in depths.items()]
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(groups, lr=1.0).step()
    moved = (before["visual.conv1.weight"] - named["visual.conv1.weight"].detach()).mean().item()
    assert moved == pytest.approx(0.5**3, rel=1e-4)
