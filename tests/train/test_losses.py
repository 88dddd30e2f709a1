"""Our losses against loops written from their formulas, and against open_clip's."""

import math

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import normalize

from train.losses import sigmoid_loss, softmax_loss

B, K, D = 5, 7, 4


@pytest.fixture(params=["all known", "some unknown"])
def case(request):
    generator = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(B, D, generator=generator, dtype=torch.float64), dim=1)
    texts = normalize(torch.randn(K, D, generator=generator, dtype=torch.float64), dim=1)
    targets = (torch.rand(B, K, generator=generator) < 0.3).double()
    targets[torch.arange(B), torch.arange(B)] = 1
    targets[0, 5] = targets[1, 6] = 1
    targets[2, 1], targets[4, 0] = 0.25, 0.5
    if request.param == "some unknown":
        rows, columns = (targets == 0).nonzero()[::4].T
        targets[rows, columns] = math.nan
    return images, texts, targets, torch.tensor(7.5, dtype=torch.float64)


def loop_softmax(images, texts, targets, scale):
    z = [[float(scale * (images[i] * texts[j]).sum()) for j in range(K)] for i in range(B)]
    y = targets.tolist()
    texts_of = [[j for j in range(K) if not math.isnan(y[i][j])] for i in range(B)]
    images_of = [[i for i in range(B) if not math.isnan(y[i][j])] for j in range(K)]
    total_images = total_texts = 0.0
    for i, known in enumerate(texts_of):
        partition = math.log(sum(math.exp(z[i][j]) for j in known))
        total_images += sum(y[i][j] * (partition - z[i][j]) for j in known) / sum(y[i][j] for j in known)
    for j, known in enumerate(images_of):
        partition = math.log(sum(math.exp(z[i][j]) for i in known))
        total_texts += sum(y[i][j] * (partition - z[i][j]) for i in known) / sum(y[i][j] for i in known)
    return (total_images / B + total_texts / K) / 2


def loop_sigmoid(images, texts, targets, scale, bias, weight):
    total = 0.0
    for i in range(B):
        for j in range(K):
            y = float(targets[i, j])
            if math.isnan(y):
                continue
            probability = 1 / (1 + math.exp(-float(scale * (images[i] * texts[j]).sum() + bias)))
            total -= weight * y * math.log(probability) + (1 - y) * math.log(1 - probability)
    return total / B


def test_softmax_form_equals_the_loop_soft_and_unknown_targets_included(case):
    assert float(softmax_loss(*case)) == pytest.approx(loop_softmax(*case), abs=1e-10)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_sigmoid_form_equals_the_loop_soft_and_unknown_targets_included(case, weight):
    bias = torch.tensor(-3.0, dtype=torch.float64)
    ours = sigmoid_loss(*case, bias=bias, positive_weight=weight)
    assert float(ours) == pytest.approx(loop_sigmoid(*case, bias, weight), abs=1e-10)


def test_softmax_form_is_clips_loss_when_each_image_has_one_text_of_its_own(case):
    images, texts, _, scale = case
    ours = softmax_loss(images, texts[:B], torch.eye(B, dtype=torch.float64), scale)
    assert float(ours) == pytest.approx(float(ClipLoss()(images, texts[:B], scale)), abs=1e-12)


def test_sigmoid_form_is_siglips_loss_when_each_image_has_one_text_of_its_own(case):
    images, texts, _, scale = case
    bias = torch.tensor(-3.0, dtype=torch.float64)
    ours = sigmoid_loss(images, texts[:B], torch.eye(B, dtype=torch.float64), scale, bias=bias)
    assert float(ours) == pytest.approx(float(SigLipLoss()(images, texts[:B], scale, bias)), abs=1e-12)


def test_a_duplicate_report_is_a_negative_as_two_columns_and_a_partner_as_one(case):
    _, texts, _, scale = case
    aligned = texts[:1].repeat(2, 1)
    plain = softmax_loss(aligned, aligned, torch.eye(2, dtype=torch.float64), scale)
    assert float(plain) == pytest.approx(math.log(2))
    # one column, both images its own: nothing is left to tell apart between columns
    ours = softmax_loss(aligned, texts[:1], torch.ones(2, 1, dtype=torch.float64), scale)
    assert float(ours) == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_the_parts_that_processes_compute_add_up_to_the_whole(case, form):
    bias = torch.tensor(-2.0, dtype=torch.float64)
    cuts = [(slice(0, 2), slice(0, 1)), (slice(2, 2), slice(1, 5)), (slice(2, 5), slice(5, 7))]
    if form == "softmax":
        parts = [softmax_loss(*case, rows=rows, columns=columns) for rows, columns in cuts]
        whole = softmax_loss(*case)
    else:
        parts = [sigmoid_loss(*case, bias=bias, positive_weight=3.0, rows=rows) for rows, _ in cuts]
        whole = sigmoid_loss(*case, bias=bias, positive_weight=3.0)
    assert float(sum(parts)) == pytest.approx(float(whole), abs=1e-12)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_the_order_of_images_and_of_texts_does_not_matter(case, form):
    images, texts, targets, scale = case
    rows, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([6, 2, 0, 5, 1, 4, 3])

    def loss(i, t, y):
        if form == "softmax":
            return float(softmax_loss(i, t, y, scale))
        return float(sigmoid_loss(i, t, y, scale, bias=torch.tensor(-2.0), positive_weight=3.0))

    shuffled = loss(images[rows], texts[columns], targets[rows][:, columns])
    assert shuffled == pytest.approx(loss(images, texts, targets), abs=1e-12)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_gradients_are_those_of_finite_differences(case, form):
    images, texts, targets, scale = case
    bias = torch.tensor(-2.0, dtype=torch.float64)
    inputs = [part.clone().requires_grad_() for part in (images, texts, scale, bias)]

    def loss(i, t, s, b):
        if form == "softmax":
            return softmax_loss(i, t, targets, s) + 0 * b
        return sigmoid_loss(i, t, targets, s, bias=b, positive_weight=2.0)

    assert torch.autograd.gradcheck(loss, inputs)
