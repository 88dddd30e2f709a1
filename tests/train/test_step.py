"""A step as a whole: what it starts from, what it compiles, what it says of held-out pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip.loss import SigLipLoss

import models
from cohort.image_reader import ArrayImages
from train.distributed import World
from train.input.augment import draw_changes
from train.input.batches import PairBatches, batches_from
from train.input.order import AUGMENTATION, DROPOUT, seed_of
from train.input.pairs import Pairs
from train.pair_validation import validation_loss
from train.step import ContrastiveStep, notes_of, prepare, training_input
from train.train_config import Augmentation, TrainConfig

N = 21


@pytest.fixture(scope="module")
def pairs():
    films = np.random.default_rng(0).integers(0, 255, (N, 32, 32)).astype(np.uint8)
    return Pairs(images=ArrayImages(films), rows=np.arange(N), texts=[f"Finding {chr(97 + i)}." for i in range(N)])


def settings(**fields):
    usual = {"model": "toy", "pretrained": None, "objective": "reports", "batch_size": 10, "precision": "fp32"}
    return TrainConfig(**(usual | {"device": "cpu"} | fields))


def start(config):
    bundle = models.build("toy", seed=0)
    prepare(bundle, config)
    bundle.model.train()
    return bundle


def test_the_sigmoid_form_gains_a_bias_and_the_softmax_form_has_none():
    bundle = start(settings(init_bias=-3.0, init_scale=20.0))
    assert bundle.model.logit_bias.item() == -3.0
    assert bundle.model.logit_scale.exp().item() == pytest.approx(20.0)
    assert getattr(start(settings(form="softmax")).model, "logit_bias", None) is None


def test_a_bias_that_the_model_brings_is_kept():
    bundle = start(settings(init_bias=-3.0))
    with pytest.raises(ValueError, match=r"--init_bias: wanted a model without a logit bias, found -3\.00"):
        prepare(bundle, settings(init_bias=-9.0))
    prepare(bundle, settings())
    assert bundle.model.logit_bias.item() == -3.0


def test_the_network_sees_the_batches_own_draws_and_its_mirrored_films(pairs, monkeypatch):
    config = settings(augment=Augmentation(shift=0.2, brightness=0.3, flip=0.5), accum_freq=2)
    bundle = start(config)
    batch = next(batches_from(3, PairBatches(pairs, bundle, config, World()), config))
    assert 0 < batch.is_mirrored.sum() < len(batch.images)
    seen = []
    encode = models.image_features
    monkeypatch.setattr("train.step.image_features", lambda own, films: seen.append(films) or encode(own, films))
    ContrastiveStep(bundle, config, World())(batch)
    generator = torch.Generator().manual_seed(seed_of(config.seed, AUGMENTATION, 3))
    changes = draw_changes(len(batch.images), config.augment, generator=generator)
    films = torch.where(batch.is_mirrored.view(-1, 1, 1), batch.images.flip(2), batch.images)
    # once to know the features, once to know the gradient
    torch.testing.assert_close(torch.cat(seen), training_input(films, bundle.preprocessing, changes).repeat(2, 1, 1, 1))


def test_both_towers_are_compiled_where_asked_for_and_the_step_is_the_same(pairs, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function.func.__name__) or function)
    losses = []
    for config in (settings(), settings(compile=True)):
        bundle = start(config)
        batch = next(batches_from(0, PairBatches(pairs, bundle, config, World()), config))
        losses.append(float(ContrastiveStep(bundle, config, World())(batch)))
    assert compiled == ["image_features", "text_features"]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("parts", [1, 2])
def test_validation_loss_is_the_mean_over_the_batches_in_evaluation_mode(pairs, parts):
    config = settings(accum_freq=parts, augment=Augmentation(shift=0.3, flip=0.5))
    bundle = start(config)
    before = models.fingerprint(bundle)
    found = validation_loss(bundle, pairs, config)
    assert bundle.model.training
    assert models.fingerprint(bundle) == before
    plain = replace(config, augment=Augmentation())
    losses = []
    for batch in PairBatches(pairs, bundle, plain, World()).epoch():
        texts = models.encode_texts(bundle, batch.tokens)[batch.targets.argmax(dim=1)]
        scale, bias = bundle.model.logit_scale.detach().exp(), bundle.model.logit_bias.detach()
        losses.append(float(SigLipLoss()(models.encode_images(bundle, batch.images), texts, scale, bias)))
    assert len(losses) == 3
    assert found == pytest.approx(np.mean(losses), abs=1e-5)
    assert validation_loss(bundle, pairs, config) == found


def test_fewer_held_out_pairs_than_a_batch_are_one_batch(pairs):
    config = settings(batch_size=16, accum_freq=8)
    few = Pairs(images=pairs.images, rows=pairs.rows[:5], texts=pairs.texts[:5])
    bundle = start(replace(config, form="softmax", init_scale=1e-6))
    # features count for nothing: the right one of 5 has probability 1/5
    assert validation_loss(bundle, few, replace(config, form="softmax")) == pytest.approx(math.log(5), abs=1e-4)


def test_batch_norm_in_parts_is_noted_and_nothing_else_is():
    bundle = start(settings())
    assert notes_of(bundle, settings(), World()) == ()
    assert "1 of 4 parts of a batch" in notes_of(bundle, settings(accum_freq=2), World(0, 2))[0].replace("one", "1")
    bundle.model.visual = torch.nn.Identity()
    assert notes_of(bundle, settings(accum_freq=2), World()) == ()


def test_seeds_of_purposes_places_and_runs_differ_and_are_repeatable():
    places = [(seed, purpose, step) for seed in (0, 1) for purpose in (AUGMENTATION, DROPOUT) for step in range(100)]
    seeds = [seed_of(*place) for place in places]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [seed_of(*place) for place in places]
    assert all(0 <= seed < 2**63 for seed in seeds)
