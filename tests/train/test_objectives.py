"""Our losses against loops written from their formulas."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from train.objectives import info_nce, multi_positive_sigmoid, multi_positive_softmax

B, K, D = 5, 7, 4


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(B, D, generator=generator, dtype=torch.float64), dim=1)
    texts = normalize(torch.randn(K, D, generator=generator, dtype=torch.float64), dim=1)
    positives = torch.rand(B, K, generator=generator) < 0.3
    positives[torch.arange(B), torch.arange(B)] = True
    positives[0, 5] = positives[1, 6] = True
    return images, texts, positives, torch.tensor(7.5, dtype=torch.float64)


def loop_softmax(images, texts, positives, scale):
    z = [[float(scale * (images[i] * texts[j]).sum()) for j in range(K)] for i in range(B)]
    total_images = total_texts = 0.0
    for i in range(B):
        own = [j for j in range(K) if positives[i, j]]
        floor = math.log(sum(math.exp(z[i][j]) for j in range(K)))
        total_images += sum(floor - z[i][j] for j in own) / len(own)
    for j in range(K):
        own = [i for i in range(B) if positives[i, j]]
        floor = math.log(sum(math.exp(z[i][j]) for i in range(B)))
        total_texts += sum(floor - z[i][j] for i in own) / len(own)
    return (total_images / B + total_texts / K) / 2


def loop_sigmoid(images, texts, positives, scale, bias, weight):
    total = 0.0
    for i in range(B):
        for j in range(K):
            z = float(scale * (images[i] * texts[j]).sum() + bias)
            probability = 1 / (1 + math.exp(-z))
            total -= weight * math.log(probability) if positives[i, j] else math.log(1 - probability)
    return total / B


def test_softmax_form_equals_the_loop(case):
    assert float(multi_positive_softmax(*case)) == pytest.approx(loop_softmax(*case), abs=1e-10)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_sigmoid_form_equals_the_loop(case, weight):
    bias = torch.tensor(-3.0, dtype=torch.float64)
    ours = multi_positive_sigmoid(*case, bias=bias, positive_weight=weight)
    assert float(ours) == pytest.approx(loop_sigmoid(*case, bias, weight), abs=1e-10)


def test_softmax_form_equals_plain_infonce_when_each_report_is_one_sentence_of_its_own(case):
    images, texts, _, scale = case
    plain = info_nce(images, texts[:B], scale)
    ours = multi_positive_softmax(images, texts[:B], torch.eye(B, dtype=torch.bool), scale)
    assert float(ours) == pytest.approx(float(plain), abs=1e-12)


def test_infonce_is_the_mean_cross_entropy_of_both_directions(case):
    images, texts, _, scale = case
    z = (scale * images @ texts[:B].T).numpy()
    by_hand = sum(
        math.log(sum(math.exp(v) for v in row)) - row[i] for matrix in (z, z.T) for i, row in enumerate(matrix)
    )
    assert float(info_nce(images, texts[:B], scale)) == pytest.approx(by_hand / (2 * B), abs=1e-12)


def test_a_duplicate_report_is_a_negative_to_infonce_and_a_positive_to_ours(case):
    _images, texts, _, scale = case
    same = texts[:1].repeat(2, 1)
    aligned = texts[:1].repeat(2, 1)
    assert float(info_nce(aligned, same, scale)) == pytest.approx(math.log(2))
    # one column, both images its positives: nothing is left to tell apart between the columns
    ours = multi_positive_softmax(aligned, texts[:1], torch.ones(2, 1, dtype=torch.bool), scale)
    assert float(ours) == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_the_order_of_images_and_of_sentences_does_not_matter(case, form):
    images, texts, positives, scale = case
    rows, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([6, 2, 0, 5, 1, 4, 3])

    def loss(i, t, p):
        if form == "softmax":
            return float(multi_positive_softmax(i, t, p, scale))
        return float(multi_positive_sigmoid(i, t, p, scale, bias=torch.tensor(-2.0), positive_weight=3.0))

    shuffled = loss(images[rows], texts[columns], positives[rows][:, columns])
    assert shuffled == pytest.approx(loss(images, texts, positives), abs=1e-12)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_gradients_are_those_of_finite_differences(case, form):
    images, texts, positives, scale = case
    bias = torch.tensor(-2.0, dtype=torch.float64)
    inputs = [part.clone().requires_grad_() for part in (images, texts, scale, bias)]

    def loss(i, t, s, b):
        if form == "softmax":
            return multi_positive_softmax(i, t, positives, s) + 0 * b
        return multi_positive_sigmoid(i, t, positives, s, bias=b, positive_weight=2.0)

    assert torch.autograd.gradcheck(loss, inputs)


def test_pulling_a_positive_pair_together_lowers_both_forms(case):
    images, texts, positives, scale = case
    closer = images.clone()
    closer[2] = normalize(images[2] + 0.2 * texts[positives[2]].mean(dim=0), dim=0)
    bias = torch.tensor(-2.0)
    assert multi_positive_softmax(closer, texts, positives, scale) < multi_positive_softmax(*case)
    assert multi_positive_sigmoid(closer, texts, positives, scale, bias=bias) < multi_positive_sigmoid(*case, bias=bias)
