"""Features of places and gradients at them: identities, networks computed by hand, finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

import models
from models import places
from models.places import relevance

TOWERS = {
    "average": {"name": "toy", "image_size": 96},
    "average of tokens": {"name": "tiny-clip"},
    "attention": {"name": "phantom-tiny", "image_size": 96},
    "class token": {"name": "tiny-clip"},
    "class token of timm": {"name": "tiny-clip", "image_tower": "timm:test_vit", "image_size": 64},
}
"""By their last pooling."""


def tower(kind, **options):
    """A random tower in which every path carries something."""
    bundle = models.build(seed=0, **(TOWERS[kind] | options))
    if kind == "average of tokens":
        bundle.model.visual.pool_type = "avg"
    generator = torch.Generator().manual_seed(5)
    for parameter in bundle.model.visual.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    bundle.model.eval()
    return bundle


@pytest.fixture(scope="module", params=list(TOWERS))
def bundle(request):
    return tower(request.param)


def pooled(bundle, films):
    """The tower's own output, before its norm is set to 1."""
    with torch.no_grad():
        return bundle.model.encode_image(models.to_network_input(films, bundle.preprocessing))


@pytest.mark.parametrize(("kind", "side"), [("average", 3), ("average of tokens", 4)])
def test_behind_an_average_pool_the_mean_over_places_is_the_image(kind, side, films):
    bundle = tower(kind)
    found = models.encode_places(bundle, films)
    assert found.shape[2:] == (side, side)
    torch.testing.assert_close(found.mean(dim=(2, 3)), pooled(bundle, films))


def test_an_attention_pool_that_looks_everywhere_alike_returns_the_mean_over_places(films):
    bundle = tower("attention", image_size=64)
    pool = bundle.model.visual.attnpool
    with torch.no_grad():
        pool.q_proj.weight.zero_()
        pool.q_proj.bias.zero_()
        # it also attends to the mean, which then is a place like the average one
        pool.positional_embedding[0] = pool.positional_embedding[1:].mean(dim=0)
    found = models.encode_places(bundle, films)
    assert found.shape[2:] == (2, 2)
    torch.testing.assert_close(found.mean(dim=(2, 3)), pooled(bundle, films), atol=1e-4, rtol=1e-4)


def test_with_a_class_token_a_place_is_its_value_through_the_rest_of_the_network(films):
    bundle = tower("class token")
    visual = bundle.model.visual
    *blocks, last = visual.transformer.resblocks
    with torch.no_grad():
        tokens = visual._embeds(models.to_network_input(films, bundle.preprocessing))
        for block in blocks:
            tokens = block(tokens)
        value = torch.nn.functional.linear(
            last.ln_1(tokens), last.attn.in_proj_weight.chunk(3)[2], last.attn.in_proj_bias.chunk(3)[2]
        )
        tokens = tokens + last.attn.out_proj(value)
        tokens = tokens + last.mlp(last.ln_2(tokens))
        expected = visual.ln_post(tokens)[:, 1:] @ visual.proj
    found = models.encode_places(bundle, films)
    assert found.shape == (5, 32, 4, 4)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, atol=1e-4, rtol=1e-4)


def test_the_same_holds_for_timms_vision_transformer(films):
    bundle = tower("class token of timm")
    trunk, head = bundle.model.visual.trunk, bundle.model.visual.head
    last = trunk.blocks[-1]
    seen = []
    handle = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pooled(bundle, films)
    handle.remove()
    with torch.no_grad():
        tokens = seen[0]
        value = last.attn.qkv(last.norm1(tokens)).chunk(3, dim=-1)[2]
        tokens = tokens + last.ls1(last.attn.proj(value))
        tokens = tokens + last.ls2(last.mlp(last.norm2(tokens)))
        expected = head(trunk.fc_norm(trunk.norm(tokens)[:, trunk.num_prefix_tokens :]))
    found = models.encode_places(bundle, films)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit2", "test_vit3"])
def test_other_pools_of_timm_see_a_picture_of_one_place(name, films):
    """A map with a norm behind the pool; tokens that are averaged, and tokens behind an attention pool."""
    bundle = models.build("tiny-clip", image_tower=f"timm:{name}", seed=0)
    bundle.model.eval()
    found = models.encode_places(bundle, films[:1])
    side = found.shape[-1]
    trunk, head = bundle.model.visual.trunk, bundle.model.visual.head
    with torch.no_grad():
        seen = trunk.forward_features(models.to_network_input(films[:1], bundle.preprocessing))
        if seen.ndim == 3:
            place = seen[:, trunk.num_prefix_tokens + side + 2]  # second row, third column
            everywhere = place.unsqueeze(1).expand_as(seen)
        else:
            everywhere = seen[:, :, 1:2, 2:3].expand_as(seen)
        expected = head(trunk.forward_head(everywhere))
    torch.testing.assert_close(found[:, :, 1, 2], expected, atol=1e-5, rtol=1e-4)


def test_channels_may_come_last_as_in_swin(films):
    bundle = tower("average")
    score = cosines(bundle)
    expected = models.encode_places(bundle, films), relevance(bundle, films, score)
    trunk = bundle.model.visual.trunk
    features, head = trunk.forward_features, trunk.forward_head
    trunk.output_fmt = "NHWC"
    trunk.forward_features = lambda x: features(x).permute(0, 2, 3, 1)
    trunk.forward_head = lambda x: head(x.permute(0, 3, 1, 2))
    found = models.encode_places(bundle, films), relevance(bundle, films, score)
    torch.testing.assert_close(found, expected)


