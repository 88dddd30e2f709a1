"""A protocol applied to a configuration: its settings, images and labels, and every deviation from it.

A flag with its default value counts as not given, since the two cannot be distinguished: the protocol sets it and
reports it. A flag with another value is kept; if it contradicts the protocol, it is a deviation. Deviations are printed
and recorded in `spec.json`. They are not errors, because they are often the experiment.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cohort.sources import dataset_type_of
from zero_shot.prompts import NO_FINDING, load_prompts
from zero_shot.protocols.frozen_list import list_hash
from zero_shot.protocols.protocol import DATA, Protocol, load_protocol
from zero_shot.protocols.published import beside_published, with_headline
from zero_shot.protocols.truth import truth_table
from zero_shot.select import decide_labels
from zero_shot.zero_shot_config import ZeroShotConfig

NATIVE = ("own", "listed", "image list")
"""Forms of labels that are never uncertain and never blank for "not mentioned" (all are 1 or 0)"""
MOST_SHOWN = 20
"""Most findings that are printed by name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolPlan:
    """A protocol with the resulting configuration, labels and deviations."""

    protocol: Protocol
    """The protocol"""
    config: ZeroShotConfig
    """The user's configuration, completed by the protocol"""
    labels: pd.DataFrame
    """Index image_id, a column per finding in {1, 0, -1, NaN}; only images with an entry in the labels"""
    left_out: Mapping[str, str]
    """Image id -> reason why the protocol does not score it"""
    settings: Mapping[str, Any]
    """Flag -> value that the protocol set"""
    deviations: tuple[str, ...]
    """Differences to the published evaluation, in words"""
    record: Mapping[str, str]
    """Source of the labels, and the hash of the image list if there is one"""

    def truth(self, chosen: pd.DataFrame, findings: tuple[str, ...]) -> pd.DataFrame:
        """Return image_id and a label per finding in {1, 0, NaN}, in the order of `chosen`."""
        return decide_labels(
            self.labels.loc[chosen["image_id"].tolist()],
            findings,
            uncertainty_policy=self.config.uncertainty_policy,
            blank_is_zero=bool(self.config.blank_is_zero),
        )

    def selected(self, chosen: pd.DataFrame) -> "ProtocolPlan":
        """Return this plan, with one more deviation if `chosen` is not the whole published list.

        Raises:
            ValueError: the unit is a study, and a study has several images.
        """
        repeated = chosen.loc[chosen["study_id"].duplicated(), "study_id"]
        if self.protocol.unit == "study" and len(repeated):
            raise ValueError(
                f"protocol {self.protocol.name} scores the first view of a study, but {repeated.nunique()} studies "
                f"have several images in the cohort table, first {repeated.iloc[0]}; preprocess the archive with "
                f"--dataset_type {dataset_type_of(self.protocol.datasets[0])}"
            )
        if self.protocol.n in (None, len(chosen)):
            return self
        units = "studies" if self.protocol.unit == "study" else "images"
        missing = f"{len(chosen):,} {units} instead of the published {self.protocol.n:,}"
        return replace(self, deviations=(*self.deviations, missing))

    def beside(
        self, table: pd.DataFrame, predictions: pd.DataFrame, truth: pd.DataFrame, subject_ids: Sequence[str]
    ) -> pd.DataFrame:
        """Return `beside_published` of a metrics table and of the tables behind it."""
        completed = with_headline(
            table,
            self.protocol,
            predictions=predictions,
            truth=truth,
            subject_ids=subject_ids,
            n_replicates=self.config.n_replicates,
            seed=self.config.seed,
        )
        return beside_published(completed, self.protocol)

    def to_json(self) -> dict[str, Any]:
        """Return what `spec.json` says of it."""
        return {
            "name": self.protocol.name,
            "settings": dict(self.settings),
            "deviations": list(self.deviations),
            "unit": self.protocol.unit,
            "headline": self.protocol.headline.name,
            **self.record,
        }

    def __str__(self) -> str:
        settings = ", ".join(f"--{name} {_shown(value)}" for name, value in self.settings.items()) or "nothing"
        lines = [f"protocol {self.protocol.name}: {self.protocol.about}", f"it sets {settings}"]
        lines += [f"deviation: {words}" for words in self.deviations] or ["no deviation from it is known"]
        return "\n".join([*lines, *(f"note: {words}" for words in self.protocol.caveats)])


