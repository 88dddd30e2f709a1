"""One evaluation from a configuration to tables, and the tables to files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from atomic import write_json, write_whole
from cohort import Exposure, Flow, open_images, read_cohort
from zero_shot.config import ZeroShotConfig
from zero_shot.ensemble import Member, average, in_order, score_checkpoints
from zero_shot.evaluate import metrics_table
from zero_shot.exposure import stamp
from zero_shot.features import pick_device
from zero_shot.images import Images
from zero_shot.prompts import PromptSet, load_prompts
from zero_shot.protocols import Applied, apply_protocol
from zero_shot.select import choose_labels, select_images
from zero_shot.spec import build_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Tables of one evaluation; all but `metrics` have one row per scored image, in the same order."""

    predictions: pd.DataFrame
    """image_id, then a probability per finding."""
    truth: pd.DataFrame
    """image_id, then a label per finding in {1, 0, NaN}."""
    cohort: pd.DataFrame
    """Cohort rows of the scored images."""
    metrics: pd.DataFrame
    """See `evaluate.metrics_table`."""
    spec: dict[str, Any]
    """See `spec.build_spec`."""
    flow: Flow
    """Which rows of the cohort were not scored, and why."""
    exposure: Exposure
    """Whether the scored images were seen in training."""
    protocol: Applied | None = None
    """The published protocol that was followed."""
    beside: pd.DataFrame | None = None
    """With a protocol: the measured figures beside the published ones, see `protocols.beside_published`."""

    @property
    def findings(self) -> list[str]:
        """The findings that were scored, in column order."""
        return list(self.predictions.columns[1:])

    @property
    def prompts(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Finding -> its "positive" and "negative" phrases."""
        prompts: Mapping[str, Mapping[str, Sequence[str]]] = self.spec["evaluation"]["prompts"]
        return prompts

    def judge(self, predictions: pd.DataFrame, *, n_replicates: int, seed: int) -> pd.DataFrame:
        """Return the table `metrics` for other predictions of the same images, such as another model's.

        Raises:
            ValueError: see `metrics_table`.
        """
        patients = self.cohort["subject_id"].tolist()
        return metrics_table(
            predictions, self.truth, patients, findings=self.findings, n_replicates=n_replicates, seed=seed
        )


def run(config: ZeroShotConfig) -> Results:
    """Select images and labels, score them, and evaluate the scores.

    Everything that can be refused without a model is refused before one is loaded.

    Raises:
        FileNotFoundError: a file of the configuration is missing.
        ValueError: see `select_images`, `choose_labels`, `load_prompts`, `score_checkpoints`, `metrics_table`.
    """
    cohort = read_cohort(config.cohort_filepath)
    applied = apply_protocol(config, cohort) if config.protocol else None
    config = applied.config if applied else config
    prompts = load_prompts(config.prompts)
    prompts = prompts.select(config.findings) if config.findings else prompts
    with open_images(config.cxr_filepath) as store:
        chosen, images, flow = select_images(
            cohort, store, split=config.split, views=config.views, left_out=applied.left_out if applied else None
        )
        applied = applied.selected(chosen) if applied else None
        truth = (
            applied.truth(chosen, prompts.findings)
            if applied
            else choose_labels(
                chosen,
                prompts.findings,
                truth_filepath=config.truth_filepath,
                uncertainty_policy=config.uncertainty_policy,
                blank_is_zero=config.blank_is_zero,
            )
        )
        stamped = stamp(config.checkpoints, chosen, images, named=config.trained_on)
        members = _score(config, images, prompts)
        spec = _spec(config, members, prompts, images=images, truth=truth, store=store.attributes)
    spec["exposure"] = stamped.to_json()
    if applied:
        spec["protocol"] = applied.to_json()
    scores = average([member.scores for member in members])
    predictions = pd.DataFrame(scores, columns=list(prompts.findings))
    predictions.insert(0, "image_id", list(images.ids))
    table = metrics_table(
        predictions,
        truth,
        chosen["subject_id"].tolist(),
        findings=prompts.findings,
        n_replicates=config.n_replicates,
        seed=config.seed,
    )
    beside = applied.beside(table, predictions, truth, chosen["subject_id"].tolist()) if applied else None
    return Results(
        predictions=predictions,
        truth=truth,
        cohort=chosen,
        metrics=table,
        spec=spec,
        flow=flow,
        exposure=stamped.exposure,
        protocol=applied,
        beside=beside,
    )


def write(results: Results, subgroups: pd.DataFrame, folder: Path) -> None:
    """Write predictions, metrics, subgroups, flow (CSV) and spec.json into `folder`, each whole or not at all.

    exposure.csv is written only if not all images are clean, published.csv only with a protocol. The specification
    comes last: a folder with a spec.json is complete.
    """
    for name in ("spec.json", "exposure.csv", "published.csv"):
        (folder / name).unlink(missing_ok=True)
    tables = {"predictions": results.predictions, "metrics": results.metrics, "subgroups": subgroups}
    if results.exposure.stamp != "clean":
        tables["exposure"] = results.exposure.images
    if results.beside is not None:
        tables["published"] = results.beside
    for name, table in tables.items():
        with write_whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    results.flow.write(folder / "flow.csv")
    write_json(folder / "spec.json", results.spec)


def _score(config: ZeroShotConfig, images: Images, prompts: PromptSet) -> tuple[Member, ...]:
    n_models = len(in_order(config.checkpoints))
    with tqdm(total=n_models * len(images), unit="image", desc="encode images", disable=None) as bar:
        return score_checkpoints(
            config.checkpoints,
            images,
            prompts,
            scoring=config.scoring,
            batch_size=config.batch_size,
            device=pick_device(config.device),
            progress=bar.update,
        )


def _spec(
    config: ZeroShotConfig,
    members: tuple[Member, ...],
    prompts: PromptSet,
    *,
    images: Images,
    truth: pd.DataFrame,
    store: dict[str, Any],
) -> dict[str, Any]:
    return build_spec(
        members,
        prompts,
        scoring=config.scoring,
        images={
            "split": config.split,
            "views": config.views,
            "n": len(images),
            "fingerprint": images.fingerprint(),
            "resize_rule": store.get("resize_rule"),
            "resolution": store.get("resolution"),
        },
        labels={
            "fingerprint": hashlib.sha256(truth.to_csv(index=False).encode()).hexdigest(),
            "source": "cohort" if config.truth_filepath is None else "truth file",
            "uncertainty_policy": config.uncertainty_policy,
            "blank_is_zero": config.truth_filepath is None if config.blank_is_zero is None else config.blank_is_zero,
        },
        interval={"unit": "patient", "replicates": config.n_replicates, "seed": config.seed, "level": 0.95},
    )
