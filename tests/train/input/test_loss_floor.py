"""The floor is where the trained loss ends up when every logit is free: by descent in float64, through the loss itself."""

import math

import numpy as np
import pytest
import torch

from train.input.loss_floor import loss_floor
from train.losses import sigmoid_loss, softmax_loss

UNKNOWN = math.nan
CASES = {
    "one text per image": (np.eye(5), range(5)),
    "clip with 3 and 2 identical texts": (np.eye(6), [0, 0, 0, 1, 2, 2]),
    "clip with one text": (np.eye(4), [7] * 4),
    "several positives": (np.array([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]]), range(4)),
    "soft": (np.array([[1, 0.3, 0], [0.3, 1, 0], [0, 0, 1.0]]), range(3)),
    "unknown pairs": (np.array([[1, UNKNOWN, 0], [1, 1, 0.2], [UNKNOWN, 0, 1]]), range(3)),
}


def lowest(targets, texts, *, form, weight):
    """Descend on one free logit per image and distinct text."""
    group = np.unique(list(texts), return_inverse=True)[1]
    free = torch.zeros(len(targets), group.max() + 1, dtype=torch.float64, requires_grad=True)
    wanted, one = torch.tensor(targets, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    eye = torch.eye(len(targets), dtype=torch.float64)

    def loss():
        # features whose products are the free logits
        features = free[:, group].T
        if form == "softmax":
            return softmax_loss(eye, features, wanted, one)
        return sigmoid_loss(eye, features, wanted, one, bias=0 * one, positive_weight=weight)

    optimizer = torch.optim.Adam([free], lr=0.3)
    for _ in range(800):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return value.item()


@pytest.mark.parametrize(("form", "weight"), [("softmax", 1.0), ("sigmoid", 1.0), ("sigmoid", 3.0)])
@pytest.mark.parametrize("case", CASES)
def test_no_logits_go_below_the_floor_and_the_best_reach_it(case, form, weight):
    targets, texts = CASES[case]
    targets = targets.astype(np.float32)
    floor = loss_floor(targets, np.array(list(texts)), form=form, positive_weight=weight)
    found = lowest(targets, texts, form=form, weight=weight)
    assert floor - 1e-6 <= found <= floor + 2e-3


def test_the_floor_of_clip_is_the_mean_logarithm_of_how_many_share_the_text():
    texts = np.array([3, 3, 3, 1, 2, 2])
    wanted = (3 * math.log(3) + 2 * math.log(2)) / 6
    assert loss_floor(np.eye(6, dtype=np.float32), texts, form="softmax") == pytest.approx(wanted, abs=1e-12)


def test_the_floor_of_the_sigmoid_with_identical_texts_is_the_entropy_of_their_classification():
    """Two identical texts, each positive for one of two images: four even classifications of two columns."""
    wanted = 2 * 2 * math.log(2) / 2
    assert loss_floor(np.eye(2, dtype=np.float32), np.array([0, 0]), form="sigmoid") == pytest.approx(wanted, abs=1e-12)
