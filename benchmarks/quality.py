"""How well the demo's recipe and others learn: held-out zero-shot AUROC, several seeds, equal minutes.

python benchmarks/quality.py --seeds 1 2 3                   # the recipe, labels, CheXzero's recipe, shuffled reports
python benchmarks/quality.py --seeds 1 2 3 --compare duplicates                  # equal normal reports, two losses
python benchmarks/quality.py --seeds 100 101 --compare nothing --vary text_start=architecture --vary lr=2e-3,ema=0.99
python benchmarks/quality.py --seeds 100 101 --compare nothing --vary texts=half_of_patients,epochs=24 --epochs 12 16
python benchmarks/quality.py --seeds 1 --epochs 90 95                     # passes, where the machine is not quiet
python benchmarks/quality.py --merge runs/a.json runs/b.json              # one table of what several calls measured

A seed stands for an archive of its own, the weights and the order of the films. Choose on some seeds, report others.
Differences are paired by seed; their interval is Student's over the seeds (none for a single one). Minutes mean what
they say on a quiet machine only; elsewhere count passes, and give labels as many more as benchmarks/train_step.py says
that their steps are cheaper. `texts=NAME` trains on reports rewritten by a function of REWRITTEN.
"""

import ast
import json
import math
import re
import statistics
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from common import ROOT, parser, report
from scipy.stats import sem, t
from simulated import prepared, train_and_score

from audit import MEAN, mean_auroc
from cohort import FINDINGS, open_images, read_cohort, read_texts
from cohort.report_sentences import distinct_sentences
from cohort.sentences import split_sentences
from cohort.sources.openi import read_openi
from demo_plan import DemoConfig, Plan
from preprocess.sections import choose_text, split_sections
from train import TrainConfig, chexzero, supervised_predictions
from zero_shot import ZeroShotConfig, choose_labels, load_prompts, metrics_table, select_images

OURS, SUPERVISED, REFERENCE, SHUFFLED = "ours", "supervised", "reference", "shuffled"
PLAIN, DUPLICATE_AWARE = "plain", "duplicate_aware"
OF_A_RECIPE = (
    *("objective", "form", "duplicates", "optimizer", "lr", "momentum", "weight_decay", "warmup", "schedule"),
    *("grad_clip", "clamp_scale", "precision", "text_start", "text_rate", "batch_size", "augment", "antialias"),
)
"""What CheXzero's recipe says; model, films, reports, minutes and seed are the demo's."""
TEXTS = "texts"
"""in a run's settings, which are the training's otherwise: the name of a rewriting"""
WHOLE_REPORTS = {"objective": "reports", "form": "softmax"}
OPEN_I = ROOT.parent / "shared" / "real" / "reports"
ABNORMAL = [finding for finding in FINDINGS if finding != "No Finding"]
SHARE_OF_NORMALS, NORMAL = 0.3, "No acute cardiopulmonary process."
NEGATION = re.compile(r"\b(no|not|without)\b", re.IGNORECASE)
Compare = Literal["recipes", "duplicates", "nothing"]


def overrides_of(text: str) -> dict[str, Any]:
    """Return "lr=2e-3,form=sigmoid" as settings; what is no Python literal is text."""
    settings = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings


def compared(what: Compare) -> dict[str, dict[str, Any]]:
    """Return name -> settings of the runs of a comparison."""
    if what == "recipes":
        reference = {name: getattr(chexzero(), name) for name in OF_A_RECIPE}
        return {OURS: {}, REFERENCE: reference, SHUFFLED: {"shuffle_reports": True}}
    if what == "duplicates":
        return {
            PLAIN: {**WHOLE_REPORTS, "duplicates": "negatives", TEXTS: "equal_normals"},
            DUPLICATE_AWARE: {**WHOLE_REPORTS, "duplicates": "positives", TEXTS: "equal_normals"},
        }
    return {OURS: {}}


def equal_normals(texts: pd.Series, cohort: pd.DataFrame) -> pd.Series:
    """Return the texts with 30 % of them one and the same normal report, as in real archives."""
    normals = np.flatnonzero(cohort["No Finding"].eq(1))[: round(SHARE_OF_NORMALS * len(texts))]
    return texts.where(~np.isin(np.arange(len(texts)), normals), NORMAL)


def without_negations(texts: pd.Series, cohort: pd.DataFrame) -> pd.Series:
    """Return the texts without the sentences that say no, not or without; "the lungs are clear" stays."""
    del cohort
    return texts.map(lambda text: " ".join(part for part in split_sentences(text) if not NEGATION.search(part)))