def cosines(bundle):
    """A score of two columns that is not linear in the features."""
    width = models.encode_images(bundle, torch.zeros(1, 32, 32, dtype=torch.uint8)).shape[1]
    texts = normalize(torch.randn(width, 3, generator=torch.Generator().manual_seed(1)), dim=0)

    def score(features):
        logits = 10 * features @ texts
        return torch.stack([logits[:, :2].logsumexp(dim=1) - logits[:, 2], logits[:, 1]], dim=1)

    return score


def module_of(bundle):
    visual = bundle.model.visual
    if hasattr(visual, "trunk"):
        return visual.trunk.blocks[-1].norm1 if hasattr(visual.trunk, "blocks") else visual.trunk.layer4
    if hasattr(visual, "layer4"):
        return visual.layer4
    return visual.ln_post if visual.pool_type == "avg" else visual.transformer.resblocks[-1].ln_1


def test_relevance_is_the_derivative_of_the_score_by_the_strength_of_a_place(bundle, films, monkeypatch):
    monkeypatch.setattr(places, "FEWEST_ROWS", 1)  # the last stage, behind which nothing has a kink
    score = cosines(bundle)
    maps = relevance(bundle, films, score)
    side = maps.shape[-1]

    def scored(row, column, gain):
        def strengthen(_module, _inputs, output):
            output = output.clone()
            if output.ndim == 4:
                output[:, :, row, column] *= gain
            else:
                prefix = output.shape[1] - side * side
                output[:, prefix + row * side + column] *= gain
            return output

        handle = module_of(bundle).register_forward_hook(strengthen)
        try:
            return score(models.encode_images(bundle, films))
        finally:
            handle.remove()

    step = 2e-2
    for row, column in ((0, 0), (side - 1, 0), (side // 2, side - 1)):
        slope = (scored(row, column, 1 + step) - scored(row, column, 1 - step)) / (2 * step)
        torch.testing.assert_close(maps[:, :, row, column], slope, atol=3e-3 * float(maps.abs().max()), rtol=0)
    assert float(maps.abs().max()) > 1e-2, "the places matter"


def test_looking_inside_leaves_no_trace(bundle, films):
    network_input = models.to_network_input(films, bundle.preprocessing)
    plain, before = models.image_features(bundle, network_input), models.encode_images(bundle, films)
    inside, leaf = places.features_and_places(bundle, network_input)
    assert torch.equal(inside, plain), "bit for bit"
    assert leaf.is_leaf
    bundle.model.train()
    relevance(bundle, films, cosines(bundle))
    models.encode_places(bundle, films)
    assert bundle.model.training, "the former mode comes back"
    bundle.model.eval()
    assert torch.equal(models.encode_images(bundle, films), before)
    assert all(parameter.grad is None for parameter in bundle.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in bundle.model.modules())


@pytest.mark.parametrize("kind", ["average", "average of tokens"])
def test_behind_an_average_pool_relevance_adds_up_to_nothing_because_scale_does_not_count(kind, films):
    bundle = tower(kind)
    maps = relevance(bundle, films, cosines(bundle))
    assert float(maps.abs().max()) > 1e-2
    torch.testing.assert_close(maps.sum(dim=(2, 3)), torch.zeros(5, 2), atol=1e-4, rtol=0)


def test_images_do_not_see_each_other(bundle, films):
    score = cosines(bundle)
    one_by_one = torch.cat([relevance(bundle, film[None], score) for film in films])
    torch.testing.assert_close(relevance(bundle, films, score), one_by_one, atol=1e-4, rtol=1e-3)


@given(st.integers(32, 150))
def test_what_a_resnet_leaves_over_gets_its_neighbours_value(side):
    n_places = side // 32
    small = torch.arange(n_places**2, dtype=torch.float32).reshape(1, 1, n_places, n_places)
    found = places._over_whole_image(small, side)
    assert found.shape[-1] * math.gcd(32, side) == side
    pixels = np.kron(small[0, 0], np.ones((32, 32)))
    rim = side - len(pixels)
    unit = side // found.shape[-1]
    assert np.array_equal(np.kron(found[0, 0], np.ones((unit, unit))), np.pad(pixels, (0, rim), mode="edge"))


def test_a_small_resnet_is_asked_where_it_still_has_seven_rows(films):
    bundle = tower("attention", image_size=112)
    assert relevance(bundle, films, cosines(bundle)).shape == (5, 2, 7, 7)
    assert models.encode_places(bundle, films).shape == (5, 128, 7, 7)


def coca():
    bundle = models.build("tiny-clip", seed=0)
    bundle.model.visual.attn_pool = torch.nn.Identity()
    return bundle


def other_block():
    bundle = models.build("tiny-clip", image_tower="timm:test_vit", seed=0)
    bundle.model.visual.trunk.blocks[-1] = torch.nn.Identity()
    return bundle


def other_tokens():
    bundle = models.build("toy", seed=0)
    trunk = bundle.model.visual.trunk
    trunk.forward_features = lambda x: torch.zeros(len(x), 5, 8)
    trunk.forward_head = lambda x: x[:, 0]
    bundle.model.visual.head = torch.nn.Identity()
    return bundle


@pytest.mark.parametrize("build", [coca, other_block, other_tokens])
def test_a_tower_that_pools_in_its_own_way_is_refused(build, films):
    bundle = build()
    for ask in (
        lambda: models.encode_places(bundle, films),
        lambda: relevance(bundle, films, lambda features: features),
    ):
        with pytest.raises(ValueError, match=r"heatmaps are for CLIP's image towers, timm's .* pools its tokens in"):
            ask()
