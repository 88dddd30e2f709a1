"""Every item once per epoch, in steps of nearly equal size that follow from seed and step alone."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from train.input.order import EpochOrder, steps_per_epoch


def an_epoch(order, epoch=0):
    steps = order.steps_per_epoch
    return [order.items(step) for step in range(epoch * steps, (epoch + 1) * steps)]


@given(n=st.integers(2, 300), batch_size=st.integers(2, 80), seed=st.integers(0, 5))
def test_an_epoch_has_every_item_once_in_nearly_equal_batches_and_none_of_one(n, batch_size, seed):
    assume(n >= batch_size)
    batches = an_epoch(EpochOrder(np.ones(n, dtype=int), batch_size, seed=seed), epoch=1)
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert min(sizes) > 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)
    assert len(batches) == steps_per_epoch(n, batch_size)


@given(
    sizes=st.lists(st.integers(1, 3), min_size=10, max_size=100), batch_size=st.integers(6, 10), seed=st.integers(0, 5)
)
def test_studies_of_several_images_fill_batches_that_hold_no_more_images_than_asked_for(sizes, batch_size, seed):
    sizes = np.array(sizes)
    batches = an_epoch(EpochOrder(sizes, batch_size, seed=seed))
    assert sorted(np.concatenate(batches)) == list(range(len(sizes)))
    images = [int(sizes[batch].sum()) for batch in batches]
    assert max(images) <= batch_size
    assert max(images) - min(images) <= 2 * sizes.max()


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ValueError, match=r"batch_size 64 is larger than the data: 10 items"):
        EpochOrder(np.ones(10, dtype=int), 64, seed=0)


def test_any_step_can_be_asked_for_without_those_before():
    straight = EpochOrder(np.ones(50, dtype=int), 8, seed=3)
    batches = [straight.items(step) for step in range(20)]
    for step in (17, 3, 11):
        assert np.array_equal(EpochOrder(np.ones(50, dtype=int), 8, seed=3).items(step), batches[step])


def test_epochs_and_seeds_have_orders_of_their_own():
    one, other = (EpochOrder(np.ones(50, dtype=int), 8, seed=seed) for seed in (1, 2))
    first, second, elsewhere = (np.concatenate(an_epoch(*args)) for args in ((one, 0), (one, 1), (other, 0)))
    assert (first != second).mean() > 0.5
    assert (first != elsewhere).mean() > 0.5
