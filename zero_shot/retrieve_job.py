"""`run_zero_shot.py retrieve`: how well reports and images find each other, as a table."""

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from common.programs import Job

if TYPE_CHECKING:
    import pandas as pd

    from zero_shot.retrieval import Retrieval

ABOUT = """Measure image-to-report and report-to-image retrieval: recall at 1, 5 and 10, and the median rank.

Any image or report with the query's text is a hit; the strict diagonal stands beside it. Writes retrieval.csv.

python run_zero_shot.py retrieve --checkpoint runs/phantom --read_as sentences
"""
HEADINGS = {
    "checkpoint": "data and model",
    "n_replicates": "intervals",
    "batch_size": "computation",
    "out_dir": "output",
}
"""Field -> heading in `-h` of this field and the fields after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveConfig:
    """Which images and texts have to find each other."""

    checkpoint: str
    """Run folder, checkpoint folder, CheXzero .pt file or open_clip NAME:TAG"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """Cohort table written with the images"""
    txt_filepath: Path = Path("data/mimic_impressions.csv")
    """Texts written with the images; images without a text are left out and counted"""
    split: str = "test"
    """Split of the cohort whose frontal images are used, or "all\""""
    read_as: Literal["reports", "sentences"] = "reports"
    """How the model reads a report: whole, or as the mean of its sentences' features; as --objective in training"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients; 0: no intervals"""
    seed: int = 0
    """Seed of the bootstrap"""
    batch_size: int = 64
    """Images per forward pass"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""
    out_dir: Path = Path("predictions/retrieval")
    """Folder of retrieval.csv"""

    def __post_init__(self) -> None:
        for flag, value, least in (("n_replicates", self.n_replicates, 0), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise ValueError(f"--{flag}: wanted {least} or more, found {value}")


def main(config: RetrieveConfig) -> "Retrieval":
    """Write retrieval.csv, print it, and return what was found.

    Raises:
        FileNotFoundError, ValueError: as `retrieve`, and what the files of the configuration do wrong.
    """
    from cohort import read_texts  # noqa: PLC0415  (pandas and torch, which -h does not need)
    from zero_shot.job_inputs import as_text, frontal_images, load_on, write_tables  # noqa: PLC0415
    from zero_shot.retrieval import retrieve  # noqa: PLC0415

    texts = read_texts(config.txt_filepath)
    with frontal_images(config.cxr_filepath, config.cohort_filepath, split=config.split) as (chosen, images):
        found = retrieve(
            load_on(config.checkpoint, config.device),
            images,
            chosen,
            texts,
            read_as=config.read_as,
            batch_size=config.batch_size,
            n_replicates=config.n_replicates,
            seed=config.seed,
        )

    write_tables(config.out_dir, {"retrieval": found.table})
    print(found.flow)
    print(as_text(_shown(found.table)))
    print(
        f"{found.n_images:,} pairs, {found.n_texts:,} distinct texts; {found.duplicates_share:.1%} of the pairs share "
        f"their text with another pair; {found.n_cut:,} texts exceed the model's context and were cut"
    )
    print(f"table in {config.out_dir / 'retrieval.csv'}")
    return found


def _shown(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table for the screen: recall with its interval in one column per depth."""
    from metrics.ranks import DEPTHS  # noqa: PLC0415

    shown = table[["direction", "hit", "n_queries", "n_candidates"]].copy()
    for depth in DEPTHS:
        name = f"recall_at_{depth}"
        ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        shown[name] = [
            f"{value:.3f}" + ("" if isnan(low) else f" ({low:.3f} to {high:.3f})") for value, low, high in ends
        ]
    return shown.assign(median_rank=table["median_rank"])


JOB = Job(about=ABOUT, config=RetrieveConfig, run=main, headings=HEADINGS)