def half_of_patients(texts: pd.Series, cohort: pd.DataFrame) -> pd.Series:
    """Return the texts of every other patient, the others empty, so that their films are left out."""
    return texts.where(cohort["subject_id"].rank(method="dense") % 2 == 0, "")


def open_i_reports(texts: pd.Series, cohort: pd.DataFrame) -> pd.Series:
    """Return a real report for every image: one of Open-i whose indexed findings are most like the image's labels.

    Findings agree, sides, sizes and devices' names do not; the words, their variety and how often reports repeat are
    real. Needs Open-i's reports in `OPEN_I`.
    """
    table, _ = read_openi(OPEN_I, check_files=False)
    table = table.drop_duplicates("study_id")
    table["text"] = [choose_text(split_sections(report), "both").text for report in table["report"]]
    table = table[table["text"].map(lambda text: bool(distinct_sentences(text))) & table[ABNORMAL].notna().any(axis=1)]
    there, wanted = (frame[ABNORMAL].eq(1).to_numpy(float) for frame in (table, cohort))
    shared = wanted @ there.T
    either = wanted.sum(axis=1, keepdims=True) + there.sum(axis=1) - shared
    alike = np.where(either > 0, shared / np.maximum(either, 1), 1)
    print(f"open_i_reports: the very findings for {(alike.max(axis=1) == 1).mean():.0%} of the images")
    # the first of the best in an order of its own for each image is one of the best at random
    noise = np.random.default_rng(0).random(alike.shape) * 1e-6
    return pd.Series(table["text"].to_numpy()[(alike + noise).argmax(axis=1)], index=texts.index)


REWRITTEN: dict[str, Callable[[pd.Series, pd.DataFrame], pd.Series]] = {
    function.__name__: function for function in (equal_normals, without_negations, half_of_patients, open_i_reports)
}
"""Name -> texts by image and the cohort's rows of the same images -> other texts"""


def with_texts(stages: Plan, name: str) -> Plan:
    """Return the plan with other texts to train on; prints how many images have another text and how many none."""
    texts = read_texts(stages.training.txt_filepath).set_index("image_id")
    cohort = read_cohort(stages.training.cohort_filepath).set_index("image_id").loc[texts.index]
    rewritten = REWRITTEN[name](texts["text"], cohort)
    n_changed, n_empty = int((rewritten != texts["text"]).sum()), int((rewritten == "").sum())
    print(f"{name}: {n_changed:,} of {len(texts):,} texts changed, {n_empty:,} of them empty")
    path = stages.training.txt_filepath.with_name(f"{name}.csv")
    texts.assign(impression=rewritten).drop(columns="text").to_csv(path)
    return stages._replace(training=replace(stages.training, txt_filepath=path))


def measure(
    stages: Plan, config: DemoConfig, runs: dict[str, dict[str, Any]], *, with_labels: bool, passes: tuple[int, ...]
) -> dict[str, Any]:
    """Return run -> its mean AUROC and that of every finding; `passes` of the runs and of labels replace minutes."""
    tables, found = {}, {}
    for_pairs, for_labels = ({"max_minutes": None, "epochs": n} for n in passes) if passes else ({}, {})
    for name, settings in runs.items():
        overrides = {**for_pairs, **settings}
        texts = overrides.pop(TEXTS, None)
        own_stages = stages if texts is None else with_texts(stages, texts)
        results, _ = train_and_score(config, own_stages, overrides, name=name.replace("/", "_"))
        tables[name] = results.metrics
    if with_labels:
        tables[SUPERVISED] = judge_supervised(replace(stages.training, **for_labels), stages.scoring)
    for name, table in tables.items():
        areas = table.loc[(table["status"] == "ok") & (table["finding"] != MEAN)].set_index("finding")["auroc"]
        found[name] = {"mean": mean_auroc(table), **areas.round(4).to_dict()}
        print(f"seed {config.seed}, {name}: mean AUROC {found[name]['mean']:.3f}", flush=True)
    return found


def judge_supervised(training: TrainConfig, scoring: ZeroShotConfig) -> pd.DataFrame:
    """Return the figures of a classifier trained on report labels, on the images and findings scored by prompts."""
    findings = load_prompts(scoring.prompts).findings
    with open_images(scoring.cxr_filepath) as store:
        chosen, *_ = select_images(
            read_cohort(scoring.cohort_filepath), store, split=scoring.split, views=scoring.views
        )
    return metrics_table(
        supervised_predictions(training, findings=findings, image_ids=chosen["image_id"].tolist()),
        choose_labels(chosen, findings, truth_filepath=scoring.truth_filepath),
        chosen["subject_id"].tolist(),
        findings=findings,
        n_replicates=scoring.n_replicates,
        seed=scoring.seed,
    )


