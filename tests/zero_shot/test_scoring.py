"""Scoring: closed forms, invariances and refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from cohort.image_reader import ArrayImages
from zero_shot import Images, PromptPair, PromptSet, image_features, load_prompts, score
from zero_shot import scoring as scoring_module
from zero_shot.features import Phrases, logit_scale, phrase_features, prompt_features
from zero_shot.images import as_images
from zero_shot.scoring import mixture_probabilities, probabilities, score_features

PROMPTS = load_prompts("radiologist").select(["Edema", "No Finding", "Support Devices"])


def unit(n, d, seed):
    return torch.nn.functional.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)


def pixels(n, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (n, 64, 64), dtype=np.uint8)


@given(st.integers(0, 1000), st.sampled_from([1.0, 14.3, 100.0]))
@settings(max_examples=25, deadline=None)
def test_pairs_are_softmaxed(seed, scale):
    images, positive, negative = (unit(k, 8, seed + j) for j, k in enumerate((5, 3, 3)))
    both = torch.stack([images @ positive.T, images @ negative.T]).double()
    ours = probabilities(images, positive, negative, scoring="temperature", scale=scale)
    np.testing.assert_allclose(ours, torch.softmax(scale * both, dim=0)[0], rtol=0, atol=1e-5)
    plain = probabilities(images, positive, negative, scoring="chexzero", scale=scale)
    np.testing.assert_allclose(plain, torch.softmax(both, dim=0)[0], rtol=0, atol=1e-6)


def test_a_huge_scale_does_not_overflow():
    image, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert probabilities(image, positive, -positive, scale=1e6).tolist() == [[1.0]]
    assert probabilities(image, -positive, positive, scale=1e6).tolist() == [[0.0]]


def test_exchanging_positive_and_negative_gives_the_complement():
    images, positive, negative = unit(6, 8, 0), unit(4, 8, 1), unit(4, 8, 2)
    there, back = (probabilities(images, *pair, scale=20.0) for pair in ((positive, negative), (negative, positive)))
    np.testing.assert_allclose(there + back, 1.0, rtol=0, atol=1e-6)


@given(st.integers(0, 1000), st.sampled_from([1.0, 14.3, 100.0]))
@settings(max_examples=25, deadline=None)
def test_a_mixture_is_the_share_of_the_mean_likelihoods_of_the_phrases(seed, scale):
    images, positive, negative = (unit(k, 8, seed + j) for j, k in enumerate((5, 4, 3)))
    of_positive, of_negative = [[0, 1, 3], [2]], [[0], [1, 2]]
    ours = mixture_probabilities(images, Phrases(positive, of_positive), Phrases(negative, of_negative), scale=scale)
    likelihoods = [np.exp(scale * (images.double() @ side.double().T).numpy()) for side in (positive, negative)]
    for finding, (own, others) in enumerate(zip(of_positive, of_negative, strict=True)):
        p, q = likelihoods[0][:, own].mean(axis=1), likelihoods[1][:, others].mean(axis=1)
        np.testing.assert_allclose(ours[:, finding], p / (p + q), rtol=0, atol=2e-5)


def test_with_one_phrase_on_each_side_a_mixture_is_the_softmax_over_the_pair():
    images, positive, negative = unit(6, 8, 0), unit(4, 8, 1), unit(4, 8, 2)
    rows = [[finding] for finding in range(4)]
    mixed = mixture_probabilities(images, Phrases(positive, rows), Phrases(negative, rows), scale=20.0)
    np.testing.assert_allclose(mixed, probabilities(images, positive, negative, scale=20.0), rtol=0, atol=1e-5)


def test_a_phrase_that_does_not_fit_cannot_hide_one_that_does():
    left, right, nothing = torch.eye(3).split(1)
    mean = torch.nn.functional.normalize(left + right, dim=-1)
    film = torch.nn.functional.normalize(left - right, dim=-1)
    mixed = mixture_probabilities(
        film, Phrases(torch.cat([left, right]), [[0, 1]]), Phrases(nothing, [[0]]), scale=20.0
    )
    assert mixed.item() > 0.99
    assert probabilities(film, mean, nothing, scale=20.0).item() == pytest.approx(0.5)


def test_the_default_scoring_is_the_mixture_of_the_prompt_set(bundle):
    encoded = image_features(bundle, as_images(pixels(5)))
    sides = [[getattr(pair, side) for pair in PROMPTS.pairs.values()] for side in ("positive", "negative")]
    positive, negative = (phrase_features(bundle, side) for side in sides)
    expected = mixture_probabilities(encoded, positive, negative, scale=logit_scale(bundle))
    np.testing.assert_allclose(score_features(bundle, encoded, PROMPTS), expected, rtol=0, atol=1e-6)


def test_single_standardises_over_the_findings_of_an_image():
    images, positive = unit(6, 8, 0), unit(4, 8, 1)
    cosines = (images @ positive.T).numpy()
    z = (cosines - cosines.mean(1, keepdims=True)) / cosines.std(1, keepdims=True)
    ours = probabilities(images, positive, positive, scoring="single")
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-z)), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        probabilities(images, positive[:1], positive[:1], scoring="single")


@given(st.integers(1, 13))
@settings(max_examples=6, deadline=None)
def test_batch_size_does_not_change_features(bundle, batch_size):
    images = as_images(pixels(13))
    whole = image_features(bundle, images, batch_size=13)
    np.testing.assert_allclose(image_features(bundle, images, batch_size=batch_size), whole, rtol=0, atol=2e-6)


def test_row_order_only_reorders_scores(bundle):
    order = np.random.default_rng(3).permutation(9)
    scores = score(bundle, pixels(9), PROMPTS)
    np.testing.assert_allclose(score(bundle, pixels(9)[order], PROMPTS), scores[order], rtol=0, atol=1e-5)
    assert scores.dtype == np.float32
    assert scores.shape == (9, 3)


def test_the_order_of_findings_only_reorders_columns(bundle):
    turned = PROMPTS.select(PROMPTS.findings[::-1])
    np.testing.assert_allclose(score(bundle, pixels(4), turned), score(bundle, pixels(4), PROMPTS)[:, ::-1], atol=1e-6)


def test_every_image_is_encoded_once_however_many_prompts(bundle, monkeypatch):
    seen = []
    encode = models.bundle.encode_images
    monkeypatch.setattr("models.encode_many.encode_images", lambda b, x: seen.append(len(x)) or encode(b, x))
    score(bundle, pixels(10), load_prompts("radiologist"), batch_size=4)
    assert seen == [4, 4, 2]


def test_prompt_features_average_normalised_phrases(bundle):
    phrases = ("edema", "mild pulmonary edema", "vascular congestion")
    alone = torch.cat([prompt_features(bundle, [(phrase,)]) for phrase in phrases])
    mean = alone.mean(dim=0)
    np.testing.assert_allclose(prompt_features(bundle, [phrases])[0], mean / mean.norm(), rtol=0, atol=1e-6)


def test_the_temperature_is_the_models_own(bundle):
    assert logit_scale(bundle) == pytest.approx(float(bundle.model.logit_scale.detach().exp()))
    chexzero = score(bundle, pixels(5), PROMPTS, scoring="chexzero").astype(float)
    scaled = score(bundle, pixels(5), PROMPTS, scoring="temperature").astype(float)
    logit = [np.log(p / (1 - p)) for p in (scaled, chexzero)]
    np.testing.assert_allclose(logit[0], logit[1] * logit_scale(bundle), rtol=0, atol=1e-4)


def test_a_prompt_longer_than_the_context_is_named(bundle):
    long = "edema " * 100
    prompts = PromptSet(name="long", pairs={"Edema": PromptPair(positive=(long,), negative=("no edema",))})
    with pytest.raises(ValueError, match=r"'edema edema .* does not fit into"):
        score(bundle, pixels(1), prompts)


def test_all_zero_images_are_refused_with_their_ids(bundle):
    images = pixels(7)
    images[[4, 6]] = 0
    with pytest.raises(ValueError, match="2 images are all zero, first row 4, row 6: they were never decoded"):
        score(bundle, images, PROMPTS, batch_size=4)


def test_an_image_cannot_be_scored_and_fitted_on_too():
    """A threshold would be fitted on images that it is judged on."""
    reader = ArrayImages(pixels(6))
    scored, fitted = (
        Images(reader=reader, rows=np.array(rows), ids=tuple(f"i{row}" for row in rows))
        for rows in ((0, 1, 2), (4, 5, 2))
    )
    with pytest.raises(ValueError, match=r"1 image ids occur more than once, first i2"):
        scored.followed_by(fitted)
    both = Images(reader=reader, rows=np.array([3]), ids=("i3",)).followed_by(fitted)
    assert (both.ids, both.rows.tolist()) == (("i3", "i4", "i5", "i2"), [3, 4, 5, 2])


def test_an_unknown_scoring_and_no_images_are_refused(bundle):
    unchecked = score_features.__wrapped__  # callers outside the tests have no run-time check of literals
    with pytest.raises(
        ValueError, match="scoring must be one of mixture, temperature, chexzero, single, sigmoid; found 'softmax'"
    ):
        unchecked(bundle, unit(1, 4, 0), PROMPTS, scoring="softmax")
    with pytest.raises(ValueError, match="there is no image"):
        score(bundle, pixels(0), PROMPTS)


def test_a_diverged_model_is_refused(checkpoint):
    broken = models.load(checkpoint)
    with torch.no_grad():
        next(broken.model.visual.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="features of 3 of 3 images are not finite"):
        score(broken, pixels(3), PROMPTS)


@given(st.integers(0, 1000), st.sampled_from([1.0, 14.3, 100.0]), st.sampled_from([0.0, -3.5, -16.0]))
@settings(max_examples=25, deadline=None)
def test_sigmoid_scoring_is_the_logit_that_a_sigmoid_loss_trains(seed, scale, bias):
    images, positive, negative = (unit(k, 8, seed + j) for j, k in enumerate((5, 3, 3)))
    ours = probabilities(images, positive, negative, scoring="sigmoid", scale=scale, bias=bias)
    logit = scale * (images.double() @ positive.double().T).numpy() + bias
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-logit)), rtol=0, atol=1e-5)


def test_the_bias_is_the_models_own_and_only_sigmoid_scoring_reads_it(checkpoint):
    learned = models.load(checkpoint)
    without = score(learned, pixels(4), PROMPTS)
    with pytest.raises(ValueError, match="trained with a sigmoid loss; this one has no logit_bias"):
        score(learned, pixels(4), PROMPTS, scoring="sigmoid")
    learned.model.logit_bias = torch.nn.Parameter(torch.tensor(-2.5))
    np.testing.assert_array_equal(score(learned, pixels(4), PROMPTS), without)
    cosines = (
        image_features(learned, as_images(pixels(4)))
        @ prompt_features(learned, [pair.positive for pair in PROMPTS.pairs.values()]).T
    )
    logit = logit_scale(learned) * cosines.double().numpy() - 2.5
    ours = score(learned, pixels(4), PROMPTS, scoring="sigmoid")
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-logit)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scoring", ["mixture", "temperature", "chexzero", "single"])
def test_blocks_of_images_change_no_score(scoring, bundle, monkeypatch):
    encoded = image_features(bundle, as_images(pixels(11)))
    whole = score_features(bundle, encoded, PROMPTS, scoring=scoring)
    monkeypatch.setattr(scoring_module, "FLOATS", 100)
    np.testing.assert_allclose(score_features(bundle, encoded, PROMPTS, scoring=scoring), whole, rtol=0, atol=1e-6)


def test_several_prompts_that_do_not_fit_are_all_named(bundle):
    long = tuple(f"{word} " * 100 for word in ("edema", "fluid"))
    prompts = PromptSet(name="long", pairs={"Edema": PromptPair(positive=long, negative=("no edema",))})
    with pytest.raises(ValueError, match=r"'edema .* does not fit into .*, nor does 'fluid .* \(2 of 2 prompts"):
        score(bundle, pixels(1), prompts)


@pytest.mark.parametrize("phrases", [(), ("edema", " ")])
def test_empty_text_and_findings_without_phrases_are_refused(phrases, bundle):
    with pytest.raises(ValueError, match=r"prompts of finding 1: .* has no phrase, or one of empty text"):
        prompt_features(bundle, [("edema",), phrases])


def test_an_image_listed_twice_is_refused_by_id():
    with pytest.raises(ValueError, match="the images to score: 1 image ids occur more than once, first a"):
        Images(reader=as_images(pixels(3)).reader, rows=np.arange(3), ids=("a", "b", "a"))
