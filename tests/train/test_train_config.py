"""The configuration refuses what cannot be, and is light."""

import subprocess
import sys

import pytest

from train.presets import PRESETS, chexzero
from train.train_config import TrainConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 1}, "--batch_size: wanted 2 or more, found 1"),
        ({"epochs": 0}, "--epochs: wanted 1 or more, found 0"),
        ({"lr": 0.0}, "--lr: wanted more than 0, found 0.0"),
        ({"max_minutes": -1.0}, "--max_minutes: wanted more than 0"),
        ({"warmup": 1.0}, "--warmup: wanted a share from 0 to below 1, found 1.0"),
        ({"grad_clip": 0.0}, "--grad_clip: wanted more than 0"),
        (
            {"objective": "reports", "duplicates": "negatives", "unmentioned": "unknown"},
            "--duplicates negatives: wanted every other report as a negative, found --unmentioned unknown",
        ),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**fields)


def test_every_preset_can_be_built():
    assert all(isinstance(make(), TrainConfig) for make in PRESETS.values())


def test_the_reference_recipe_has_none_of_our_additions():
    recipe = chexzero()
    assert (recipe.objective, recipe.form, recipe.duplicates) == ("reports", "softmax", "negatives")
    assert (recipe.optimizer, recipe.lr, recipe.momentum) == ("sgd", 1e-4, 0.9)
    assert (recipe.schedule, recipe.warmup, recipe.grad_clip, recipe.weight_decay) == ("constant", 0.0, None, 0.0)
    assert (recipe.precision, recipe.clamp_scale, recipe.antialias, recipe.augment.shift) == ("fp32", False, False, 0.0)


def test_importing_the_configuration_loads_neither_torch_nor_pandas():
    code = "import sys, train, train.train_config; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
