"""Many prompts on encoded images: the same numbers as scoring gives, in chunks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zero_shot import image_features, load_prompts, score
from zero_shot.features import logit_scale, prompt_features
from zero_shot.images import as_images
from zero_shot.wording.rescoring import margins, rescore


def unit(n, seed, d=8):
    return torch.nn.functional.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)


@given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 1000))
def test_margins_are_differences_of_cosines_whatever_the_chunk(chunk, k, seed):
    images, positive, negative = unit(5, seed), unit(k, seed + 1), unit(k, seed + 2)
    expected = (images.double() @ positive.double().T - images.double() @ negative.double().T).numpy()
    ours = rescore(images, positive, negative, chunk=chunk)
    assert (ours.shape, ours.dtype) == ((5, k), np.float32)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    seen = np.zeros((5, k))
    for part, found in margins(images, positive, negative, chunk=chunk):
        assert len(found) <= chunk
        seen[:, part] += found.numpy().T
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scoring", ["temperature", "chexzero"])
def test_with_a_scale_they_are_the_probabilities_of_scoring(scoring, bundle):
    prompts = load_prompts("radiologist")
    pixels = np.random.default_rng(0).integers(1, 255, (6, 64, 64), dtype=np.uint8)
    sides = [[getattr(pair, side) for pair in prompts.pairs.values()] for side in ("positive", "negative")]
    encoded = image_features(bundle, as_images(pixels)), *(prompt_features(bundle, side) for side in sides)
    ours = rescore(*encoded, scale=logit_scale(bundle) if scoring == "temperature" else 1.0, chunk=5)
    np.testing.assert_allclose(ours, score(bundle, pixels, prompts, scoring=scoring), rtol=0, atol=1e-5)


def test_prompts_of_another_model_and_unequal_sides_are_refused():
    unchecked = rescore.__wrapped__  # callers outside the tests have no run-time check of shapes
    with pytest.raises(ValueError, match=r"found \(3, 8\) and \(3, 8\) for images of \(5, 16\): are they of one model"):
        unchecked(torch.zeros(5, 16), unit(3, 0), unit(3, 1))
    with pytest.raises(ValueError, match=r"found \(3, 8\) and \(2, 8\)"):
        unchecked(unit(5, 0), unit(3, 0), unit(2, 1))
