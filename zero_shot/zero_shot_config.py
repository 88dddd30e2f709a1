"""What `run_zero_shot.py` can be told. Imports nothing heavy, so that `-h` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotConfig:
    """Score chest X-rays with a contrastively trained model and prompts; no labels are used but to judge the scores."""

    checkpoints: tuple[str, ...]
    """run folders, checkpoint folders, CheXzero .pt files or open_clip NAME:TAG; several are averaged"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """images, as preprocess_train_data.py writes them"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """cohort table written with them"""
    truth_filepath: Path | None = None
    """CSV with image_id and 0/1 columns by name; the cohort's own labels when absent"""
    protocol: str | None = None
    """published evaluation to follow (a name in zero_shot/protocols/data, or a JSON file): it sets the flags that are
    left at their default, finds its labels, and prints published figures beside the measured ones"""
    prompts: str = "radiologist"
    """shipped prompt set (radiologist, chexzero, cxr_clip, sentence, synonyms) or a JSON file"""
    trained_on: tuple[Path, ...] = ()
    """tables of the images that the checkpoints were trained on, where no trained_on.csv.gz lies beside them: columns
    dataset, image_id, subject_id, such as the cohort table of the archive"""
    findings: tuple[str, ...] = ()
    """findings to score, by name; all of the prompt set when empty"""
    scoring: Literal["mixture", "temperature", "chexzero", "single", "sigmoid"] = "mixture"
    """mixture: any phrase of a finding may fit; temperature: the mean of its phrases has to; chexzero: the same without
    the learned logit scale; single: positive prompts only; sigmoid: positive prompts only, for models trained with a
    sigmoid loss"""
    ensemble: Literal["probabilities", "features"] = "probabilities"
    """what is averaged over checkpoints; features only for checkpoints of one run, which share one space"""
    split: str = "test"
    """cohort split to score, or "all\""""
    views: Literal["frontal", "all"] = "frontal"
    """frontal: PA and AP"""
    uncertainty_policy: Literal["U-ignore", "U-zeros", "U-ones", "U-mixed"] = "U-ignore"
    """what an uncertain label (-1) becomes: left out, 0, 1, or 1 for Atelectasis and Edema and 0 else"""
    blank_is_zero: bool | None = None
    """take a blank label for absent; by default yes for the cohort's labels and no for a truth file"""
    fit_split: str = "validate"
    """cohort split on which thresholds and calibration are fitted, with labels from where the others come from; "" fits
    none. Its patients must not be among those that are scored"""
    threshold_policy: str = "youden"
    """youden, f1, mcc (CheXzero's), tpr=0.9, fpr=0.2 or fixed:0.5; one threshold per finding for all groups"""
    calibration: Literal["platt", "temperature", "isotonic"] = "platt"
    """from scores to probabilities: sigmoid(a + b margin), sigmoid(margin / T), or a rising step function"""
    thresholds: Path | None = None
    """thresholds.json of an earlier run, in place of those fitted here; for archives without a validation split"""
    readers: Path | None = None
    """folder with the radiologists' readings of CheXpert's test set, to compare the decisions with"""
    groups: tuple[str, ...] = ("sex", "age:0,18,40,60,80,+", "race")
    """attributes for the subgroup table: columns, bins ("age:0,18,+") or crossings ("race*sex")"""
    n_replicates: int = 1000
    """bootstrap resamples of patients"""
    seed: int = 0
    """of the bootstrap"""
    batch_size: int = 64
    """images per forward pass"""
    device: str = "auto"
    """cpu, cuda, or auto"""
    cache: bool = True
    """keep the image features in embeddings.h5 of the result folder, for later runs on the same weights and pixels"""
    embeddings: Path | None = None
    """embeddings.h5 of another run to take the image features from; it must have them for every checkpoint"""
    name: str = "zero_shot"
    """result folder inside predictions/"""
    out_dir: Path | None = None
    """result folder; predictions/NAME when absent"""

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ValueError("--checkpoints wants at least one path")
        for flag, value, least in (("n_replicates", self.n_replicates, 40), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise ValueError(f"--{flag} must be at least {least}; found {value}")

    @property
    def folder(self) -> Path:
        """Where results are written."""
        return self.out_dir or Path("predictions") / self.name
