"""A stem folded to one channel computes the same features, and its files are still three-channel ones."""

from dataclasses import replace

import open_clip
import pytest
import torch

import models
from models.grey_stem import fold_stem

COLOURED = {"mean": (110.0, 120.0, 135.0), "std": (60.0, 70.0, 55.0)}
KINDS = [
    "tiny-clip",
    "phantom-tiny",
    "timm:test_resnet",
    "timm:test_convnext",
    "timm:test_vit",
    "timm:test_efficientnet",
]


def build(kind, *, seed=0, **options):
    """Return a network whose normalisation layers have seen films, so that no path through it is dead."""
    name, tower = ("tiny-clip", kind) if kind.startswith("timm:") else (kind, None)
    bundle = models.build(name, image_tower=tower, image_size=32, seed=seed, **options)
    generator = torch.Generator().manual_seed(5)
    bundle.model.train()
    models.image_features(bundle, torch.randn(8, bundle.preprocessing.channels, 32, 32, generator=generator))
    bundle.model.eval()
    return bundle


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_grey_images_stay(kind, films):
    bundle = build(kind)
    before = models.encode_images(bundle, films)
    folded = fold_stem(bundle)
    assert models.to_network_input(films, folded.preprocessing).shape == (5, 1, 32, 32)
    assert folded.preprocessing.mean == bundle.preprocessing.mean
    after = models.encode_images(folded, films)
    torch.testing.assert_close(after, before, atol=2e-6, rtol=0)
    assert (before - before[0]).abs().max() > 2e-4


@pytest.mark.parametrize("kind", ["tiny-clip", "timm:test_convnext", "timm:test_vit"])
def test_statistics_that_differ_by_channel_are_folded_too_where_the_stem_does_not_pad(kind, films):
    bundle = build(kind)
    bundle = replace(bundle, preprocessing=replace(bundle.preprocessing, **COLOURED))
    before = models.encode_images(bundle, films)
    folded = fold_stem(bundle)
    assert folded.preprocessing.mean == pytest.approx((365 / 3,))
    torch.testing.assert_close(models.encode_images(folded, films), before, atol=1e-5, rtol=0)


def test_where_the_stem_pads_different_means_are_refused_and_different_deviations_are_not(films):
    bundle = build("timm:test_resnet")
    bundle = replace(bundle, preprocessing=replace(bundle.preprocessing, **COLOURED))
    with pytest.raises(ValueError, match="pads its input, and the channels have different means"):
        fold_stem(bundle)
    bundle = replace(bundle, preprocessing=replace(bundle.preprocessing, mean=(100.0,) * 3))
    before = models.encode_images(bundle, films)
    torch.testing.assert_close(models.encode_images(fold_stem(bundle), films), before, atol=1e-5, rtol=0)


def test_a_tower_that_does_not_begin_with_a_plain_convolution_is_refused():
    with pytest.raises(ValueError, match=r"begins with one plain convolution, found ScaledStdConv2d in NormFreeNet"):
        models.build("tiny-clip", image_tower="timm:test_nfnet", grey_stem=True, seed=0)


@pytest.mark.parametrize("kind", ["tiny-clip", "phantom-tiny", "timm:test_resnet"])
def test_a_round_trip_is_bit_equal_and_open_clip_reads_the_file_as_three_channels(kind, films, tmp_path):
    bundle = build(kind, grey_stem=True)
    assert fold_stem(bundle) is bundle
    features = models.encode_images(bundle, films)
    models.save(bundle, tmp_path)
    again = models.load(tmp_path)
    assert again.preprocessing == bundle.preprocessing
    assert models.fingerprint(again) == models.fingerprint(bundle)
    assert torch.equal(models.encode_images(again, films), features)
    theirs = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    rgb = models.to_network_input(films, replace(bundle.preprocessing, channels=3))
    with torch.no_grad():
        torch.testing.assert_close(theirs.encode_image(rgb, normalize=True), features, atol=1e-5, rtol=0)


def test_a_folded_stem_learns(films):
    bundle = build("tiny-clip", grey_stem=True)
    seen = models.to_network_input(films, bundle.preprocessing)
    models.image_features(bundle, seen)[:, 0].sum().backward()
    gradient = bundle.model.visual.conv1.weight.grad
    assert gradient.shape == (64, 1, 8, 8)
    assert gradient.abs().max() > 0
