"""Measured figures beside published ones, with the caveats of each comparison."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metrics.evidence import MEAN, NOT_IN_MEAN, not_evaluable
from zero_shot.auroc_table import few_patients, metrics_table
from zero_shot.protocols.protocol import Protocol, Reference, Value

HEADLINE = "headline"
COLUMNS = (
    "of", "metric", "measured", "low", "high", "note",
    "system", "published", "published_low", "published_high", "evidence", "source", "caveat",
)  # fmt: skip
WARNING = (
    "Published figures as they were printed, not re-run here. Label sets, prompts, splits, ensembles and image sizes "
    "differ and often go unsaid: where the protocols are not known to be the same, a difference below 0.02 says "
    "nothing, and a larger one may be the protocol's."
)
"""Source: one model on one test set is reported with 0.89 and with 0.75 (CheXzero on CheXpert)"""


def headline_findings(table: pd.DataFrame, protocol: Protocol) -> tuple[str, ...]:
    """Return the findings of the headline: the protocol's list, or all with enough positives."""
    headline = protocol.headline
    if headline.more_positives_than is None:
        return headline.findings
    enough = table["n_pos"].gt(headline.more_positives_than) & ~table["finding"].isin([MEAN, HEADLINE, *NOT_IN_MEAN])
    return tuple(table.loc[enough.to_numpy(bool, na_value=False), "finding"])


def with_headline(
    table: pd.DataFrame,
    protocol: Protocol,
    *,
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    subject_ids: Sequence[str],
    n_replicates: int,
    seed: int,
) -> pd.DataFrame:
    """Return the metrics table with a row "headline": the protocol's mean, with an interval from its replicates.

    Unlike the table's own mean it covers all findings that the protocol names, however few their positives. If one of
    them has no AUROC, the headline is undefined; if one is undefined in some resamples, the headline has no interval.

    Args:
        table: `metrics_table` of the same predictions.
        protocol: has the findings of the headline.
        predictions: see `metrics_table`, as for the others.
        truth: see `metrics_table`.
        subject_ids: see `metrics_table`.
        n_replicates: see `metrics_table`.
        seed: see `metrics_table`.
    """
    findings = headline_findings(table, protocol)
    row: dict[str, Any] = {"finding": HEADLINE, "auroc": np.nan, "low": np.nan, "high": np.nan, "status": "undefined"}
    missing = [finding for finding in findings if finding not in predictions]
    if not findings or missing:
        why = f"not scored: {', '.join(missing)}" if missing else "no finding has enough positives"
        return _appended(table, row | {"reason": not_evaluable(why)})

    # the same table with these findings alone, however few their images
    own = metrics_table(
        predictions,
        truth,
        subject_ids,
        findings=findings,
        n_replicates=n_replicates,
        seed=seed,
        min_n=0,
        min_patients=0,
    )

    rows, mean = own.iloc[:-1], own.iloc[-1]
    not_ok = rows[rows["status"] != "ok"]
    if not_ok.empty:
        row = {str(name): value for name, value in mean.items()} | {"finding": HEADLINE}
    else:
        status = "sparse" if rows["auroc"].notna().all() else "undefined"
        reasons = "; ".join(f"{one.finding}: {one.reason}" for one in not_ok.itertuples())
        row |= {"auroc": rows["auroc"].mean(skipna=False), "status": status, "reason": reasons}
    few = few_patients(subject_ids)
    if few:
        row |= {"low": np.nan, "high": np.nan, "status": "sparse", "reason": few}
    return _appended(table, row | _mean_decisions(table, findings))


def _mean_decisions(table: pd.DataFrame, findings: Sequence[str]) -> dict[str, float]:
    """Return the mean MCC and F1 over the findings, NaN if one of them has none; only if the table has decisions."""
    rows = table.set_index("finding").reindex(list(findings))
    return {name: float(rows[name].mean(skipna=False)) for name in ("mcc", "f1") if name in table}


