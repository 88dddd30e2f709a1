"""Maps of models whose evidence is at a known place, and identities that tie maps to scores."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

import models
from zero_shot import PromptPair, PromptSet, load_prompts, pointing_game, score
from zero_shot.images import as_images
from zero_shot.localisation.maps import gradient_relevance, patch_margins, patch_similarity, upsample
from zero_shot.scoring import score_features

SIDE, SPOT = 64, 12
BRIGHT = PromptSet(name="bright", pairs={"Bright": PromptPair(positive=("spot",), negative=("no spot",))})


class Brightness(nn.Module):
    """A trunk that averages over places, whose channels are how bright a place is and a constant."""

    def __init__(self):
        super().__init__()
        self.gain = torch.ones(SIDE // 4, SIDE // 4)

    def forward_features(self, x):
        grey = 1 + avg_pool2d(x[:, :1], 4)
        return torch.cat([grey, torch.ones_like(grey)], dim=1) * self.gain

    def forward_head(self, x):
        return x.mean(dim=(2, 3))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class Polarity(nn.Module):
    """A text tower that knows longer texts, which negate, from short ones."""

    def forward(self, tokens):
        negates = (tokens != 0).sum(dim=1) > 3
        return torch.stack([~negates, negates], dim=1).float()


@pytest.fixture(scope="module")
def planted(toy_architecture):
    bundle = models.build("toy", image_size=SIDE, seed=0)
    bundle.model.visual.trunk, bundle.model.visual.head = Brightness(), nn.Identity()
    bundle.model.text = Polarity()
    bundle = replace(bundle, preprocessing=replace(bundle.preprocessing, mean=(0.0,), std=(255.0,)))
    bundle.model.eval()
    return bundle


@pytest.fixture(scope="module")
def spots():
    """Dark noise with one bright square each, and where it is."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 120, (60, SIDE, SIDE), dtype=np.uint8)
    corners = rng.integers(0, SIDE - SPOT, (60, 2))
    for film, (x, y) in zip(pixels, corners, strict=True):
        film[y : y + SPOT, x : x + SPOT] = 250
    boxes = np.concatenate([corners, corners + SPOT], axis=1).astype(np.float64)
    return pixels, boxes[:, None]


def play(maps, boxes, subjects=None):
    table = pointing_game(
        maps,
        boxes,
        subjects or [f"p{k}" for k in range(len(maps))],
        findings=["Bright"],
        resolution=SIDE,
        rng=np.random.default_rng(0),
        n_replicates=100,
    )
    return table.iloc[0]


@pytest.mark.parametrize("draw", [patch_margins, gradient_relevance])
def test_planted_evidence_is_pointed_at_and_shuffled_maps_score_chance(planted, spots, draw):
    pixels, boxes = spots
    row = play(draw(planted, pixels, BRIGHT), boxes)
    assert row["pointing_score"] == 1.0
    assert (row["low"], row["high"]) == (1.0, 1.0)
    assert row["chance"] == pytest.approx(SPOT**2 / SIDE**2)
    # among 60 images a map hits 3.5 % of the others' boxes; points keep off the rim, where no centre of a spot is
    assert row["swapped"] < 3 * row["chance"]
    shuffled = play(draw(planted, pixels, BRIGHT), np.roll(boxes, 1, axis=0))
    assert shuffled["pointing_score"] < 0.15
    assert row["energy"] > 2 * row["chance"]


def test_similarity_is_highest_where_the_text_is_true_and_its_negation_lowest(planted, spots):
    pixels, boxes = spots
    found = patch_similarity(planted, pixels, ["spot", "no spot"])
    assert play(found[:, :1], boxes)["pointing_score"] == 1.0
    assert play(-found[:, 1:], boxes)["pointing_score"] == 1.0


@pytest.fixture(scope="module")
def toy(toy_architecture):
    bundle = models.build("toy", image_size=96, seed=0)
    bundle.model.eval()
    return bundle


def noise(n=3, side=96):
    return np.random.default_rng(1).integers(1, 255, (n, side, side), dtype=np.uint8)


def test_behind_an_average_pool_weighted_similarities_add_up_to_the_images_own(toy):
    pixels, texts = noise(), ["edema", "no edema", "a fracture of the left rib"]
    norms = models.encode_places(toy, torch.from_numpy(pixels)).norm(dim=1, keepdim=True).numpy()
    found = (norms * patch_similarity(toy, pixels, texts)).mean(axis=(2, 3))
    tokens = models.tokenize(texts, toy.tokenizer, context_length=toy.context_length)
    with torch.no_grad():
        image = toy.model.encode_image(models.to_network_input(torch.from_numpy(pixels), toy.preprocessing))
    expected = image @ models.encode_texts(toy, tokens).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