def apply_protocol(config: ZeroShotConfig, cohort: pd.DataFrame) -> ProtocolPlan:
    """Return `config.protocol` applied to the configuration and the cohort table.

    Raises:
        FileNotFoundError: no such protocol, prompt set, or file of labels.
        ValueError: no image is of the protocol's archive; a flag without effect on its labels; see `truth_table`.
    """
    protocol = load_protocol(config.protocol or "")
    config, settings, deviations = settle(config, protocol)

    # which images have labels
    candidates = config.findings or load_prompts(config.prompts).findings
    left_out = _not_in_protocol(cohort, protocol)
    labels = truth_table(protocol, cohort, candidates, truth_filepath=config.truth_filepath)
    unlabelled = set(cohort["image_id"]) - set(labels.index) - set(left_out)
    # only a file that defines the list of images may label fewer of them
    if unlabelled and not (protocol.labels.needs_file or protocol.labels.study_column):
        raise ValueError(
            f"{config.truth_filepath} has no labels for {len(unlabelled)} of the protocol's images, first "
            f"{min(unlabelled)}"
        )
    left_out |= dict.fromkeys(sorted(unlabelled), f"not in {protocol.labels.file}")
    if labels.drop(index=list(left_out), errors="ignore").isna().all(axis=None):
        raise ValueError(
            f"protocol {protocol.name}: none of its images has a label ({protocol.labels.source}); give the "
            "archive's folder or its label file as --truth_filepath, or preprocess the archive again beside its labels"
        )

    # which findings: of a protocol on rare findings, those with the fewest positive images
    if protocol.rarest and not config.findings:
        kept = labels.drop(index=list(left_out), errors="ignore")
        findings = _rarest(kept, protocol.rarest)
        settings["findings"] = findings
        config = replace(config, findings=findings)
        if len(findings) < protocol.rarest:
            deviations.append(f"only {len(findings)} findings occur at all, instead of {protocol.rarest}")

    return ProtocolPlan(
        protocol=protocol,
        config=config,
        labels=labels,
        left_out=left_out,
        settings=settings,
        deviations=tuple(deviations),
        record=_record(protocol, config, labels),
    )


def settle(config: ZeroShotConfig, protocol: Protocol) -> tuple[ZeroShotConfig, dict[str, Any], list[str]]:
    """Return the configuration completed by the protocol, what the protocol set, and the user's deviations.

    Raises:
        ValueError: a policy for uncertain or blank labels, if the labels are neither.
    """
    wanted: dict[str, Any] = {
        "prompts": protocol.prompts,
        "findings": protocol.findings,
        "split": protocol.split,
        "views": protocol.views,
        "uncertainty_policy": protocol.labels.uncertainty_policy,
        "blank_is_zero": protocol.labels.blank_is_zero,
    }

    # what the user left at its default the protocol sets; what the user set otherwise is a deviation
    defaults = {one.name: one.default for one in fields(config)}
    given = {name: getattr(config, name) for name in wanted}
    settings = {name: value for name, value in wanted.items() if given[name] == defaults[name]}
    contradicted = {name: value for name, value in wanted.items() if name not in settings and given[name] != value}

    idle = sorted({"uncertainty_policy", "blank_is_zero"} & contradicted.keys())
    if idle and protocol.labels.form in NATIVE:
        raise ValueError(f"--{idle[0]} has no effect: the labels of protocol {protocol.name} are 1 or 0")

    deviations = [
        f"--{name} {_shown(given[name])} instead of {_shown(value) or 'all that the protocol scores'}"
        for name, value in contradicted.items()
    ]
    path = config.truth_filepath
    if path is not None and path.is_file() and not (protocol.labels.needs_file or protocol.labels.study_column):
        deviations.append(f"labels of {path.name} instead of: {protocol.labels.source}")

    changed = {name: value for name, value in settings.items() if given[name] != value}
    return replace(config, **changed), changed, deviations


def _not_in_protocol(cohort: pd.DataFrame, protocol: Protocol) -> dict[str, str]:
    """Return image id -> reason for rows of other archives and rows outside the protocol."""
    known = cohort["dataset"].isin(protocol.datasets)
    if not known.any():
        found = ", ".join(sorted(set(cohort["dataset"])))
        raise ValueError(
            f"protocol {protocol.name} is for {' or '.join(protocol.datasets)}; the cohort table's dataset is {found}"
        )

    left_out = dict.fromkeys(cohort.loc[~known, "image_id"], f"not of {' or '.join(protocol.datasets)}")
    for column, value in protocol.where.items():
        if column not in cohort:
            raise ValueError(
                f"protocol {protocol.name} takes images whose {column} is {value}; the cohort table has no column "
                f"{column}; preprocess the archive with --dataset_type {dataset_type_of(protocol.datasets[0])}"
            )
        others = cohort.loc[known & cohort[column].ne(value), "image_id"]
        left_out = dict.fromkeys(others, f"{column} is not {value}") | left_out
    return left_out


def _rarest(labels: pd.DataFrame, n: int) -> tuple[str, ...]:
    """Return the `n` findings with the fewest positive images, at least one; equal counts by name."""
    counts = labels.drop(columns=NO_FINDING, errors="ignore").eq(1.0).sum()
    ordered = sorted((int(count), str(finding)) for finding, count in counts.items() if count)
    return tuple(finding for _, finding in ordered[:n])


def _record(protocol: Protocol, config: ZeroShotConfig, labels: pd.DataFrame) -> dict[str, str]:
    """Return the source of the labels, and hashes of the protocol and of its image list."""
    shipped: Path = DATA / f"{protocol.name}.json"
    record = {"labels": protocol.labels.source if config.truth_filepath is None else str(config.truth_filepath)}
    if shipped.is_file():
        record["protocol_sha256"] = hashlib.sha256(shipped.read_bytes()).hexdigest()
    if protocol.labels.form == "image list":
        record["list_sha256"] = list_hash(labels)
    return record


def _shown(value: object) -> str:
    """Return a value as a flag shows it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) if len(value) <= MOST_SHOWN else f"({len(value)} of them, see spec.json)"
    return str(value)
