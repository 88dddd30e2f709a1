"""Do the intervals of a subgroup audit hold: family-wise error, coverage near 0 and 1, planted gaps found?

python benchmarks/coverage.py --json coverage.json
python benchmarks/coverage.py --json coverage.json --resume        # continue after an interruption
python benchmarks/coverage.py --only 293 --n_data_sets 50          # the settings whose name contains "293"

Every data set is drawn from a model whose truth is known, and audited by `audit.disaggregate` with its default rules.

    family_wise_error   nothing differs between groups: share of data sets with any flag in the confirmatory family
    coverage_by_cell    share of single cells called ok whose interval holds the true value
    planted_found       one group's scores are worse: share of data sets in which that group is flagged

One process, one thread. Each finished data set is a line in FILE.jsonl, which `--resume` reads.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from harness import parser, report
from scipy.special import ndtri

from audit import disaggregate
from metrics import MEAN

GROUPS = {
    "sex": {"F": 0.5, "M": 0.5},
    "age": {"0-18": 0.08, "18-40": 0.17, "40-60": 0.25, "60-80": 0.30, "80+": 0.20},
    "race": {"White": 0.55, "Black": 0.20, "Asian": 0.12, "Other": 0.08, "unknown": 0.05},
}
PREVALENCE = (0.05, 0.3)
"""Of the first and of the last finding"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A simulated archive: score = (mu - worse_by of the group) label + patient + image, and one threshold."""

    patients: int
    images: int
    equal_images: bool = False
    """Whether all patients have equally many images; else a few patients have many"""
    findings: int = 8
    mu: float = 2.2
    patient_sd: float = 0.6
    """Of the patient's effect, which all findings share; the image's makes the variance 1"""
    fpr: float | None = 0.03
    """Rate that the declared threshold has; None: no threshold is declared, and the audit fits its own"""
    worse_by: Mapping[str, float] = field(default_factory=dict)
    """Group of any attribute -> how much lower its positives score"""

    def draw(self, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return predictions, truth and groups."""
        # 1. Images of each patient, at least one.
        odds = np.ones(self.patients) if self.equal_images else rng.dirichlet(np.full(self.patients, 0.7))
        extra = self.images - self.patients
        if self.equal_images:
            per_patient = np.full(self.patients, self.images // self.patients)
        else:
            per_patient = 1 + rng.multinomial(extra, odds / odds.sum())
        subject = np.repeat(np.arange(self.patients), per_patient)
        n = len(subject)

        # 2. Who they are.
        columns = {
            name: rng.choice(list(groups), self.patients, p=list(groups.values()))[subject]
            for name, groups in GROUPS.items()
        }
        worse = sum(np.vectorize(lambda group: self.worse_by.get(group, 0.0))(names) for names in columns.values())

        # 3. Labels: a patient's images share the disease in half of the cases.
        prevalence = np.linspace(*PREVALENCE, self.findings)
        lasting = rng.random((self.patients, self.findings))[subject] < prevalence
        passing = rng.random((n, self.findings)) < prevalence
        y = np.where(rng.random((n, self.findings)) < 0.5, lasting, passing).astype(float)

        # 4. Scores.
        shared = self.patient_sd * rng.normal(size=self.patients)[subject][:, None]
        own = np.sqrt(1 - self.patient_sd**2) * rng.normal(size=y.shape)
        scores = (self.mu - np.asarray(worse)[:, None]) * y + shared + own

        ids = pd.DataFrame({"image_id": [f"image-{i:05d}" for i in range(n)]})
        names = finding_names(self.findings)
        predictions, truth = (pd.concat([ids, pd.DataFrame(part, columns=names)], axis=1) for part in (scores, y))
        return predictions, truth, ids.assign(subject_id=subject.astype(str), **columns)

    def audit(self, seed: int, n_replicates: int) -> pd.DataFrame:
        """Return the subgroup table of one data set."""
        thresholds = None
        if self.fpr is not None:
            thresholds = dict.fromkeys(finding_names(self.findings), float(ndtri(1 - self.fpr)))
        return disaggregate(
            *self.draw(np.random.default_rng(seed)),
            findings=finding_names(self.findings),
            thresholds=thresholds,
            n_replicates=n_replicates,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two groups with one image per patient, one finding and one rate: the smallest family that there is."""

    positives: tuple[int, int]
    tpr: float
    worse_by: float = 0.0
    """How much lower the rate of the first group is"""

    def audit(self, seed: int, n_replicates: int) -> pd.DataFrame:
        """Return the subgroup table of one data set: TPR alone."""
        rng = np.random.default_rng(seed)
        n = sum(self.positives)
        first = np.arange(n) < self.positives[0]
        ids = pd.DataFrame({"image_id": [f"image-{i:05d}" for i in range(n)]})
        hit = (rng.random(n) < self.tpr - self.worse_by * first).astype(float)
        return disaggregate(
            ids.assign(finding=hit),
            ids.assign(finding=1.0),
            ids.assign(subject_id=ids["image_id"], group=np.where(first, "A", "B")),
            findings=["finding"],
            thresholds={"finding": 0.5},
            metric_names=["tpr"],
            n_replicates=n_replicates,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTruth:
    """One cell with a known value; each data set is a column of one table, so that one audit judges all of them."""

    metric: str
    value: float
    positives: int
    negatives: int = 0
    images: int = 1
    """Per patient"""
    correlation: float = 0.0
    """Between the images of one patient, on the normal scale"""

    def draw(self, rng: np.random.Generator, n_data_sets: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return predictions, truth and groups with a column per data set."""
        n = self.positives + self.negatives
        y = (np.arange(n) < self.positives).astype(float)
        subject = np.arange(n) // self.images
        shared = rng.normal(size=(subject[-1] + 1, n_data_sets))[subject]
        noise = np.sqrt(self.correlation) * shared + np.sqrt(1 - self.correlation) * rng.normal(size=(n, n_data_sets))

        # A normal score above 0 has the rate Phi(mean); two normal scores are in order with Phi(distance / sqrt 2).
        mean = ndtri(self.value) * (np.sqrt(2) * y[:, None] if self.metric == "auroc" else 1.0)
        ids = pd.DataFrame({"image_id": [f"image-{i:05d}" for i in range(n)]})
        names = finding_names(n_data_sets)
        predictions, truth = (
            pd.concat([ids, pd.DataFrame(part, columns=names)], axis=1)
            for part in (noise + mean, np.broadcast_to(y[:, None], noise.shape))
        )
        return predictions, truth, ids.assign(subject_id=[f"{number:05d}" for number in subject])

    def coverage(self, seed: int, n_data_sets: int, n_replicates: int) -> float:
        """Return the share of the data sets whose interval, called ok, holds the value; NaN if none is called ok."""
        names = finding_names(n_data_sets)
        table = disaggregate(
            *self.draw(np.random.default_rng(seed), n_data_sets),
            findings=names,
            thresholds=dict.fromkeys(names, 0.0),
            metric_names=[self.metric],
            n_replicates=n_replicates,
            seed=seed,
        )
        cells = table[(table["finding"] != MEAN) & (table["status"] == "ok")]
        # Rounding alone may not decide whether an end of 1 holds a value of 1.
        inside = (cells["low"] <= self.value + 1e-9) & (cells["high"] >= self.value - 1e-9)
        return float(inside.mean()) if len(cells) else float("nan")


NULL: Mapping[str, Archive | Pair] = {
    "400 patients, 1,500 images": Archive(patients=400, images=1500),
    "400 patients, 1,600 images, equal per patient": Archive(patients=400, images=1600, equal_images=True),
    "293 patients, 5,159 images": Archive(patients=293, images=5159),
    "TPR .98 alone, 40 against 400 patients": Pair(positives=(40, 400), tpr=0.98),
    "TPR .90 alone, 40 against 400 patients": Pair(positives=(40, 400), tpr=0.9),
    "400 patients, 1,500 images, Youden": Archive(patients=400, images=1500, fpr=None),
    "293 patients, 5,159 images, Youden": Archive(patients=293, images=5159, fpr=None),
}
PLANTED: Mapping[str, tuple[Archive | Pair, str]] = {
    "Black positives score 0.9 lower, 400 patients, 1,500 images": (
        Archive(patients=400, images=1500, worse_by={"Black": 0.9}),
        "Black",
    ),
    "F positives score 0.6 lower, 400 patients, 1,500 images": (
        Archive(patients=400, images=1500, worse_by={"F": 0.6}),
        "F",
    ),
    "TPR .75 against .95, 60 against 400 patients": (Pair(positives=(60, 400), tpr=0.95, worse_by=0.2), "A"),
}


def cells() -> Iterator[tuple[str, CellTruth]]:
    """Yield the single cells by name."""
    for value in (0.5, 0.8, 0.9, 0.95, 0.98):
        for positives, images, correlation in ((30, 1, 0.0), (100, 1, 0.0), (60, 3, 0.5), (30, 3, 0.5), (120, 6, 0.5)):
            kind = f"{positives} positives" + (f", {images} a patient" if images > 1 else "")
            of_rate = {"value": value, "positives": positives, "images": images, "correlation": correlation}
            yield f"TPR {value}, {kind}", CellTruth(metric="tpr", **of_rate)
        for each, images in ((30, 1), (40, 1), (150, 1), (60, 3)):
            kind = f"{each} + {each}" + (f", {images} a patient" if images > 1 else "")
            of_both = {"value": value, "positives": each, "negatives": each, "images": images}
            yield f"AUROC {value}, {kind}", CellTruth(metric="auroc", correlation=0.5 * (images > 1), **of_both)


def finding_names(n: int) -> list[str]:
    """Return the names of n findings."""
    return [f"finding {number:04d}" for number in range(n)]


def any_flag(table: pd.DataFrame) -> bool:
    """Return whether the confirmatory family has a flag."""
    return bool(table.loc[table["family"] == "confirmatory", "flagged"].any())


def flag_of(group: str) -> Callable[[pd.DataFrame], bool]:
    """Return what says whether a group is flagged in the confirmatory family."""
    return lambda table: any_flag(table[table["group"] == group])


def main() -> None:
    """Draw and audit the data sets of every setting, and print the shares."""
    arguments = parser(__doc__)
    arguments.add_argument("--n_data_sets", type=int, default=300, help="per setting")
    arguments.add_argument("--seed", type=int, default=0, help="of the first data set; the others follow")
    arguments.add_argument("--n_replicates", type=int, default=1000, help="bootstrap resamples per data set")
    arguments.add_argument("--only", default="", help="run the settings and cells whose name contains this text")
    arguments.add_argument("--resume", action="store_true", help="keep the data sets that FILE.jsonl already holds")
    options = arguments.parse_args()

    lines = Path(f"{options.json}.jsonl") if options.json is not None and str(options.json) != "-" else None
    if lines is not None and not options.resume:
        lines.unlink(missing_ok=True)
    done = {}
    if lines is not None and lines.exists():
        done = {tuple(key): value for *key, value in map(json.loads, lines.read_text().splitlines())}

    def once(name: str, seed: int, measure: Callable[[], float | bool]) -> float:
        """Return the outcome of one data set, computed at most once."""
        key = (name, seed, options.n_data_sets if name.startswith(("TPR 0", "AUROC 0")) else 1, options.n_replicates)
        if key not in done:
            done[key] = float(measure())
            if lines is not None:
                lines.parent.mkdir(parents=True, exist_ok=True)
                with lines.open("a") as file:
                    file.write(json.dumps([*key, done[key]]) + "\n")
        return done[key]

    def share(name: str, setting: Archive | Pair, judge: Callable[[pd.DataFrame], bool]) -> float:
        """Return the share of data sets that `judge` says yes to."""
        started = time.perf_counter()
        outcomes = [
            once(name, seed, lambda seed=seed: judge(setting.audit(seed, options.n_replicates)))
            for seed in range(options.seed, options.seed + options.n_data_sets)
        ]
        print(f"{name}: {np.mean(outcomes):.3f} ({time.perf_counter() - started:.0f} s)", flush=True)
        return float(np.mean(outcomes))

    coverage = {
        name: once(
            name, options.seed, lambda cell=cell: cell.coverage(options.seed, options.n_data_sets, options.n_replicates)
        )
        for name, cell in cells()
        if options.only in name
    }
    planted = {
        name: share(name, setting, flag_of(group)) for name, (setting, group) in PLANTED.items() if options.only in name
    }
    errors = {name: share(name, setting, any_flag) for name, setting in NULL.items() if options.only in name}

    figures = {"family_wise_error": errors, "coverage_by_cell": coverage, "planted_found": planted}
    flat = {f"{kind}: {name}": value for kind, values in figures.items() for name, value in values.items()}
    report(flat, title="Intervals that hold", json_path=None)
    if lines is not None:
        sizes = {"n_data_sets": options.n_data_sets, "seed": options.seed, "n_replicates": options.n_replicates}
        options.json.write_text(json.dumps({**figures, **sizes}, indent=2))
    elif options.json is not None:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
