"""Schedule and clock."""

import math
import time
from dataclasses import replace

import pytest

from train.clock import Clock, rate_factor
from train.train_config import TrainConfig

CONFIG = TrainConfig(warmup=0.1)


@pytest.mark.parametrize(
    ("fraction", "wanted"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (0.325, (1 + math.cos(math.pi / 4)) / 2)],
)
def test_the_rate_rises_linearly_and_falls_as_half_a_cosine(fraction, wanted):
    assert rate_factor(fraction, CONFIG) == pytest.approx(wanted)


def test_a_constant_schedule_stays_at_the_top_after_the_warm_up():
    constant = replace(CONFIG, schedule="constant")
    assert [rate_factor(f, constant) for f in (0.05, 0.1, 0.9, 1.0)] == [0.5, 1.0, 1.0, 1.0]
    assert rate_factor(0.0, replace(constant, warmup=0.0)) == 1.0


def test_counted_in_steps_the_run_is_over_after_all_epochs_and_no_step_has_rate_zero():
    clock = Clock(TrainConfig(epochs=3), steps_per_epoch=4)
    fractions = []
    while not clock.is_over:
        fractions.append(clock.fraction)
        clock.step += 1
    assert fractions == pytest.approx([(step + 0.5) / 12 for step in range(12)])
    assert all(rate_factor(fraction, CONFIG) > 0 for fraction in fractions)


def test_counted_in_minutes_the_run_is_over_when_the_time_is_up_and_pauses_do_not_count(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(TrainConfig(max_minutes=1.0, epochs=1), steps_per_epoch=1)
    clock.step = 50
    now[0] += 30
    assert clock.fraction == pytest.approx(0.5)
    with clock.pause():
        now[0] += 1000
    assert clock.seconds == pytest.approx(30)
    assert not clock.is_over
    now[0] += 31
    assert clock.is_over
    assert clock.fraction == 1.0


def test_a_run_has_at_least_one_step_however_short_its_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(TrainConfig(max_minutes=0.01), steps_per_epoch=1)
    now[0] += 60
    assert not clock.is_over
    clock.step += 1
    assert clock.is_over
