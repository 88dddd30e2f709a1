"""The supervised classifier of an evaluation: trained on report labels, it scores the same images and findings."""

import pandas as pd

from cohort import open_images, read_cohort
from train import TrainConfig, supervised_predictions
from zero_shot import ZeroShotConfig, load_prompts, select_images


def ceiling_predictions(training: TrainConfig, scoring: ZeroShotConfig) -> pd.DataFrame:
    """Return image_id and a probability per finding for the images that `scoring` scores by prompts.

    Raises:
        FileNotFoundError, ValueError: As `select_images`, `load_prompts` and `supervised_predictions`.
    """
    with open_images(scoring.cxr_filepath) as store:
        chosen, *_ = select_images(
            read_cohort(scoring.cohort_filepath), store, split=scoring.split, views=scoring.views
        )
    return supervised_predictions(
        training, findings=load_prompts(scoring.prompts).findings, image_ids=chosen["image_id"].tolist()
    )
