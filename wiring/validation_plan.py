"""The validation of `run_train.py` while it trains: prompts against report labels, and held-out pairs.

It stands here, because training and zero-shot scoring do not import each other.
"""

from dataclasses import dataclass, replace

import pandas as pd

from cohort import open_images, read_cohort
from cohort.image_reader import CONSTANT
from metrics.evidence import MEAN
from models import Bundle
from train import TrainConfig, load_pairs, pair_validation
from train.saving.recorder import Evaluate
from zero_shot import Images, choose_labels, load_prompts, metrics_table, score, select_images


@dataclass(frozen=True, slots=True, kw_only=True)
class RunValidation:
    """How a run is judged while it trains."""

    evaluate: Evaluate | None
    """Function from a model to its figures; None if no image can be validated on"""
    images: pd.DataFrame | None
    """Cohort rows of the split that it takes images from"""
    notes: tuple[str, ...] = ()
    """What it lacks"""


def validation(config: TrainConfig) -> RunValidation:
    """Return the validation of a run. What it cannot use is left out and noted: it never stands in a run's way.

    Raises:
        ValueError: There is no validation, but `patience` waits for one.
    """
    found = _no_validation("--no_cohort") if config.no_cohort else _validation(config)
    if found.evaluate is None and config.patience is not None:
        raise ValueError(f"--patience: wanted validations to wait for, found none: {found.notes[0]}")
    return found


def _validation(config: TrainConfig) -> RunValidation:
    cohort = read_cohort(config.cohort_filepath)
    if not (cohort["split"] == config.eval_split).any():
        return _no_validation(f"{config.cohort_filepath} has no image in split {config.eval_split!r}")

    store = open_images(config.cxr_filepath)
    try:
        chosen, images, flow = select_images(cohort, store, split=config.eval_split, views=config.views)
    except ValueError as error:
        return _no_validation(str(error))
    by_prompts = prompt_validation(config, chosen, images)

    n_constant = sum(step.rows or 0 for step in flow.steps if step.reason == CONSTANT)
    notes = [f"validation: {n_constant} images left out, {CONSTANT}"] if n_constant else []
    if config.eval_split == config.train_split:
        notes.append(f"validation uses images of the training split {config.train_split!r}: its figures are too good")

    try:
        by_pairs = pair_validation(load_pairs(replace(config, train_split=config.eval_split)), config)
    except ValueError as error:
        notes.append(f"no validation loss and no retrieval: {error}")
        return RunValidation(evaluate=by_prompts, images=chosen, notes=tuple(notes))
    return RunValidation(
        evaluate=lambda bundle: by_prompts(bundle) | by_pairs(bundle), images=chosen, notes=tuple(notes)
    )


def _no_validation(reason: str) -> RunValidation:
    return RunValidation(evaluate=None, images=None, notes=(f"no validation, because {reason}",))


def prompt_validation(config: TrainConfig, chosen: pd.DataFrame, images: Images) -> Evaluate:
    """Return the function from a model to its zero-shot AUROC: "mean_auroc", and "auroc/FINDING" where defined."""
    chosen, few = chosen[: config.eval_images], slice(config.eval_images)
    images = replace(images, rows=images.rows[few], ids=images.ids[few])
    prompts = load_prompts(config.eval_prompts)
    labels = choose_labels(chosen, prompts.findings)
    patients = chosen["subject_id"].tolist()

    def evaluate(bundle: Bundle) -> dict[str, float]:
        scores = pd.DataFrame(score(bundle, images, prompts), columns=list(prompts.findings))
        scores.insert(0, "image_id", labels["image_id"].to_numpy())
        table = metrics_table(
            scores, labels, patients, findings=prompts.findings, n_replicates=0, min_n=5, min_patients=2
        )
        areas = table.set_index("finding")["auroc"].dropna()
        return {"mean_auroc" if name == MEAN else f"auroc/{name}": float(area) for name, area in areas.items()}

    return evaluate
