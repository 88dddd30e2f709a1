"""The settings of scoring by prompts, with their headings in `-h`. Light: imports neither torch nor pandas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zero_shot.file_names import result_name

HEADINGS = {
    "checkpoints": "data",
    "prompts": "model and prompts",
    "trained_on": "data",
    "findings": "model and prompts",
    "split": "images and labels",
    "fit_split": "thresholds and calibration",
    "groups": "subgroups and intervals",
    "batch_size": "computation",
    "name": "output",
}
"""Field -> heading in `-h` of this field and the fields after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotConfig:
    """Score chest X-rays with a contrastively trained model and prompts; no labels are used but to judge the scores."""

    checkpoints: tuple[str, ...]
    """Run folders (their best checkpoint), checkpoint folders, CheXzero .pt files, or open_clip NAME:TAG or NAME:FILE;
    several are averaged"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py"""
    cohort_filepath: Path | None = Path("data/cohort.csv")
    """Cohort table written with the images; None: a cxr.h5 without ids, joined to --truth_filepath by row as CheXzero
    does"""
    truth_filepath: Path | None = None
    """CSV with image_id and columns of 0 and 1 named as the findings; without it, the cohort's own labels"""
    protocol: str | None = None
    """Published evaluation to follow: a name in zero_shot/protocols/data, or a JSON file. It sets all flags that are
    not given, finds its labels, and prints published figures beside the measured ones"""
    prompts: str = "radiologist"
    """Shipped prompt set (radiologist, chexzero, cxr_clip, sentence, synonyms) or a JSON file"""
    trained_on: tuple[Path, ...] = ()
    """Tables of the images that the checkpoints were trained on, for checkpoints without trained_on.csv.gz beside them:
    columns dataset, image_id, subject_id, such as the cohort table of the archive"""
    findings: tuple[str, ...] = ()
    """Findings to score; without it, all of the prompt set"""
    scoring: Literal["mixture", "temperature", "chexzero", "single", "sigmoid"] = "mixture"
    """mixture: any phrase of a finding may match; temperature: the mean of its phrases has to match; chexzero: the same
    without the learned logit scale; single: positive prompts only; sigmoid: positive prompts only, for models trained
    with a sigmoid loss"""
    ensemble: Literal["probabilities", "features"] = "probabilities"
    """Quantity averaged over checkpoints; features: only for checkpoints of one run, which share one space"""
    split: str = "test"
    """Split of the cohort to score, or "all\""""
    views: Literal["frontal", "all"] = "frontal"
    """Views to score; frontal: PA and AP"""
    uncertainty_policy: Literal["U-ignore", "U-zeros", "U-ones", "U-mixed"] = "U-ignore"
    """Uncertain labels (-1): excluded, 0, 1, or (U-mixed) 1 for Atelectasis and Edema and 0 otherwise"""
    blank_is_zero: bool | None = None
    """Count a blank label as absent; without it, yes for the cohort's labels and no for a truth file"""
    fit_split: str = "validate"
    """Split of the cohort on which thresholds and calibration are fitted, with labels from the same source; "": none.
    It must not share patients with the images that are scored"""
    threshold_policy: str = "youden"
    """Rule that chooses thresholds: youden, f1, mcc (CheXzero's), tpr=0.9, fpr=0.2 or fixed:0.5; one threshold per
    finding for all groups"""
    calibration: Literal["platt", "temperature", "isotonic"] = "platt"
    """From scores to probabilities: sigmoid(a + b margin), sigmoid(margin / T), or a rising step function"""
    thresholds: Path | None = None
    """thresholds.json of an earlier run, for archives without a validation split; without it, thresholds are fitted
    here"""
    readers: Path | None = None
    """Folder of the radiologists' readings of CheXpert's test set, to compare decisions with"""
    groups: tuple[str, ...] = ("sex", "age:0,18,40,60,80,+", "race")
    """Attributes of the subgroup table: columns, bins ("age:0,18,+") or intersections ("race*sex")"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients"""
    seed: int = 0
    """Seed of the bootstrap"""
    batch_size: int = 64
    """Images per forward pass"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""
    cache: bool = True
    """Keep the image features in embeddings.h5 of the result folder, for later runs with the same weights and pixels"""
    embeddings: Path | None = None
    """embeddings.h5 of another run to take the image features from; it must have them for every checkpoint"""
    name: str = ""
    """Name of the result folder in predictions/; without it, that of the checkpoint"""
    out_dir: Path | None = None
    """Result folder, in place of predictions/NAME"""
    overwrite: bool = False
    """Replace results of another specification in the result folder; without it, they are refused"""

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ValueError("--checkpoints: wanted one path or more, found none")
        for flag, value, least in (("n_replicates", self.n_replicates, 40), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise ValueError(f"--{flag}: wanted {least} or more, found {value}")
        if self.thresholds is not None and self.threshold_policy != "youden":
            raise ValueError(
                f"--threshold_policy {self.threshold_policy}: has no effect with --thresholds, whose file says how "
                "they were chosen; leave one of them out"
            )

    @property
    def folder(self) -> Path:
        """Where results are written."""
        return self.out_dir or Path("predictions") / (self.name or result_name(self.checkpoints))
