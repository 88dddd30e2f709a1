"""An archive of chest X-rays -> data/cxr.h5, data/mimic_impressions.csv, data/cohort.csv and what was left out.

python preprocess_train_data.py                               # the archive below data/, real or simulated
python preprocess_train_data.py --chest_x_ray_path /mimic-cxr-jpg/files --radiology_reports_path /mimic-cxr/files
python preprocess_train_data.py --dataset_type csv --csv_path mine.csv --chest_x_ray_path /my/images
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from exit_codes import exit_code
from preprocess.config import PreprocessConfig

if TYPE_CHECKING:
    from preprocess.pipeline import Summary


def main(config: PreprocessConfig) -> Summary:
    """Preprocess one archive, print the flow table, and return what was done."""
    from preprocess.pipeline import run  # noqa: PLC0415  (pandas and h5py, which -h does not need)

    summary = run(config)
    print(summary.flow)
    print(
        f"{summary.n_packed:,} of {summary.n_listed:,} images in {summary.outputs.images}, "
        f"{summary.n_failed:,} unreadable, {summary.seconds:.1f} s"
    )
    return summary


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    import tyro  # noqa: PLC0415  (worker processes import this file)

    return exit_code(
        lambda: main(tyro.cli(PreprocessConfig, description=__doc__.partition("\n")[0], use_underscores=True))
    )


if __name__ == "__main__":
    sys.exit(cli())
