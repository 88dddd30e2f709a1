"""Scores of the reference implementation on its own tiny checkpoints."""

import json

import h5py
import numpy as np
import pytest
import torch

import models
from zero_shot import ensemble_models, image_features
from zero_shot.features import prompt_features
from zero_shot.images import as_images
from zero_shot.scoring import probabilities

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def reference(golden):
    folder = golden / "model"
    prompts = json.loads((folder / "prompts.json").read_text())
    expected = dict(np.load(folder / "expected.npz", allow_pickle=False))
    images = np.load(folder / "images.npz", allow_pickle=False)["images"]
    return folder, prompts["labels"], expected, images


@pytest.fixture(scope="module", params=["", "_2"])
def encoded(request, reference):
    """Features by each of the two checkpoints, of all 14 labels put literally into the reference's templates."""
    folder, labels, expected, images = reference
    bundle = models.load(folder / f"tiny_clip{request.param}.pt")
    seen = image_features(bundle, as_images(images), batch_size=5)
    positive = prompt_features(bundle, [(label,) for label in labels])
    negative = prompt_features(bundle, [(f"no {label}",) for label in labels])
    return request.param, bundle, seen, positive, negative, expected


def test_cosines_equal_the_reference(encoded):
    suffix, _, seen, positive, negative, expected = encoded
    np.testing.assert_allclose(seen @ positive.T, expected[f"cosine_positive{suffix}"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(seen @ negative.T, expected[f"cosine_negative{suffix}"], rtol=0, atol=1e-5)


def test_probabilities_equal_the_reference(encoded):
    suffix, _, seen, positive, negative, expected = encoded
    ours = probabilities(seen, positive, negative, scoring="chexzero")
    np.testing.assert_allclose(ours, expected[f"probabilities{suffix}"], rtol=0, atol=1e-6)


def test_temperature_scoring_is_the_softmax_of_the_scaled_reference_cosines(encoded):
    suffix, bundle, seen, positive, negative, expected = encoded
    scale = float(bundle.model.logit_scale.detach().exp())
    both = scale * np.stack([expected[f"cosine_{sign}{suffix}"].astype(float) for sign in ("positive", "negative")])
    softmax = np.exp(both[0]) / np.exp(both).sum(axis=0)
    ours = probabilities(seen, positive, negative, scoring="temperature", scale=scale)
    np.testing.assert_allclose(ours, softmax, rtol=0, atol=1e-4)


def test_single_prompt_scores_equal_the_reference(encoded):
    suffix, _, seen, positive, negative, expected = encoded
    if suffix == "":
        ours = probabilities(seen, positive, negative, scoring="single")
        np.testing.assert_allclose(ours, expected["single_prompt_scores"], rtol=0, atol=1e-5)


def test_averaged_templates_equal_the_reference(reference):
    folder, labels, expected, _ = reference
    bundle = models.load(folder / "tiny_clip.pt")
    phrases = [[str(template).replace("{}", label) for template in expected["averaged_templates"]] for label in labels]
    ours = prompt_features(bundle, phrases).T
    np.testing.assert_allclose(ours, expected["averaged_template_weights"], rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:'No Finding' is scored with phrases")
def test_ensemble_models_equals_the_reference_in_every_column_it_asks_the_same_for(reference, tmp_path):
    folder, labels, expected, images = reference
    with h5py.File(tmp_path / "cxr.h5", "w") as file:
        file.create_dataset("cxr", data=images.astype(np.float32))  # as CheXzero stores them
    paths = [folder / "tiny_clip_2.pt", folder / "tiny_clip.pt"]
    each, mean = ensemble_models(paths, tmp_path / "cxr.h5", labels, ("{}", "no {}"))
    same = np.array([label != "No Finding" for label in labels])
    np.testing.assert_allclose(each[0][:, same], expected["probabilities"][:, same], rtol=0, atol=1e-6)
    np.testing.assert_allclose(each[1][:, same], expected["probabilities_2"][:, same], rtol=0, atol=1e-6)
    np.testing.assert_allclose(mean[:, same], expected["ensemble_mean"][:, same], rtol=0, atol=1e-6)
    assert torch.from_numpy(mean).dtype == torch.float32
    assert mean.shape == (16, 14)
