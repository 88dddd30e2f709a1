"""CheXzero's published numbers, met from its own checkpoints through open_clip."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import models
from models.network_input import CHEXZERO, to_network_input

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def expected(golden):
    return np.load(golden / "model" / "expected.npz", allow_pickle=False)


@pytest.fixture(scope="module")
def images(golden):
    return torch.from_numpy(np.load(golden / "model" / "images.npz", allow_pickle=False)["images"])


@pytest.fixture(scope="module")
def prompts(golden):
    return json.loads((golden / "model" / "prompts.json").read_text())


@pytest.fixture(scope="module", params=["", "_2"])
def checkpoint(request, golden):
    return models.load(golden / "model" / f"tiny_clip{request.param}.pt"), request.param


def features(bundle, images, texts):
    tokens = models.tokenize(texts, bundle.tokenizer, context_length=77)
    with torch.no_grad():
        return (
            bundle.model.encode_image(to_network_input(images, bundle.preprocessing)),
            bundle.model.encode_text(tokens),
        )


def within(actual, wanted, tolerance):
    difference = np.abs(np.asarray(actual, dtype=np.float64) - wanted).max()
    assert difference <= tolerance, difference


def test_the_network_input_is_that_of_the_reference(expected, images):
    chosen = images[torch.from_numpy(expected["network_input_index"].astype(np.int64))]
    ours = to_network_input(chosen, CHEXZERO)
    within(ours[:, 0], expected["network_input"], 1e-5)
    assert torch.equal(ours[:, 0], ours[:, 1])
    assert torch.equal(ours[:, 0], ours[:, 2])


def test_antialiasing_would_not_meet_the_reference(expected, images):
    chosen = images[torch.from_numpy(expected["network_input_index"].astype(np.int64))]
    smooth = models.Preprocessing(image_size=224, antialias=True)
    assert np.abs(to_network_input(chosen, smooth)[:, 0].numpy() - expected["network_input"]).max() > 0.1


def test_features_and_cosines_of_both_towers_are_those_of_the_reference(checkpoint, expected, images, prompts):
    bundle, suffix = checkpoint
    for word, template in (("positive", "{}"), ("negative", "no {}")):
        image, text = features(bundle, images, [template.format(label) for label in prompts["labels"]])
        within(image, expected[f"image_features{suffix}"], 5e-5)
        within(text, expected[f"text_features_{word}{suffix}"], 5e-5)
        within(normalize(image, dim=-1) @ normalize(text, dim=-1).T, expected[f"cosine_{word}{suffix}"], 1e-5)


def test_encoders_return_the_same_features_normalised_and_in_float32(checkpoint, expected, images, prompts):
    bundle, suffix = checkpoint
    tokens = models.tokenize(prompts["labels"], bundle.tokenizer, context_length=77)
    cosine = models.encode_images(bundle, images) @ models.encode_texts(bundle, tokens).T
    assert cosine.dtype == torch.float32
    within(cosine, expected[f"cosine_positive{suffix}"], 1e-5)


def test_pair_logits_with_the_logit_scale_are_those_of_the_reference(golden, expected, images):
    bundle = models.load(golden / "model" / "tiny_clip.pt")
    image, text = features(bundle, images, [str(text) for text in expected["pair_texts"]])
    scale = bundle.model.logit_scale.exp().item()
    logits = scale * normalize(image, dim=-1) @ normalize(text, dim=-1).T
    within(logits, expected["pair_logits_per_image"], 1e-3)
    within(logits.T, expected["pair_logits_per_text"], 1e-3)
