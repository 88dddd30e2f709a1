"""Batches: films and their texts, drawn from seed and step alone, shared by processes, read ahead by others."""

from itertools import islice

import numpy as np
import pytest
import torch

import models
from cohort.image_reader import ArrayImages
from train.distributed import World
from train.input.batches import Batch, PairBatches, batches_from
from train.input.pairs import Pairs
from train.train_config import Augmentation, TrainConfig

N = 23


@pytest.fixture(scope="module")
def bundle():
    return models.build("toy", seed=0)


@pytest.fixture(scope="module")
def pairs():
    """Film i is filled with grey level i; its report names i in words of different lengths."""
    films = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None], (N, 8, 8)).copy()
    texts = [f"Number {i}. {'Left edema. ' * (i % 2)}{'Very long tail of words here. ' * (i % 3)}" for i in range(N)]
    rows = np.arange(N)[::-1].copy()
    return Pairs(
        images=ArrayImages(films[::-1].copy()), rows=rows, texts=texts, study_ids=[f"s{i // 3}" for i in range(N)]
    )


def settings(**fields):
    usual = {"batch_size": 8, "device": "cpu", "seed": 5, "sentences_per_report": 2, "augment": Augmentation(flip=0.5)}
    return TrainConfig(**(usual | fields))


def some(pairs, bundle, config, *, n, start=0, world=World()):  # noqa: B008  (immutable)
    return list(islice(batches_from(start, PairBatches(pairs, bundle, config, world), config), n))


def equal(one: Batch, other: Batch) -> bool:
    tensors = ("images", "is_mirrored", "tokens", "targets")
    return (one.step, one.loss_floor) == (other.step, other.loss_floor) and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in tensors
    )


def words(bundle, tokens):
    return [bundle.tokenizer.decode([i for i in row if 0 < i < 49406]).strip() for row in tokens.tolist()]


def test_a_film_comes_with_its_own_texts(pairs, bundle):
    for batch in some(pairs, bundle, settings(sentences_per_report=None), n=6):
        texts = words(bundle, batch.tokens)
        for film, row in zip(batch.images, batch.targets, strict=True):
            own = [text for text, target in zip(texts, row, strict=True) if target]
            # the tokenizer writes each digit apart
            assert f"number {' '.join(str(int(film[0, 0])))}" in own


def test_an_epoch_reads_every_film_once_and_the_next_in_another_order(pairs, bundle):
    batches = some(pairs, bundle, settings(), n=6)
    first, second = (
        torch.cat([batch.images[:, 0, 0] for batch in part]).tolist() for part in (batches[:3], batches[3:])
    )
    assert sorted(first) == sorted(second) == list(range(N))
    assert first != second
    assert [batch.step for batch in batches] == list(range(6))


def test_starting_at_a_step_gives_what_comes_there_when_starting_at_zero(pairs, bundle):
    straight = some(pairs, bundle, settings(), n=8)
    later = some(pairs, bundle, settings(), n=3, start=5)
    assert all(map(equal, straight[5:], later))
    assert not equal(straight[5], straight[2])


def test_the_seed_decides_order_and_draws(pairs, bundle):
    one, other = (some(pairs, bundle, settings(seed=seed), n=1)[0] for seed in (5, 6))
    assert not torch.equal(one.images, other.images)


def test_worker_processes_give_the_same_batches_in_the_same_order(pairs, bundle):
    alone, helped = (some(pairs, bundle, settings(workers=workers), n=5) for workers in (0, 2))
    assert all(map(equal, alone, helped))


