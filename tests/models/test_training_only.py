"""Frozen towers, patches left out, activations computed again."""

import copy

import pytest
import torch

import models
from models.training_only import checkpoint_activations, drop_patches, freeze

CLIP, RESNET, VIT = "tiny-clip", "timm:test_resnet", "timm:test_vit"


def build(kind, **options):
    tower = kind if kind.startswith("timm:") else None
    name = "tiny-clip" if tower else kind
    return models.build(name, image_tower=tower, image_size=32, seed=0, **options)


def learn(bundle, films, tokens):
    """Take one step of gradient descent on everything that may learn."""
    bundle.model.train()
    images = models.image_features(bundle, models.to_network_input(films, bundle.preprocessing))
    texts = models.text_features(bundle, tokens)
    (bundle.model.logit_scale.exp() * images[:3] @ texts.T).square().mean().backward()
    torch.optim.SGD([p for p in bundle.model.parameters() if p.requires_grad], lr=0.1).step()


def changed(bundle, before):
    state = bundle.model.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, state[name])}


def tokens_of(bundle):
    texts = ["no edema", "small left effusion", "edema"]
    return models.tokenize(texts, bundle.tokenizer, context_length=bundle.context_length)


@pytest.mark.parametrize("duplicate", [False, True])
@pytest.mark.parametrize(
    ("kind", "tower", "still_learning"),
    [
        (CLIP, "image", ("text.", "logit_scale")),
        (CLIP, "text", ("visual.", "logit_scale")),
        (RESNET, "image", ("text.", "logit_scale", "visual.head.proj")),
        ("phantom-tiny", "image", ("text.", "logit_scale")),
    ],
)
def test_a_frozen_tower_keeps_weights_and_statistics_and_the_rest_learns(kind, tower, still_learning, duplicate, films):
    bundle = build(kind)
    freeze(bundle, tower)
    if duplicate:
        # as the moving average of the weights has it
        bundle = copy.deepcopy(bundle)
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    learn(bundle, films, tokens_of(bundle))
    moved = changed(bundle, before)
    assert moved
    assert all(name.startswith(still_learning) for name in moved)
    for prefix in still_learning:
        assert any(name.startswith(prefix) for name in moved), prefix


def test_a_frozen_encoder_of_the_hub_has_no_dropout_and_its_projection_learns(bert, films):
    bundle = models.build("tiny-clip", text_tower=str(bert[0]), seed=0)
    tokens = tokens_of(bundle)
    bundle.model.train()
    assert not torch.equal(models.text_features(bundle, tokens), models.text_features(bundle, tokens))
    freeze(bundle, "text")
    bundle.model.train()
    assert torch.equal(models.text_features(bundle, tokens), models.text_features(bundle, tokens))
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    learn(bundle, films, tokens)
    assert {name for name in changed(bundle, before) if name.startswith("text.")} == {"text.proj.weight"}


@pytest.mark.parametrize("kind", [CLIP, VIT])
def test_patches_are_left_out_in_training_only(kind, films):
    bundle = build(kind)
    everything = models.encode_images(bundle, films)
    drop_patches(bundle, 0.5)
    assert torch.equal(models.encode_images(bundle, films), everything)
    seen = models.to_network_input(films, bundle.preprocessing)
    lengths = []
    blocks = bundle.model.visual.transformer.resblocks if kind == CLIP else bundle.model.visual.trunk.blocks
    blocks[0].register_forward_hook(lambda _module, inputs, _output: lengths.append(inputs[0].shape[1]))
    bundle.model.train()
    first, second = (models.image_features(bundle, seen) for _ in range(2))
    bundle.model.eval()
    models.image_features(bundle, seen)
    n_patches = 16 if kind == CLIP else 4
    prefix = lengths[2] - n_patches
    assert prefix >= 1
    assert lengths[:2] == [prefix + n_patches // 2] * 2
    assert not torch.equal(first, second)


def test_patches_of_a_convolutional_network_cannot_be_left_out():
    with pytest.raises(ValueError, match="patch_dropout is for vision transformers, found ResNet"):
        drop_patches(build(RESNET), 0.5)


def step(bundle, films, tokens):
    """Return gradients of a loss over both towers, and how many bytes were kept for the backward pass."""
    kept = 0

    def weigh(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    bundle.model.train()
    torch.manual_seed(0)
    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        images = models.image_features(bundle, models.to_network_input(films, bundle.preprocessing))
        loss = images.square()[:, 0].sum() + models.text_features(bundle, tokens)[:, 0].square().sum()
    at_the_end = kept
    loss.backward()
    return [p.grad.clone() for p in bundle.model.parameters() if p.grad is not None], at_the_end


@pytest.mark.parametrize("kind", [CLIP, VIT, "bert"])
def test_activations_computed_again_give_the_same_gradients_from_less_memory(kind, films, bert):
    def fresh():
        return models.build("tiny-clip", text_tower=str(bert[0]), seed=0) if kind == "bert" else build(kind)

    tokens = tokens_of(fresh())
    plain, bytes_plain = step(fresh(), films, tokens)
    bundle = fresh()
    checkpoint_activations(bundle)
    again, bytes_again = step(bundle, films, tokens)
    assert len(again) == len(plain) > 0
    for ours, theirs in zip(again, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert bytes_again < 0.75 * bytes_plain


def test_the_text_tower_alone_keeps_less_too():
    bundle = build(CLIP)
    kept = []

    def bytes_kept():
        total = 0

        def weigh(tensor):
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            models.text_features(bundle, tokens_of(bundle))
        return total

    bundle.model.train()
    kept.append(bytes_kept())
    checkpoint_activations(bundle)
    kept.append(bytes_kept())
    assert kept[1] < kept[0]


def test_a_tower_that_cannot_compute_activations_again_is_named():
    with pytest.raises(ValueError, match="open_clip's ResNets cannot"):
        checkpoint_activations(build("phantom-tiny"))


def test_nothing_of_it_is_saved(films, tmp_path):
    bundle = build(CLIP)
    plain = models.fingerprint(bundle)
    drop_patches(bundle, 0.5)
    checkpoint_activations(bundle)
    freeze(bundle, "image")
    models.save(bundle, tmp_path)
    again = models.load(tmp_path)
    assert models.fingerprint(again) == plain
    assert all(parameter.requires_grad for parameter in again.model.parameters())
    again.model.train()
    seen = models.to_network_input(films, again.preprocessing)
    assert torch.equal(models.image_features(again, seen), models.image_features(again, seen))
