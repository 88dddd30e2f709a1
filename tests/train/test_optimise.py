"""The loop by itself: guard against bad gradients, float16's scale, rates of layers."""

from dataclasses import dataclass, replace
from math import nan

import pytest
import torch
from torch import nn

from train.clock import Clock
from train.distributed import World
from train.optimise import make_optimizer, make_scaler, optimise
from train.train_config import TrainConfig

CONFIG = TrainConfig(optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=0.0, warmup=0.0, schedule="constant", epochs=4)


@dataclass(frozen=True)
class Rows:
    values: torch.Tensor
    loss_floor: float = nan

    @property
    def n_images(self):
        return len(self.values)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))


def rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [Rows(torch.randn((6, 3), generator=generator)) for _ in range(n)]


def run(module, batches, config=CONFIG, *, should_end=lambda: False):
    scaler = make_scaler(config, torch.device("cpu"))

    def gradients_of(batch):
        with torch.autocast("cpu", torch.float16, enabled=isinstance(module, nn.Linear)):
            outputs = module(batch.values)
        loss = outputs.float().square().mean()
        scaler.scale(loss).backward()
        return loss.detach()

    yield from optimise(
        make_optimizer(module, config), iter([*batches, batches[-1]]), gradients_of, config, module=module,
        clock=Clock(config, steps_per_epoch=1), scaler=scaler, world=World(),
        should_end=should_end,
    )  # fmt: skip


def test_a_step_is_the_clipped_gradient_times_the_rate():
    module, batches = network(), rows(4)
    before = [one.detach().clone() for one in module.parameters()]
    config = replace(CONFIG, grad_clip=1e-3)
    step = next(run(module, batches, config))
    moved = [new.detach() - old for new, old in zip(module.parameters(), before, strict=True)]
    assert torch.cat([one.flatten() for one in moved]).norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)
    assert step.gradient_norm > 1e-2
    assert (step.number, step.n_items, step.is_skipped) == (1, 6, False)


def test_a_gradient_that_is_no_number_changes_nothing_and_the_run_goes_on():
    module, batches = network(), rows(4)
    batches[1].values[0, 0] = nan
    states, skipped = [], []
    for step in run(module, batches):
        states.append({name: value.clone() for name, value in module.state_dict().items()})
        skipped.append(step.is_skipped)
    assert skipped == [False, True, False, False]
    # running statistics too: one NaN in them would stay for ever
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(value.isfinite().all() for value in states[3].values())
    assert not torch.equal(states[1]["0.weight"], states[2]["0.weight"])


def test_too_many_bad_steps_in_a_row_end_the_run_and_a_good_one_between_them_does_not():
    config = replace(CONFIG, max_bad_steps=2)
    batches = rows(4)
    for bad in (0, 2):
        batches[bad].values[:] = nan
    assert len(list(run(network(), batches, config))) == 4
    batches[1].values[:] = nan
    with pytest.raises(RuntimeError, match=r"the gradients of 2 steps in a row, up to step 2, are not finite: .*--lr"):
        list(run(network(), batches, config))


def test_the_scale_of_float16_leaves_the_update_as_it_is_and_falls_when_gradients_overflow():
    plain, scaled = network(), network()
    config = replace(CONFIG, precision="fp16")
    for one, other in zip(run(plain, rows(4)), run(scaled, rows(4), config), strict=True):
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-5)
    for one, other in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    module = nn.Linear(3, 1)
    nn.init.constant_(module.weight, 1 / 3)
    nn.init.zeros_(module.bias)
    # six outputs of 1: the bias's gradient is 2, times the first scale of 65536 too large for float16, and times half
    ones = [Rows(torch.ones(6, 3))] * 4
    assert [step.is_skipped for step in run(module, ones, config)] == [True, True, False, False]


def test_dropout_depends_on_the_step_and_on_nothing_that_was_drawn_before():
    losses = []
    for noise in (0, 7):
        module = network()
        torch.rand(noise)
        # weights that hardly move, and one batch: what differs between the steps is dropout
        losses.append([float(step.loss) for step in run(module, rows(1) * 4, replace(CONFIG, lr=1e-12))])
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 4


def test_the_wish_to_end_is_heard_before_the_next_step():
    wishes = iter([False, False, True])
    assert [step.number for step in run(network(), rows(4), should_end=lambda: next(wishes))] == [1, 2]


def test_layers_learn_slower_the_deeper_they_are_and_frozen_ones_not_at_all():
    module = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "text": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    module["c"].requires_grad_(requires_grad=False)
    depths = {"a.weight": 2, "a.bias": 2, "b.weight": 1, "b.bias": 1}
    optimizer = make_optimizer(module, TrainConfig(layer_decay=0.5, text_rate=3.0), depths=depths)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    rates = {names[id(one)]: group["rate"] for group in optimizer.param_groups for one in group["params"]}
    assert rates == {"a.weight": 0.25, "a.bias": 0.25, "b.weight": 0.5, "b.bias": 0.5, "text.weight": 3, "text.bias": 3}
    module.requires_grad_(requires_grad=False)
    with pytest.raises(ValueError, match="no weight of the model is trainable"):
        make_optimizer(module, CONFIG)


@pytest.mark.parametrize("name", ["pos_embed", "cls_token", "positional_embedding"])
def test_positions_and_tokens_never_decay_and_matrices_do(name):
    module = nn.Linear(2, 2)
    module.register_parameter(name, nn.Parameter(torch.ones(2, 2)))
    module.position_embeddings = nn.Embedding(3, 2)
    decays = {
        one: group["weight_decay"]
        for group in make_optimizer(module, replace(CONFIG, weight_decay=0.3)).param_groups
        for one in group["params"]
    }
    found = {key: decays[one] for key, one in module.named_parameters()}
    assert found == {"weight": 0.3, "bias": 0.0, name: 0.0, "position_embeddings.weight": 0.0}
