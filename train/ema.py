"""The moving average of the weights: steadier than the last step's, and what is then validated and saved."""

from timm.utils.model_ema import ModelEmaV3
from torch import nn

START = 10
"""steps over which the average lets go of the weights that the run began with, see `moving_average`"""


def moving_average(model: nn.Module, *, decay: float) -> ModelEmaV3:
    """Return a copy of the model; `.update(model, step)` after step t moves it to `d * average + (1 - d) * weights`.

    d is `min(decay, (t - 1) / (t - 1 + 10))`: a short run would otherwise end as a mixture with where it started.
    Batch norm's statistics are averaged alike; masks, which are not weights and hold -inf, are left alone
    (torch's `AveragedModel` makes them NaN).

    Source: `timm.utils.ModelEmaV3`; the warm-up is `tf.train.ExponentialMovingAverage`'s.
    """
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_gamma=START, warmup_power=1.0)
