"""Many images, texts and reports at once against each alone."""

import numpy as np
import pytest
import torch

import models

TEXTS = [
    "edema",
    "no acute cardiopulmonary process is seen on this film",
    "mild edema",
    "",
    "left lower lobe pneumonia",
] * 3


@pytest.fixture(scope="module")
def bundle(one_thread):
    return models.build("phantom-tiny", seed=0)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_many_texts_have_the_features_of_each_alone_in_their_order(bundle, batch_size):
    tokens = models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)
    alone = torch.cat([models.encode_texts(bundle, row[None]) for row in tokens])
    together = models.encode_many_texts(bundle, tokens, batch_size=batch_size)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert len({tuple(row) for row in alone.tolist()}) == 5


def test_texts_of_like_length_share_a_batch(bundle, monkeypatch):
    seen = []
    encode = models.encode_texts
    monkeypatch.setattr("models.encode_many.encode_texts", lambda b, tokens: seen.append(tokens) or encode(b, tokens))
    tokens = models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)
    models.encode_many_texts(bundle, tokens, batch_size=3)
    lengths = [sorted((batch != 0).sum(dim=1).tolist()) for batch in seen]
    assert len(lengths) == 5
    assert all(batch[0] == batch[-1] for batch in lengths)
    assert [batch[0] for batch in lengths] == sorted(batch[0] for batch in lengths)


def test_images_in_batches_keep_their_order_and_are_counted(bundle):
    pixels = np.random.default_rng(0).integers(1, 255, (5, 64, 64), dtype=np.uint8)
    counts = []
    together = models.encode_many_images(bundle, (pixels[:3], pixels[3:]), progress=counts.append)
    alone = torch.cat([models.encode_images(bundle, torch.from_numpy(one[None])) for one in pixels])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert counts == [3, 2]


def test_a_report_has_the_normalised_mean_of_its_texts_features(bundle):
    alone = [models.encode_reports(bundle, [text], [[0]]) for text in TEXTS[:3]]
    found = models.encode_reports(bundle, TEXTS[:3], [[2, 0], [1]])
    mean = (alone[0] + alone[2]) / 2
    torch.testing.assert_close(found, torch.cat([mean / mean.norm(), alone[1]]), rtol=0, atol=1e-6)
