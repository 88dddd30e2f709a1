"""Other reports for the films of a simulated archive: equal ones, fewer, without negations, or real ones of Open-i."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from harness import ROOT

from cohort import FINDINGS, read_cohort, read_texts
from cohort.report_sentences import distinct_sentences, split_sentences
from cohort.sources.openi import read_openi
from preprocess.text.sections import choose_text, split_sections
from wiring.demo_plan import Plan

SHARE_OF_NORMALS, NORMAL = 0.3, "No acute cardiopulmonary process."
NEGATION = re.compile(r"\b(no|not|without)\b", re.IGNORECASE)
OPEN_I = ROOT.parent / "shared" / "real" / "reports"
ABNORMAL = [finding for finding in FINDINGS if finding != "No Finding"]


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
