"""Ensembles and the cache of `ensemble_models`."""

import shutil

import h5py
import numpy as np
import pytest

import models
from zero_shot import as_images, average, ensemble_models, from_templates, score, score_checkpoints
from zero_shot import ensemble as module

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


def test_a_second_call_reads_the_cache(store, checkpoint, tmp_path, encodings):
    first = ensemble_models([checkpoint], store, LABELS, PAIR, tmp_path / "cache", "try")[1]
    assert (tmp_path / "cache" / f"try_{checkpoint.stem}.npy").is_file()
    second = ensemble_models([checkpoint], store, LABELS, PAIR, tmp_path / "cache", "try")[1]
    np.testing.assert_array_equal(first, second)
    assert len(encodings) == 1


@pytest.mark.parametrize("changed", ["labels", "order of labels", "templates", "pixels", "weights", "array", "note"])
def test_a_cache_made_from_anything_else_is_not_read(changed, store, checkpoint, other_checkpoint, tmp_path, encodings):
    path, labels, pair = tmp_path / "model", list(LABELS), PAIR
    shutil.copytree(checkpoint, path)
    cache = tmp_path / "cache"
    ensemble_models([path], store, labels, pair, cache)
    if changed == "labels":
        labels = ["Edema", "Fracture"]
    elif changed == "order of labels":
        labels = labels[::-1]
    elif changed == "templates":
        pair = ("{}", "without {}")
    elif changed == "pixels":
        with h5py.File(store, "r+") as file:
            file["cxr"][3, 5, 5] = (file["cxr"][3, 5, 5] + 7) % 200
    elif changed == "weights":
        shutil.rmtree(path)
        shutil.copytree(other_checkpoint, path)
    elif changed == "array":
        np.save(cache / "model.npy", np.full((6, 2), 0.5, np.float32))
    else:
        (cache / "model.json").write_text("{")
    cached = ensemble_models([path], store, labels, pair, cache)[1]
    assert len(encodings) == 2
    np.testing.assert_array_equal(cached, ensemble_models([path], store, labels, pair)[1])


def test_members_say_what_they_are(checkpoint, other_checkpoint):
    images = as_images(np.random.default_rng(1).integers(1, 255, (3, 64, 64), dtype=np.uint8))
    members = score_checkpoints([other_checkpoint, checkpoint], images, from_templates(LABELS, PAIR))
    assert [member.path for member in members] == sorted([str(checkpoint), str(other_checkpoint)])
    assert len({member.weights for member in members}) == 2
    np.testing.assert_allclose(
        average([m.scores for m in members]), (members[0].scores + members[1].scores) / 2, rtol=0, atol=1e-7
    )


def test_no_path_and_the_same_path_twice_are_refused(store, checkpoint):
    with pytest.raises(ValueError, match="give at least one"):
        ensemble_models([], store, LABELS, PAIR)
    with pytest.raises(ValueError, match="listed twice"):
        ensemble_models([checkpoint, str(checkpoint)], store, LABELS, PAIR)
    with pytest.raises(ValueError, match="a label is named twice"):
        ensemble_models([checkpoint], store, ["Edema", "Edema"], PAIR)
