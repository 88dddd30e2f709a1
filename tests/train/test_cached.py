"""A batch computed in parts has the whole batch's gradient, whatever is random in the towers."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import models
from cohort.image_reader import ArrayImages
from train.distributed import World, share_of
from train.input.batches import PairBatches, batches_from
from train.input.pairs import Pairs
from train.step import ContrastiveStep, prepare
from train.train_config import Augmentation, TrainConfig

B = 13
REPORTS = {"objective": "reports", "device": "cpu", "precision": "fp32", "pretrained": None, "batch_size": B}


@pytest.fixture(scope="module", autouse=True)
def _transformer():
    runpy.run_path(str(Path(__file__).with_name("small_runs.py")))["register_transformer"]()


@pytest.fixture(scope="module")
def pairs():
    films = np.random.default_rng(0).integers(0, 255, (B, 32, 32)).astype(np.uint8)
    texts = [f"Finding {chr(97 + i)}. {'Edema. ' * (i % 3)}" for i in range(B)]
    return Pairs(images=ArrayImages(films), rows=np.arange(B), texts=texts)


def start(name, config, *, dropout=0.0):
    bundle = models.build(name, seed=0)
    prepare(bundle, config)
    if dropout:
        for tower, last in ((bundle.model.visual, "ln_post"), (bundle.model.text, "ln_final")):
            setattr(tower, last, nn.Sequential(getattr(tower, last), nn.Dropout(dropout)))
    bundle.model.train()
    return bundle


def gradients(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def ours(bundle, pairs, config, *, seed=7, scaler=None):
    batch = next(batches_from(0, PairBatches(pairs, bundle, config, World()), config))
    step = ContrastiveStep(bundle, config, World(), scaler)
    torch.manual_seed(seed)
    loss = step(batch)
    return float(loss), gradients(bundle.model), batch


def by_autograd(bundle, batch, config, *, seed=7):
    """One graph over all parts, and open_clip's loss."""
    parts = [share_of(B, index=i, size=config.accum_freq) for i in range(config.accum_freq)]
    torch.manual_seed(seed)
    images, texts = [], []
    # the same kernel as ours: another one alone is worth 1e-6
    with sdpa_kernel(SDPBackend.MATH):
        for part in parts:
            films = models.to_network_input(batch.images[part], bundle.preprocessing)
            images.append(models.image_features(bundle, films))
            texts.append(models.text_features(bundle, batch.tokens[part]))
    # columns are sorted: bring each image's own to its place; float64, to add no rounding of its own
    films, own = torch.cat(images).double(), torch.cat(texts).double()[batch.targets.argmax(dim=1)]
    model, scale = bundle.model, bundle.model.logit_scale.double().exp()
    loss = (
        ClipLoss()(films, own, scale) if config.form == "softmax" else SigLipLoss()(films, own, scale, model.logit_bias)
    )
    model.zero_grad()
    loss.backward()
    return loss.item(), gradients(model)


def assert_equal(one, other):
    """The whole gradient to 1e-6, and that of every tensor nearly so."""
    assert one.keys() == other.keys()
    differences = {name: (value - other[name]).norm() for name, value in one.items()}
    whole = torch.stack([value.norm() for value in one.values()]).norm()
    assert torch.stack(list(differences.values())).norm() / whole <= 1e-6
    for name, value in one.items():
        assert differences[name] / value.norm().clamp_min(1e-2) <= 1e-5, name


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_the_gradient_is_that_of_one_graph_over_all_parts_dropout_included(pairs, form, parts):
    config = TrainConfig(model="toy-vit", form=form, accum_freq=parts, init_scale=10.0, **REPORTS)
    bundle = start("toy-vit", config, dropout=0.3)
    loss, found, batch = ours(bundle, pairs, config)
    wanted_loss, wanted = by_autograd(bundle, batch, config)
    assert loss == pytest.approx(wanted_loss, abs=1e-6)
    assert_equal(wanted, found)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_without_dropout_the_parts_do_not_matter(pairs, form):
    more = {"augment": Augmentation(shift=0.1, rotation_degrees=5.0, contrast=0.2, flip=0.5)}
    found = []
    for parts in (1, 2, 4):
        config = TrainConfig(model="toy-vit", form=form, accum_freq=parts, init_scale=10.0, **REPORTS, **more)
        found.append(ours(start("toy-vit", config), pairs, config)[:2])
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], abs=1e-6)
        assert_equal(found[0][1], gradient)


@pytest.mark.parametrize("tower", ["visual", "text"])
def test_a_frozen_tower_gets_no_gradient_and_the_other_gets_its_own(pairs, tower):
    config = TrainConfig(model="toy-vit", accum_freq=3, **REPORTS)
    whole = ours(start("toy-vit", config), pairs, config)[1]
    bundle = start("toy-vit", config)
    getattr(bundle.model, tower).requires_grad_(False)
    found = ours(bundle, pairs, config)[1]
    assert not any(name.startswith(tower) for name in found)
    assert_equal({name: value for name, value in whole.items() if not name.startswith(tower)}, found)


def test_batch_norm_counts_each_part_once(pairs):
    config = TrainConfig(model="toy", accum_freq=3, **REPORTS)
    bundle = start("toy", config)
    oracle = start("toy", config)
    _, _, batch = ours(bundle, pairs, config)
    for index in range(3):
        part = batch.images[share_of(B, index=index, size=3)]
        models.image_features(oracle, models.to_network_input(part, oracle.preprocessing))
    buffers = dict(oracle.model.named_buffers())
    assert any(name.endswith("running_mean") for name in buffers)
    for name, value in bundle.model.named_buffers():
        assert torch.equal(value, buffers[name]), name


@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_come_scaled_where_there_is_a_scaler_and_the_loss_does_not(pairs, parts):
    config = TrainConfig(model="toy-vit", accum_freq=parts, **REPORTS)
    plain_loss, plain, _ = ours(start("toy-vit", config), pairs, config)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss, scaled, _ = ours(start("toy-vit", config), pairs, config, scaler=scaler)
    assert loss == plain_loss
    assert_equal(plain, {name: value / 1024 for name, value in scaled.items()})


def test_gradients_are_added_to_those_that_are_there(pairs):
    config = TrainConfig(model="toy-vit", accum_freq=2, **REPORTS)
    bundle = start("toy-vit", config)
    once = ours(bundle, pairs, config)[1]
    assert_equal({name: 2 * value for name, value in once.items()}, ours(bundle, pairs, config)[1])