PROMPTS = load_prompts("radiologist").select(["Edema", "Fracture"])


@pytest.mark.parametrize("scoring", ["mixture", "temperature", "chexzero"])
def test_the_margin_of_a_place_is_the_log_odds_that_its_feature_alone_would_be_scored_with(bundle, scoring):
    pixels = noise(2, 64)
    found = patch_margins(bundle, pixels, PROMPTS, scoring=scoring)
    places = models.encode_places(bundle, torch.from_numpy(pixels))
    for row, column in ((0, 0), (6, 3)):
        features = torch.nn.functional.normalize(places[:, :, row, column], dim=-1)
        expected = score_features(bundle, features, PROMPTS, scoring=scoring)
        np.testing.assert_allclose(1 / (1 + np.exp(-found[:, :, row, column])), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scoring", ["mixture", "temperature", "chexzero"])
def test_relevance_is_the_slope_of_the_log_odds_of_the_score_that_is_used(planted, spots, scoring):
    pixels = spots[0][:2]
    gain = planted.model.visual.trunk.gain
    prompts = PromptSet(
        name="two", pairs={"Bright": PromptPair(positive=("spot", "spot here now"), negative=("no spot",))}
    )
    maps = gradient_relevance(planted, pixels, prompts, scoring=scoring)

    def log_odds(block, strength):
        gain[block] = strength
        probability = score(planted, pixels, prompts, scoring=scoring).astype(np.float64)
        gain[block] = 1.0
        return np.log(probability / (1 - probability))

    step = 0.1
    for block in (np.s_[:8, :], np.s_[3:9, 5:]):
        slope = (log_odds(block, 1 + step) - log_odds(block, 1 - step)) / (2 * step)
        carried = maps[:, :, *block].sum(axis=(2, 3))
        np.testing.assert_allclose(carried, slope, rtol=0.03)  # of float32 probabilities near 1
        assert np.abs(carried).min() > 1e-3


@pytest.mark.parametrize("draw", [patch_margins, gradient_relevance])
def test_batches_change_nothing(bundle, draw):
    pixels = noise(3, 64)
    np.testing.assert_allclose(
        draw(bundle, pixels, PROMPTS, batch_size=1), draw(bundle, pixels, PROMPTS, batch_size=3), rtol=1e-3, atol=1e-4
    )


def test_images_may_come_from_a_store_or_as_a_selection(planted, spots):
    pixels = spots[0][:4]
    whole = as_images(pixels)
    backwards = replace(whole, rows=whole.rows[::-1].copy(), ids=whole.ids[::-1])
    found = patch_similarity(planted, backwards, ["spot"])
    np.testing.assert_array_equal(found[::-1], patch_similarity(planted, whole, ["spot"]))


def test_enlarged_maps_are_opencvs_and_stay_within_their_values():
    maps = np.random.default_rng(0).normal(size=(2, 3, 7, 5)).astype(np.float32)
    large = upsample(maps, (50, 40))
    for row in range(2):
        for column in range(3):
            expected = cv2.resize(maps[row, column], (40, 50), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(large[row, column], expected, rtol=0, atol=1e-4)
    assert large.max() <= maps.max()
    assert upsample(maps, 21).shape == (2, 3, 21, 21)


def test_a_scoring_without_negative_phrases_has_no_margin(bundle):
    for draw in (patch_margins, gradient_relevance):
        with pytest.raises(ValueError, match=r"scoring must be one of mixture, temperature, chexzero; found 'single'"):
            draw.__wrapped__(bundle, noise(1, 64), PROMPTS, scoring="single")


def test_black_images_and_broken_weights_are_refused(bundle, toy_architecture):
    with pytest.raises(ValueError, match=r"1 images are all zero, first row 1"):
        gradient_relevance(bundle, np.stack([noise(1, 64)[0], np.zeros((64, 64), np.uint8)]), PROMPTS)
    broken = models.build("toy", seed=0)
    broken.model.visual.head.proj.weight.data[0, 0] = torch.nan
    broken.model.eval()
    for draw in (patch_margins, gradient_relevance):
        with pytest.raises(ValueError, match=r"heatmaps of 2 of 2 images are not finite"):
            draw(broken, noise(2, 64), PROMPTS)
