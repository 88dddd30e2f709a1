"""One race group per patient, from records that may disagree."""

import pandas as pd

CONFLICT = "conflict"


def race_by_patient(subject_ids: pd.Series, groups: pd.Series) -> "pd.Series[str]":
    """Return one group per patient by the policy "drop-unknown-then-conflict".

    Records that say nothing ("") are ignored when another one of the same patient is known. If the known ones still
    disagree, the patient's group is "conflict": taking the first row, as public code does, would let the order of a
    file decide.

    Args:
        subject_ids: Patient of each record, (n,).
        groups: Race group of each record, "" for unknown, (n,).

    Returns:
        Group by patient, indexed by the sorted `subject_id`; "" for patients without a known record.
    """
    records = pd.DataFrame({"subject_id": subject_ids, "group": groups}).drop_duplicates()
    known = records[records["group"].ne("")].groupby("subject_id")["group"]
    decided = known.first().mask(known.size() > 1, CONFLICT)
    patients = pd.Index(sorted(records["subject_id"].unique()), name="subject_id")
    return decided.reindex(patients, fill_value="").rename("race").astype(str)


def raw_by_patient(subject_ids: pd.Series, raw: pd.Series) -> "pd.Series[str]":
    """Return each patient's distinct raw words, sorted and joined by " | ", indexed by `subject_id`."""
    records = pd.DataFrame({"subject_id": subject_ids, "raw": raw})
    distinct = records[records["raw"].ne("")].drop_duplicates().sort_values(["subject_id", "raw"])
    return distinct.groupby("subject_id")["raw"].agg(" | ".join)