def test_reading_ahead_leaves_the_random_state_of_dropout_alone(pairs, bundle):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    some(pairs, bundle, settings(), n=2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("size", [2, 3, 5])
def test_processes_share_the_batch_that_one_alone_has(pairs, bundle, size):
    alone = some(pairs, bundle, settings(), n=4)
    shares = [some(pairs, bundle, settings(), n=4, world=World(rank, size)) for rank in range(size)]
    for whole, *parts in zip(alone, *shares, strict=True):
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert torch.equal(torch.cat([part.is_mirrored for part in parts]), whole.is_mirrored)
        assert [text for part in parts for text in words(bundle, part.tokens)] == words(bundle, whole.tokens)
        assert all(torch.equal(part.targets, whole.targets) for part in parts)
        assert max(len(part.images) for part in parts) - min(len(part.images) for part in parts) <= 1


def test_a_process_without_a_text_of_its_own_gets_one_to_keep_its_tower_busy(bundle):
    texts = ["Edema."] * 9 + ["Fluid."]
    few = Pairs(images=ArrayImages(np.zeros((10, 8, 8), np.uint8)), rows=np.arange(10), texts=texts)
    config = settings(batch_size=10)
    tokens = [some(few, bundle, config, n=1, world=World(rank, 3))[0].tokens for rank in range(3)]
    assert [len(part) for part in tokens] == [1, 1, 1]


def test_tokens_are_cut_to_the_longest_of_the_batch_where_the_tower_allows_it(pairs, bundle):
    long, short = (some(pairs, bundle, settings(objective="reports"), n=1)[0].tokens for pairs in (pairs, brief(pairs)))
    assert short.shape[1] < long.shape[1] <= 24


def brief(pairs):
    return Pairs(images=pairs.images, rows=pairs.rows, texts=[f"Number {i}." for i in range(N)])


def test_tokens_stay_whole_for_a_tower_that_reads_its_padding(pairs, bundle, monkeypatch):
    monkeypatch.setattr(models.Bundle, "trims_text", False)
    assert some(brief(pairs), bundle, settings(), n=1)[0].tokens.shape[1] == 24


def test_about_the_asked_for_share_of_the_films_that_can_be_is_mirrored(pairs, bundle):
    flags = torch.cat([batch.is_mirrored for batch in some(pairs, bundle, settings(), n=60)])
    assert 0.4 < flags.float().mean() < 0.6
    assert not any(batch.is_mirrored.any() for batch in some(pairs, bundle, settings(augment=Augmentation()), n=3))


def test_a_study_brings_so_many_views_and_they_share_their_texts(bundle):
    films = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None], (12, 8, 8)).copy()
    studies = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5])
    shuffled = np.random.default_rng(0).permutation(12)
    multi = Pairs(
        images=ArrayImages(films),
        rows=shuffled,
        texts=[f"Study {studies[row]}." for row in shuffled],
        study_ids=[str(studies[row]) for row in shuffled],
    )
    config = settings(views_per_study=2, batch_size=5)
    batches = PairBatches(multi, bundle, config, World())
    chosen = set()
    for epoch in range(8):
        steps = range(epoch * batches.order.steps_per_epoch, (epoch + 1) * batches.order.steps_per_epoch)
        seen = [some(multi, bundle, config, n=1, start=step)[0] for step in steps]
        films = torch.cat([batch.images[:, 0, 0] for batch in seen]).tolist()
        assert len(set(films)) == len(films)
        assert np.bincount(studies[films]).tolist() == [2, 2, 2, 1, 1, 1]
        assert all(batch.n_images <= 5 for batch in seen)
        for batch in seen:
            of_study = studies[batch.images[:, 0, 0].numpy()]
            assert batch.n_texts == len(set(of_study))
            assert np.array_equal((batch.targets @ batch.targets.T).numpy() > 0, of_study[:, None] == of_study)
        chosen.add(tuple(sorted(film for film in films if studies[film] == 0)))
    assert len(chosen) > 2


def test_views_of_studies_that_nobody_knows_are_an_error(pairs, bundle):
    with pytest.raises(ValueError, match=r"--views_per_study above 1: wanted the study of each image, found none"):
        PairBatches(brief(pairs), bundle, settings(views_per_study=2), World())


def test_a_batch_that_processes_and_parts_cannot_share_is_an_error(pairs, bundle):
    with pytest.raises(ValueError, match=r"a batch of 7 pairs cannot be shared by 4 processes in 2 parts each"):
        PairBatches(pairs, bundle, settings(accum_freq=2), World(0, 4))


def test_a_batch_larger_than_the_data_is_an_error(pairs, bundle):
    with pytest.raises(ValueError, match=r"batch_size 64 is larger than the data: 23 items"):
        PairBatches(pairs, bundle, settings(batch_size=64), World())