def difference(ours: list[float], others: list[float]) -> dict[str, Any]:
    """Return the mean difference over seeds with Student's 95 % interval, and by seed."""
    each = np.subtract(ours, others)
    low, high = t.interval(0.95, len(each) - 1, each.mean(), sem(each)) if len(each) > 1 else (math.nan, math.nan)
    return {
        "difference": float(each.mean()),
        "interval": f"{low:+.3f} to {high:+.3f}",
        "by seed": " ".join(f"{one:+.3f}" for one in each),
    }


def merged(paths: Sequence[Path]) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the title and seed -> run -> areas of what several calls wrote with --json, in their order.

    Raises:
        ValueError: calls of other patients or length, a run of a seed in two files, or a seed that lacks a run.
    """
    files = [json.loads(path.read_text()) for path in paths]
    titles = {one["title"] for one in files}
    if len(titles) > 1:
        raise ValueError(f"these files are of different settings, one wanted: {' / '.join(sorted(titles))}")
    by_seed: dict[str, dict[str, Any]] = {}
    for path, one in zip(paths, files, strict=True):
        for seed, found in one["figures"]["findings"].items():
            twice = found.keys() & by_seed.setdefault(seed, {}).keys()
            if twice:
                raise ValueError(f"{path} measured {sorted(twice)} on seed {seed}, as another file did: leave one out")
            by_seed[seed] |= found
    names = {name for found in by_seed.values() for name in found}
    lacking = {seed: sorted(names - found.keys()) for seed, found in by_seed.items() if names - found.keys()}
    if lacking:
        raise ValueError(f"every seed needs every run, but some were not measured: {lacking}")
    return titles.pop(), by_seed


def compare_runs(by_seed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return means by seed of every run, and its paired differences from the first one."""
    means = {name: [found[name]["mean"] for found in by_seed.values()] for name in next(iter(by_seed.values()))}
    first = next(iter(means))
    figures: dict[str, Any] = {"seeds": " ".join(by_seed)}
    for name, own in means.items():
        figures[f"{name}: mean"] = statistics.mean(own)
        figures[f"{name}: by seed"] = " ".join(f"{mean:.3f}" for mean in own)
        if name != first:
            for word, value in difference(own, means[first]).items():
                figures[f"{name} less {first}: {word}"] = value
    if SUPERVISED in means and first != SUPERVISED:
        shares = [ours / ceiling for ours, ceiling in zip(means[first], means[SUPERVISED], strict=True)]
        figures["share of supervised: by seed"] = " ".join(f"{share:.3f}" for share in shares)
    return {**figures, "findings": by_seed}


def main() -> None:
    """Measure every run on every seed; print means per seed and paired differences from the first run."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments.add_argument("--compare", choices=get_args(Compare), default="recipes")
    arguments.add_argument("--vary", action="append", default=[], metavar="NAME=VALUE[,...]", help="one more variation")
    arguments.add_argument("--without", nargs="+", default=[], metavar="RUN", help="leave out, such as shuffled")
    arguments.add_argument("--n_patients", type=int, default=DemoConfig().n_patients)
    arguments.add_argument("--minutes", type=float, default=DemoConfig().train_minutes)
    arguments.add_argument("--epochs", type=int, nargs=2, default=(), metavar=("PAIRS", "LABELS"))
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/quality"), help="archives are kept here")
    arguments.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="train nothing, join earlier figures")
    asked = arguments.parse_args()
    length = f"{asked.epochs[0]} passes" if asked.epochs else f"{asked.minutes:g} minutes"
    title = f"Mean zero-shot AUROC, {asked.n_patients} patients, {length}"
    if asked.merge:
        title, by_seed = merged(asked.merge)
    else:
        by_seed = measure_all(asked)
    report(compare_runs(by_seed), title=title, json_path=asked.json)


def measure_all(asked: Namespace) -> dict[str, dict[str, Any]]:
    """Return seed -> run -> areas of what was asked for."""
    runs = {**compared(asked.compare), **{text: overrides_of(text) for text in asked.vary}}
    runs = {name: settings for name, settings in runs.items() if name not in asked.without}
    with_labels = asked.compare == "recipes" and SUPERVISED not in asked.without
    by_seed = {}
    for seed in asked.seeds:
        config = DemoConfig(
            out_dir=asked.work_dir / f"seed_{seed}",
            seed=seed,
            n_patients=asked.n_patients,
            train_minutes=asked.minutes,
        )
        by_seed[str(seed)] = measure(
            prepared(config), config, runs, with_labels=with_labels, passes=tuple(asked.epochs)
        )
    return by_seed


if __name__ == "__main__":
    main()
