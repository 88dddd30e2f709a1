"""Features on disk: found by what they were made from, refused in words, and never the reason why a run fails."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import models
import run_zero_shot
from zero_shot import ZeroShotConfig, embeddings, image_features
from zero_shot.embeddings import Cache, cached_features, model_key, read_embeddings, write_embeddings
from zero_shot.images import as_images

PIXELS = np.random.default_rng(0).integers(1, 255, (5, 64, 64), dtype=np.uint8)
IMAGES = as_images(PIXELS)


@pytest.fixture(scope="module")
def key(bundle):
    return model_key(bundle)


@pytest.fixture
def kept(tmp_path, bundle, key):
    """Return a file with the features of IMAGES."""
    path = tmp_path / "embeddings.h5"
    cached_features(bundle, IMAGES, key=key, cache=Cache(path=path, images=IMAGES.fingerprint()))
    return path


@pytest.fixture
def encodings(monkeypatch):
    """Count the images that go through an image tower."""
    seen = []
    encode = models.bundle.encode_images
    monkeypatch.setattr("models.encode_many.encode_images", lambda b, x: seen.append(len(x)) or encode(b, x))
    return seen


def test_cached_features_are_those_of_a_fresh_run_bit_for_bit(kept, bundle, key, encodings):
    told = []
    cache = Cache(path=kept, images=IMAGES.fingerprint())
    found = cached_features(bundle, IMAGES, key=key, cache=cache, progress=told.append)
    assert (encodings, told) == ([], [5])
    fresh = image_features(bundle, IMAGES)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, fresh)
    assert read_embeddings(kept, key).ids == IMAGES.ids


def test_one_file_keeps_several_models(kept, bundle, key, encodings):
    other = models.build("phantom-tiny", seed=5)
    cache = Cache(path=kept, images=IMAGES.fingerprint())
    made = cached_features(other, IMAGES, key=model_key(other), cache=cache)
    assert encodings == [5]
    np.testing.assert_array_equal(read_embeddings(kept, model_key(other)).features, made)
    np.testing.assert_array_equal(read_embeddings(kept, key).features, image_features(bundle, IMAGES))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("weights", r"are by other models: .* \([0-9a-f]{12}\)\. Leave the file out"),
        ("activation", "are by other models"),
        ("preprocessing", "are by other models"),
        ("pixel", "holds 5 images whose ids or pixels are not those to be scored"),
        ("order", "holds 5 images whose ids or pixels are not those to be scored"),
        ("ids", "holds 5 images whose ids or pixels are not those to be scored"),
        ("torn", "are damaged or not an HDF5 file"),
        ("value", "are damaged: their hash does not match"),
        ("repeated id", "are damaged: their hash does not match"),
        ("format", "is not an embeddings file of format 1; found format 7"),
        ("gone", "no embeddings at .*: wanted a file that an earlier run wrote"),
    ],
)
def test_a_file_of_anything_else_is_encoded_again_and_refused_where_it_must_fit(
    changed, words, kept, bundle, encodings
):
    images, model = IMAGES, bundle
    if changed == "weights":
        model = models.build("phantom-tiny", seed=5)
    elif changed == "activation":
        model = replace(bundle, config={**bundle.config, "quick_gelu": True})
    elif changed == "preprocessing":
        smooth = replace(bundle.preprocessing, antialias=not bundle.preprocessing.antialias)
        model = replace(bundle, preprocessing=smooth)
    elif changed == "pixel":
        pixels = PIXELS.copy()
        pixels[2, 3, 4] ^= 1
        images = as_images(pixels)
    elif changed == "order":
        images = as_images(PIXELS[::-1].copy())
    elif changed == "ids":
        images = replace(IMAGES, ids=("a", "b", "c", "d", "e"))
    elif changed == "torn":
        whole = kept.read_bytes()
        kept.write_bytes(whole[: len(whole) // 2])
    elif changed == "gone":
        kept.unlink()
    else:
        with h5py.File(kept, "r+") as file:
            if changed == "value":
                file[model_key(bundle).digest][3, 7] += 1e-3
            elif changed == "repeated id":
                file["image_id"][1] = "row 0"
            else:
                file.attrs["format_version"] = 7
    key, fingerprint = model_key(model), images.fingerprint()
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        cached_features(model, images, key=key, cache=Cache(path=kept, images=fingerprint, must_fit=True))
    assert encodings == []
    cache = Cache(path=kept, images=fingerprint)
    again = cached_features(model, images, key=key, cache=cache)
    assert sum(encodings) == 5
    np.testing.assert_array_equal(again, image_features(model, images))
    np.testing.assert_array_equal(read_embeddings(kept, key, images=fingerprint).features, again)


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, bundle, key):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(path=tmp_path / "file" / "embeddings.h5", images=IMAGES.fingerprint())
    with pytest.warns(UserWarning, match="the features were not stored in"):
        features = cached_features(bundle, IMAGES, key=key, cache=cache)
    assert features.shape[0] == 5


def test_a_stop_while_writing_leaves_the_file_that_was_there(kept, key, monkeypatch):
    before = kept.read_bytes()
    monkeypatch.setattr(embeddings, "_sha256_of", lambda ids, values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_embeddings(kept, key, torch.zeros(5, 4), ids=IMAGES.ids, images="x")
    assert [kept.read_bytes(), list(kept.parent.iterdir())] == [before, [kept]]


def test_what_cannot_be_joined_is_not_written(tmp_path, key):
    with pytest.raises(ValueError, match="the images to be stored: 1 image ids occur more than once, first a"):
        write_embeddings(tmp_path / "x.h5", key, torch.zeros(2, 4), ids=["a", "a"], images="x")
    with pytest.raises(ValueError, match="2 features for 1 images"):
        write_embeddings(tmp_path / "x.h5", key, torch.zeros(2, 4), ids=["a"], images="x")
    assert list(tmp_path.iterdir()) == []


def test_where_a_text_tower_lay_is_no_part_of_a_model(bundle, key):
    moved = {**bundle.config, "text_cfg": {**bundle.config["text_cfg"], "hf_model_name": "/elsewhere"}}
    assert model_key(replace(bundle, config=moved)) == key


@pytest.fixture
def options(archive, checkpoint, tmp_path):
    return {
        "checkpoints": (str(checkpoint),),
        "cxr_filepath": archive.cxr,
        "cohort_filepath": archive.cohort,
        "n_replicates": 40,
        "groups": ("sex",),
        "findings": ("Edema", "Fracture"),
        "device": "cpu",
    }


def test_a_second_run_encodes_nothing_and_writes_the_same_bytes(options, tmp_path, encodings):
    one, two = tmp_path / "one", tmp_path / "two"
    run_zero_shot.main(ZeroShotConfig(**options, out_dir=one))
    n = len(pd.read_csv(one / "predictions.csv"))
    assert sum(encodings) == n
    written = {path.name: path.read_bytes() for path in one.iterdir()}
    run_zero_shot.main(ZeroShotConfig(**options, out_dir=one, prompts="chexzero", overwrite=True))
    run_zero_shot.main(ZeroShotConfig(**options, out_dir=one, overwrite=True))
    assert {path.name: path.read_bytes() for path in one.iterdir()} == written
    run_zero_shot.main(ZeroShotConfig(**options, out_dir=two, embeddings=one / "embeddings.h5"))
    assert sum(encodings) == n
    assert {path.name: path.read_bytes() for path in two.iterdir()} == {
        name: content for name, content in written.items() if name != "embeddings.h5"
    }


def test_without_a_cache_nothing_is_kept(options, tmp_path, encodings):
    out = tmp_path / "out"
    for _ in range(2):
        run_zero_shot.main(ZeroShotConfig(**options, out_dir=out, cache=False))
    assert sum(encodings) == 2 * len(pd.read_csv(out / "predictions.csv"))
    assert not (out / "embeddings.h5").exists()


def test_a_file_that_the_user_named_has_to_fit_and_is_looked_at_before_a_model_is_loaded(
    options, tmp_path, encodings, monkeypatch
):
    run_zero_shot.main(ZeroShotConfig(**options, out_dir=tmp_path / "one"))
    encodings.clear()
    monkeypatch.setattr(models, "load", lambda path: 1 / 0, raising=False)
    named = {"out_dir": tmp_path / "two", "embeddings": tmp_path / "one" / "embeddings.h5"}
    with pytest.raises(ValueError, match="are not those to be scored"):
        run_zero_shot.main(ZeroShotConfig(**options, **named, split="all"))
    with pytest.raises(FileNotFoundError, match="no embeddings at"):
        run_zero_shot.main(ZeroShotConfig(**options, **named | {"embeddings": tmp_path / "none.h5"}))
    assert not (tmp_path / "two").exists()