def beside_published(table: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Return one row per published figure, with the measured figure beside it if there is one.

    `of` is a finding, the headline's name, or "findings with AUROC >= x", whose figures are counts. If nothing was
    measured, `measured` is NaN and `note` says why; `evidence` gives the source of the published figure, and `caveat`
    why it may not be comparable. A protocol without references gives only its headline.

    Args:
        table: the metrics table, with the row of `with_headline`. Columns `mcc` and `f1` are used if present.
        protocol: has the references.
    """
    rows = [
        _measured(table, protocol, of, reference.metric)
        | _published(value)
        | {"system": reference.system, "evidence": reference.evidence, "source": reference.source}
        | {"caveat": caveat}
        for reference in protocol.references
        for of, value, caveat in _figures(reference)
    ]

    # a headline without a published figure is listed too
    if not any(row["of"] == protocol.headline.name for row in rows):
        alone = _published(np.nan) | {"system": "", "evidence": "", "source": ""}
        rows.append(
            _measured(table, protocol, MEAN, "AUROC") | alone | {"caveat": "no published figure of it is on record"}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def beside_text(beside: pd.DataFrame) -> str:
    """Return the table of `beside_published` as text; numbered caveats follow it."""
    notes: dict[str, int] = {}
    lines = []
    for row in beside.to_dict("records"):
        against = f"{row['source']}: {row['caveat']}" if row["source"] else row["caveat"]
        lines.append(
            {
                "of": f"{row['of']}" if row["metric"] == "AUROC" else f"{row['of']}, {row['metric']}",
                "measured": _figure(row["measured"], row["low"], row["high"]) or row["note"],
                "published": _figure(row["published"], row["published_low"], row["published_high"]),
                "system": row["system"],
                "evidence": row["evidence"] and f"[{row['evidence']}]",
                "caveat": f"({notes.setdefault(against, len(notes) + 1)})",
            }
        )

    body = pd.DataFrame(lines).to_string(index=False, justify="left")
    return "\n".join([WARNING, body, *(f"({number}) {text}" for text, number in notes.items())])


def _figures(reference: Reference) -> Iterator[tuple[str | float, Value, str]]:
    """Yield the finding of each figure (or an AUROC that findings reach), the figure and its caveat."""
    yield from ((of, value, reference.caveat) for of, value in reference.figures.items())
    for least, (count, among) in reference.counts.items():
        yield least, float(count), f"published of {among} findings; {reference.caveat}"


def _measured(table: pd.DataFrame, protocol: Protocol, of: str | float, metric: str) -> dict[str, Any]:
    """Return the measured figure of a finding or the headline (MEAN), or how many findings reach an AUROC."""
    row: dict[str, Any] = {"metric": metric, "measured": np.nan, "low": np.nan, "high": np.nan}
    if isinstance(of, float):
        among = table[table["finding"].isin(headline_findings(table, protocol))]
        count = {"measured": float(among["auroc"].ge(of).sum()), "note": f"of {len(among)} measured"}
        return row | {"of": f"findings with AUROC >= {of:.2f}"} | count

    name = HEADLINE if of == MEAN else of
    row["of"] = protocol.headline.name if of == MEAN else of
    column = metric.lower()
    rows = table[table["finding"] == name].to_dict("records")
    if column not in table or not rows:
        return row | {"note": "not measured"}
    if column != "auroc":
        note = "one of its findings has no decisions" if np.isnan(rows[0][column]) else ""
        return row | {"measured": rows[0][column], "note": note}
    values = {"measured": rows[0]["auroc"], "low": rows[0]["low"], "high": rows[0]["high"]}
    return row | values | {"note": "" if rows[0]["status"] == "ok" else rows[0]["reason"]}


def _published(value: Value) -> dict[str, float]:
    """Return the columns of a published figure."""
    figure, low, high = value if isinstance(value, tuple) else (value, np.nan, np.nan)
    return {"published": figure, "published_low": low, "published_high": high}


def _figure(value: float, low: float, high: float) -> str:
    """Return a figure with its interval as text."""
    if np.isnan(value):
        return ""
    text = f"{value:.0f}" if value > 1 else f"{value:.3f}"
    return text if np.isnan(low) or np.isnan(high) else f"{text} ({low:.3f} to {high:.3f})"


def _appended(table: pd.DataFrame, row: dict[str, Any]) -> pd.DataFrame:
    """Return the table with one more row."""
    added = pd.DataFrame([row]).reindex(columns=table.columns).astype(table.dtypes.to_dict())
    return pd.concat([table, added], ignore_index=True)
