"""One evaluation: from a configuration to its tables, and from the tables to files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

from cohort import Flow, ImageStore, open_images
from cohort.exposure import TrainingExposure
from common.atomic import write_csv, write_json
from metrics.precision_recall import adjusted_auprc_matrix, auprc_matrix
from metrics.threshold_policy import thresholds_to_json
from models import pick_device
from zero_shot.auroc_table import metrics_table
from zero_shot.by_row import cohort_of, labels_by_row
from zero_shot.embeddings import Cache
from zero_shot.ensemble import Member, in_order, score_ensemble
from zero_shot.evaluation.decision_rule import LabelledScores
from zero_shot.evaluation.decisions import DecisionTables, decide_scores
from zero_shot.evaluation.earlier_results import refuse_earlier
from zero_shot.evaluation.seen_in_training import stamp
from zero_shot.evaluation.spec import spec_of_run
from zero_shot.images import Images
from zero_shot.prompts import PromptSet, load_prompts
from zero_shot.protocols import ProtocolPlan, apply_protocol, beside_text
from zero_shot.select import choose_labels, decide_labels, select_images, select_validation
from zero_shot.zero_shot_config import ZeroShotConfig

EMBEDDINGS = "embeddings.h5"
SOMETIMES = (
    *("exposure.csv", "published.csv", "thresholds.json", "calibration.json"),
    *("decisions.csv", "calibration.csv", "reliability.csv", "calibrated.csv", "readers.csv"),
    *("reliability.svg", "report.html"),
)
"""Files that not every evaluation writes: those of an earlier run are removed"""
SHOWN = ("finding", "n", "n_pos", "patients", "auroc", "low", "high", "auprc", "auprc_low", "auprc_high", "status")
DECISIONS_SHOWN = ("finding", "policy", "threshold", "sensitivity", "specificity", "ppv", "f1", "mcc", "reason")
READERS_SHOWN = ("measure", "finding", "model", "readers", "difference", "difference_low", "difference_high", "reason")
FURTHER = {"auprc": auprc_matrix, "auprc_adjusted": adjusted_auprc_matrix}
"""Figures beside the AUROC, on the same replicates"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Tables of one evaluation; all but `metrics` have one row per scored image, in the same order."""

    predictions: pd.DataFrame
    """image_id, then a probability per finding"""
    truth: pd.DataFrame
    """image_id, then a label per finding in {1, 0, NaN}"""
    cohort: pd.DataFrame
    """Cohort rows of the scored images"""
    metrics: pd.DataFrame
    """See `metrics_table`"""
    decided: DecisionTables
    """Decisions and calibrated probabilities"""
    spec: dict[str, Any]
    """See `spec.build_spec`"""
    flow: Flow
    """Rows of the cohort that were left out, by reason"""
    exposure: TrainingExposure
    """Whether the scored images were seen in training"""
    notes: tuple[str, ...] = ()
    """What a reader should know, such as images that were upscaled"""
    protocol: ProtocolPlan | None = None
    """The published protocol that was followed"""
    beside: pd.DataFrame | None = None
    """With a protocol: the measured figures beside the published ones, see `beside_published`"""

    @property
    def findings(self) -> list[str]:
        """The findings that were scored, in column order."""
        return list(self.predictions.columns[1:])

    @property
    def prompts(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Finding -> its "positive" and "negative" phrases."""
        prompts: Mapping[str, Mapping[str, Sequence[str]]] = self.spec["evaluation"]["prompts"]
        return prompts

    def summary(self) -> str:
        """Return scores and decisions for a terminal: tables, then notes."""
        parts = [_for_terminal(self.metrics, SHOWN)]
        reasons = self.metrics[self.metrics["reason"] != ""]
        parts += [f"{finding}: {reason}" for finding, reason in zip(reasons["finding"], reasons["reason"], strict=True)]
        for table, columns in ((self.decided.decisions, DECISIONS_SHOWN), (self.decided.readers, READERS_SHOWN)):
            if table is not None:
                parts.append(_for_terminal(table, columns))
        parts += [*self.notes, str(self.exposure)]
        if self.protocol is not None and self.beside is not None:
            parts += [str(self.protocol), beside_text(self.beside)]
        return "\n".join(parts)

    def judge(self, predictions: pd.DataFrame, *, n_replicates: int, seed: int) -> pd.DataFrame:
        """Return the table `metrics` for other predictions of the same images, such as by another model.

        Raises:
            ValueError: see `metrics_table`.
        """
        patients = self.cohort["subject_id"].tolist()
        return metrics_table(
            predictions,
            self.truth,
            patients,
            findings=self.findings,
            n_replicates=n_replicates,
            seed=seed,
            further=FURTHER,
        )


def _for_terminal(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return some columns of a table as text."""
    shown = table[list(columns)].astype("object")
    return shown.where(shown.notna(), "").to_string(index=False, float_format="{:.3f}".format)


def run(config: ZeroShotConfig) -> Results:
    """Select images and labels, score them, and evaluate the scores.

    Errors that do not need a model are raised before one is loaded. The image features are stored in the result folder
    unless `config.cache` is off; nothing else is written here.

    Raises:
        FileNotFoundError: a file of the configuration is missing.
        ValueError: see `select_images`, `choose_labels`, `load_prompts`, `score_ensemble`, `metrics_table`.
    """
    config, cohort, by_row = cohort_of(config)
    plan = apply_protocol(config, cohort) if config.protocol else None
    config = plan.config if plan else config
    prompts = load_prompts(config.prompts)
    prompts = prompts.select(config.findings) if config.findings else prompts
    findings = prompts.findings

    with open_images(config.cxr_filepath) as store:
        # which images and labels: to score, and to fit on
        left_out = plan.left_out if plan else None
        chosen, images, flow = select_images(cohort, store, split=config.split, views=config.views, left_out=left_out)
        plan = plan.selected(chosen) if plan else None
        label = partial(_labels, config, plan, findings=findings)
        truth = label(chosen)
        validation, why_not = select_validation(
            cohort,
            store,
            chosen,
            label,
            split=config.fit_split,
            scored_split=config.split,
            views=config.views,
            left_out=left_out,
        )

        # one pass over all images, so that each model is loaded once
        spec_of = partial(
            spec_of_run, config, prompts=prompts, store=store, images=images, chosen=chosen, truth=truth,
            validation=validation, headline=asdict(plan.protocol.headline) if plan else None,
        )  # fmt: skip
        refuse_earlier(config, spec_of(()))
        to_score = images.followed_by(validation.images) if validation else images
        cache = _cache(config, to_score)
        exposure = stamp(config.checkpoints, chosen, images, named=config.trained_on)
        scores, members = _score(config, to_score, prompts, cache)
        spec = spec_of(members)
        origin = refuse_earlier(config, spec)
    spec["exposure"] = exposure.to_json()
    if plan:
        spec["protocol"] = plan.to_json()

    # figures of the scores, and of the decisions fitted on validation images
    scored = _labelled(chosen, truth, scores[: len(images)])
    fit_on = _labelled(validation.cohort, validation.truth, scores[len(images) :]) if validation else None
    studies = chosen["study_id"].tolist()
    decided = decide_scores(config, scored, fit_on, findings=findings, studies=studies, why_not=why_not)
    table = metrics_table(
        scored.predictions,
        truth,
        scored.subject_ids,
        findings=findings,
        n_replicates=config.n_replicates,
        seed=config.seed,
        further=FURTHER,
    )
    beside = plan.beside(decided.joined(table), scored.predictions, truth, scored.subject_ids) if plan else None

    return Results(
        predictions=scored.predictions,
        truth=truth,
        cohort=chosen,
        metrics=table,
        decided=decided,
        spec=spec,
        flow=flow,
        exposure=exposure.exposure,
        notes=(*by_row, *_notes(members, store), *origin, *decided.notes),
        protocol=plan,
        beside=beside,
    )


def write(results: Results, subgroups: pd.DataFrame, folder: Path) -> None:
    """Write predictions, truth, metrics, subgroups, flow (CSV) and spec.json into `folder`, each whole or not at all.

    `truth.csv` holds the labels and the patient of every image, so that two folders can be compared patient by patient.
    If thresholds and calibration were fitted, thresholds.json, calibration.json and the tables of `DecisionTables` are
    written too; exposure.csv only if not all images are clean, published.csv only with a protocol. The specification
    comes last: a folder with a spec.json has all tables. The report and its figures follow, see
    `wiring.evaluation_report`.
    """
    for name in ("spec.json", *SOMETIMES):
        (folder / name).unlink(missing_ok=True)

    # tables
    truth = results.truth.copy()
    truth.insert(1, "subject_id", results.cohort["subject_id"].to_numpy())
    tables = {"predictions": results.predictions, "truth": truth, "metrics": results.metrics, "subgroups": subgroups}
    tables |= results.decided.tables
    if results.exposure.stamp != "clean":
        tables["exposure"] = results.exposure.images
    if results.beside is not None:
        tables["published"] = results.beside
    for name, table in tables.items():
        write_csv(folder / f"{name}.csv", table)
    results.flow.write(folder / "flow.csv")

    # the fitted rule
    rule = results.decided.fitted
    if rule is not None:
        write_json(folder / "thresholds.json", thresholds_to_json(rule.thresholds))
        if rule.calibrators:
            write_json(folder / "calibration.json", rule.to_json())

    write_json(folder / "spec.json", results.spec)


def _labels(
    config: ZeroShotConfig, plan: ProtocolPlan | None, chosen: pd.DataFrame, *, findings: tuple[str, ...]
) -> pd.DataFrame:
    """Return image_id and a label per finding for cohort rows: the protocol's, a truth file's, or the cohort's own."""
    if plan is not None:
        return plan.truth(chosen, findings)
    if config.cohort_filepath is None and config.truth_filepath is not None:
        labels = labels_by_row(config.truth_filepath, findings, chosen.sort_values("h5_row")["image_id"].tolist())
        return decide_labels(
            labels.loc[chosen["image_id"].tolist()],
            findings,
            uncertainty_policy=config.uncertainty_policy,
            blank_is_zero=bool(config.blank_is_zero),
        )
    return choose_labels(
        chosen,
        findings,
        truth_filepath=config.truth_filepath,
        uncertainty_policy=config.uncertainty_policy,
        blank_is_zero=config.blank_is_zero,
    )


def _labelled(chosen: pd.DataFrame, truth: pd.DataFrame, scores: Float[np.ndarray, "n c"]) -> LabelledScores:
    """Return scores with the labels and patients of their images."""
    predictions = pd.DataFrame(scores, columns=list(truth.columns[1:]))
    predictions.insert(0, "image_id", chosen["image_id"].to_numpy())
    return LabelledScores(predictions=predictions, truth=truth, subject_ids=chosen["subject_id"].tolist())


def _cache(config: ZeroShotConfig, images: Images) -> Cache | None:
    """Return where image features are looked up; a file that the user named must be of these images."""
    if config.embeddings is None and not config.cache:
        return None
    path = config.embeddings or config.folder / EMBEDDINGS
    cache = Cache(path=path, images=images.fingerprint(), must_fit=config.embeddings is not None)
    cache.check()
    return cache


def _score(
    config: ZeroShotConfig, images: Images, prompts: PromptSet, cache: Cache | None
) -> tuple[Float[np.ndarray, "n c"], tuple[Member, ...]]:
    """Return the ensemble's scores and its members, with a progress bar."""
    n_models = len(in_order(config.checkpoints))
    with tqdm(total=n_models * len(images), unit="image", desc="encode images", disable=None) as bar:
        return score_ensemble(
            config.checkpoints,
            images,
            prompts,
            scoring=config.scoring,
            averaged=config.ensemble,
            cache=cache,
            batch_size=config.batch_size,
            device=pick_device(config.device),
            progress=bar.update,
        )


def _notes(members: tuple[Member, ...], store: ImageStore) -> tuple[str, ...]:
    """Return a note for each input size of the models that differs from the size of the stored images."""
    notes = []
    sides = {member.preprocessing["crop_from"] or member.preprocessing["image_size"] for member in members}
    for side in sorted(sides - {store.resolution}):
        change = (
            "upscaled, and detail that it was trained on may be missing" if store.resolution < side else "downscaled"
        )
        notes.append(
            f"Images in {store.path} are {store.resolution} px; the model expects {side} px, so they are {change}"
        )
    return tuple(notes)
