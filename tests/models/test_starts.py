"""A text tower that starts as a bag of words really is one."""

import pytest
import torch

import models
from models.architecture import start_as_bag_of_words

CONTEXT = 24


@pytest.fixture
def bundle():
    bundle = models.build("toy", seed=0)
    blocks = bundle.model.text.transformer.resblocks
    bundle.model.text.transformer.resblocks = blocks[:1]
    start_as_bag_of_words(bundle.model.text, seed=3)
    return bundle


def features(bundle, *texts):
    return models.encode_texts(bundle, models.tokenize(texts, bundle.tokenizer, context_length=CONTEXT))


def test_the_order_of_the_words_does_not_matter_and_the_words_do(bundle):
    one, other, third = features(bundle, "small left effusion", "effusion left small", "small right effusion")
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert (one - third).abs().max() > 1e-2


def test_texts_that_share_words_are_nearer_than_texts_that_share_none():
    # averaged over 20 starts: one random start of a tower 16 wide may be unlucky
    gaps = []
    for seed in range(20):
        bundle = models.build("toy", seed=seed)
        start_as_bag_of_words(bundle.model.text, seed=seed)
        left, right, heart = features(bundle, "small left effusion", "small right effusion", "heart size normal")
        gaps.append(float(left @ right - left @ heart))
    assert sum(gaps) / len(gaps) > 0.2


def test_the_start_depends_on_its_seed_and_leaves_the_global_generator_alone():
    towers = []
    for seed in (3, 3, 4):
        bundle = models.build("toy", seed=0)
        before = torch.get_rng_state()
        start_as_bag_of_words(bundle.model.text, seed=seed)
        assert torch.equal(before, torch.get_rng_state())
        towers.append(bundle.model.text.token_embedding.weight.detach())
    assert torch.equal(towers[0], towers[1])
    assert not torch.equal(towers[0], towers[2])


def test_attention_can_still_learn_to_prefer_words(bundle):
    tokens = models.tokenize(["small left effusion"], bundle.tokenizer, context_length=CONTEXT)
    models.text_features(bundle, tokens)[:, 0].sum().backward()
    _, keys, _ = bundle.model.text.transformer.resblocks[0].attn.in_proj_weight.grad.chunk(3)
    assert keys.abs().max() > 1e-6
