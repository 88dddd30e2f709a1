"""Ensembles and the cache of `ensemble_models`."""

import shutil

import h5py
import numpy as np
import pytest

import models
from zero_shot import embeddings as module
from zero_shot import ensemble_models, from_templates, image_features, score
from zero_shot.ensemble import average, score_ensemble
from zero_shot.features import logit_scale, prompt_features
from zero_shot.images import as_images

LABELS = ["Edema", "Atelectasis"]
PAIR = ("{}", "no {}")


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "cxr.h5"
    pixels = np.random.default_rng(0).integers(1, 255, (6, 64, 64)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("cxr", data=pixels)
    return path


@pytest.fixture
def encodings(monkeypatch):
    """Count how often images are really encoded."""
    calls = []
    encode = module.image_features
    monkeypatch.setattr(module, "image_features", lambda *a, **k: calls.append(1) or encode(*a, **k))
    return calls


def test_return_shape_and_scoring_are_those_of_chexzero(store, checkpoint, other_checkpoint):
    each, mean = ensemble_models([checkpoint, other_checkpoint], store, LABELS, PAIR)
    assert [scores.shape for scores in each] == [(6, 2), (6, 2)]
    np.testing.assert_array_equal(mean, np.mean(each, axis=0, dtype=np.float32))
    with h5py.File(store) as file:
        pixels = file["cxr"][:].astype(np.uint8)
    for path, scores in zip(sorted(map(str, [checkpoint, other_checkpoint])), each, strict=True):
        alone = score(models.load(path), pixels, from_templates(LABELS, PAIR), scoring="chexzero")
        np.testing.assert_allclose(scores, alone, rtol=0, atol=1e-6)


def test_the_order_of_the_list_does_not_matter(store, checkpoint, other_checkpoint):
    one = ensemble_models([checkpoint, other_checkpoint], store, LABELS, PAIR)[0]
    two = ensemble_models([other_checkpoint, checkpoint], store, LABELS, PAIR)[0]
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_no_finding_comes_from_its_own_phrases_with_a_warning(store, checkpoint):
    with pytest.warns(UserWarning, match="'No Finding' is scored with phrases of its own .* not with 'no No Finding'"):
        _, mean = ensemble_models([checkpoint], store, ["Edema", "No Finding"], PAIR)
    alone = ensemble_models([checkpoint], store, ["Edema"], PAIR)[1]
    np.testing.assert_allclose(mean[:, 0], alone[:, 0], rtol=0, atol=1e-6)


def test_a_second_call_encodes_no_image_and_leaves_the_files_that_users_read(store, checkpoint, tmp_path, encodings):
    first = ensemble_models([checkpoint], store, LABELS, PAIR, tmp_path / "cache", "try")[1]
    written = tmp_path / "cache" / f"try_{checkpoint.stem}.npy"
    np.testing.assert_array_equal(np.load(written), first)
    second = ensemble_models([checkpoint], store, LABELS, PAIR, tmp_path / "cache", "try")[1]
    np.testing.assert_array_equal(first, second)
    assert len(encodings) == 1


@pytest.mark.parametrize(
    ("changed", "times"),
    [("labels", 1), ("order of labels", 1), ("templates", 1), ("array", 1), ("pixels", 2), ("weights", 2), ("torn", 2)],
)
def test_a_cache_made_from_anything_else_changes_no_score(
    changed, times, store, checkpoint, other_checkpoint, tmp_path, encodings
):
    path, labels, pair = tmp_path / "model", list(LABELS), PAIR
    shutil.copytree(checkpoint, path)
    cache = tmp_path / "cache"
    ensemble_models([path], store, labels, pair, cache)
    if changed == "labels":
        labels = ["Edema", "Fracture", "Pneumonia"]
    elif changed == "order of labels":
        labels = labels[::-1]
    elif changed == "templates":
        pair = ("{}", "without {}")
    elif changed == "array":
        np.save(cache / "model.npy", np.full((6, 2), 0.5, np.float32))
    elif changed == "pixels":
        with h5py.File(store, "r+") as file:
            file["cxr"][3, 5, 5] = (file["cxr"][3, 5, 5] + 7) % 200
    elif changed == "weights":
        shutil.rmtree(path)
        shutil.copytree(other_checkpoint, path)
    else:
        whole = (cache / "embeddings.h5").read_bytes()
        (cache / "embeddings.h5").write_bytes(whole[: len(whole) // 2])
    cached = ensemble_models([path], store, labels, pair, cache)[1]
    assert len(encodings) == times
    np.testing.assert_array_equal(cached, ensemble_models([path], store, labels, pair)[1])
    np.testing.assert_array_equal(cached, np.load(cache / "model.npy"))


def images(n=5):
    return as_images(np.random.default_rng(1).integers(1, 255, (n, 64, 64), dtype=np.uint8))


def test_averaged_features_are_scored_once(checkpoint, other_checkpoint):
    prompts = from_templates(LABELS, PAIR)
    ours, members = score_ensemble([checkpoint, other_checkpoint], images(), prompts, averaged="features")
    bundles = [models.load(path) for path in sorted(map(str, [checkpoint, other_checkpoint]))]

    def mean(one_by_one):
        total = sum(one_by_one).numpy().astype(float)
        return total / np.linalg.norm(total, axis=1, keepdims=True)

    seen = mean([image_features(bundle, images()) for bundle in bundles])
    sides = [
        mean([prompt_features(bundle, [(template.replace("{}", label),) for label in LABELS]) for bundle in bundles])
        for template in PAIR
    ]
    scale = np.sqrt(logit_scale(bundles[0]) * logit_scale(bundles[1]))
    expected = 1 / (1 + np.exp(-scale * (seen @ sides[0].T - seen @ sides[1].T)))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    for member, bundle in zip(members, bundles, strict=True):
        np.testing.assert_allclose(member.scores, score(bundle, images().reader.array, prompts), rtol=0, atol=1e-6)


def test_an_ensemble_of_one_is_that_one_either_way(checkpoint):
    prompts = from_templates(LABELS, PAIR)
    by_features, by_probabilities = (
        score_ensemble([checkpoint], images(), prompts, averaged=averaged)[0]
        for averaged in ("features", "probabilities")
    )
    np.testing.assert_allclose(by_features, by_probabilities, rtol=0, atol=1e-6)


def test_features_of_two_architectures_are_not_averaged(checkpoint, tmp_path, toy_architecture):
    models.save(models.build("toy", seed=0), tmp_path / "toy")
    paths, prompts = [checkpoint, tmp_path / "toy"], from_templates(LABELS, PAIR)
    with pytest.raises(ValueError, match=r"over checkpoints of one run only; .* have different architectures"):
        score_ensemble(paths, images(), prompts, averaged="features")
    assert score_ensemble(paths, images(), prompts)[0].shape == (5, 2)


def test_what_cannot_be_scored_is_refused_before_any_image_is_encoded(checkpoint, encodings):
    long = from_templates(["edema " * 100], PAIR)
    with pytest.raises(ValueError, match="does not fit into"):
        score_ensemble([checkpoint], images(), long)
    with pytest.raises(ValueError, match="this one has no logit_bias: choose mixture or temperature"):
        score_ensemble([checkpoint], images(), from_templates(LABELS, PAIR), scoring="sigmoid")
    with pytest.raises(ValueError, match="it needs at least 2"):
        score_ensemble([checkpoint], images(), from_templates(LABELS[:1], PAIR), scoring="single")
    assert encodings == []


def test_members_say_what_they_are(checkpoint, other_checkpoint):
    images = as_images(np.random.default_rng(1).integers(1, 255, (3, 64, 64), dtype=np.uint8))
    mean, members = score_ensemble([other_checkpoint, checkpoint], images, from_templates(LABELS, PAIR))
    assert [member.path for member in members] == sorted([str(checkpoint), str(other_checkpoint)])
    assert len({member.weights for member in members}) == 2
    np.testing.assert_allclose(mean, (members[0].scores + members[1].scores) / 2, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(mean, average([m.scores for m in members]))


def test_no_path_and_the_same_path_twice_are_refused(store, checkpoint):
    with pytest.raises(ValueError, match="checkpoints: wanted at least one, found none"):
        ensemble_models([], store, LABELS, PAIR)
    with pytest.raises(ValueError, match="listed twice"):
        ensemble_models([checkpoint, str(checkpoint)], store, LABELS, PAIR)
    with pytest.raises(ValueError, match="a label is named twice"):
        ensemble_models([checkpoint], store, ["Edema", "Edema"], PAIR)


def test_features_are_averaged_with_the_geometric_mean_of_the_logit_scales(store, checkpoint, tmp_path):
    """Two members with equal features: the ensemble is the member, at the scale whose logarithm is the mean."""
    paths = []
    for name, factor in (("first", 2.0), ("second", 32.0)):
        one = models.load(str(checkpoint))
        one.model.logit_scale.data.fill_(float(np.log(factor)))
        models.save(one, tmp_path / name)
        paths.append(tmp_path / name)
    with h5py.File(store) as file:
        images = as_images(file["cxr"][:].astype(np.uint8))
    prompts = from_templates(LABELS, PAIR)
    found, _ = score_ensemble(paths, images, prompts, scoring="temperature", averaged="features")
    one = models.load(str(checkpoint))
    one.model.logit_scale.data.fill_(float(np.log(8.0)))  # sqrt(2 * 32); the arithmetic mean would be 17
    expected = score(one, images, prompts, scoring="temperature")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    one.model.logit_scale.data.fill_(float(np.log(17.0)))
    assert np.abs(score(one, images, prompts, scoring="temperature") - expected).max() > 1e-3
