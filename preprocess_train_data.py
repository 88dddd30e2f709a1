"""Preprocess an archive of chest X-rays and reports into data/cxr.h5, data/mimic_impressions.csv and data/cohort.csv.

cxr.h5 holds the images, mimic_impressions.csv the texts, cohort.csv who was imaged, and flow.csv what was
excluded and why.

python preprocess_train_data.py                               # the archive in data/, real or simulated
python preprocess_train_data.py --chest_x_ray_path /mimic-cxr-jpg/files --radiology_reports_path /mimic-cxr/files
python preprocess_train_data.py --dataset_type csv --csv_path mine.csv --chest_x_ray_path /my/images
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from common.programs import Job, start
from preprocess.preprocess_config import HEADINGS, ExportConfig, PreprocessConfig, VerifyConfig

if TYPE_CHECKING:
    from preprocess.pipeline import Summary

VERIFY = """Read every row of an image store again and compare its checksum with the journal.

python preprocess_train_data.py verify --cxr_filepath data/cxr.h5
python preprocess_train_data.py verify --source
"""
EXPORT = """Write a smaller copy of an image store for transport, or unpack such a copy.

python preprocess_train_data.py export --out /transfer/cxr.h5 --compression zstd
"""


def main(config: PreprocessConfig) -> Summary:
    """Preprocess one archive, print the flow table, and return what was done."""
    from preprocess.pipeline import run  # noqa: PLC0415  (pandas and h5py, which -h does not need)

    summary = run(config)
    print(summary.flow)
    print(
        f"{summary.n_packed:,} of {summary.n_listed:,} images in {summary.outputs.images}, "
        f"{summary.n_failed:,} unreadable, {summary.n_decoded:,} opened in {summary.seconds:.1f} s; "
        f"cohort table: {summary.outputs.cohort}"
    )
    return summary


def verify(config: VerifyConfig) -> None:
    """Verify a store, and fail if a row is damaged or its source is not what was packed."""
    from preprocess.packing import verify as store  # noqa: PLC0415

    verdict = store.verify(config)
    if verdict.damaged or verdict.changed or verdict.unreadable:
        raise RuntimeError(f"{config.cxr_filepath}: {store.in_words(verdict)}")
    print(f"{config.cxr_filepath}: {store.in_words(verdict)}")


def export(config: ExportConfig) -> None:
    """Write a copy of a store and say how large it is."""
    from preprocess.packing.export import export as write_copy  # noqa: PLC0415

    done = write_copy(config)
    if done.compression != config.compression:
        print(f"{config.compression} needs the package hdf5plugin, which is not installed: used {done.compression}")
    print(f"{done.n_rows:,} rows in {done.out}, {done.compression}, {done.n_bytes / 1e6:,.1f} MB")


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    others: dict[str, Job[Any]] = {
        "verify": Job(about=VERIFY, config=VerifyConfig, run=verify),
        "export": Job(about=EXPORT, config=ExportConfig, run=export),
    }
    return start(Job(about=__doc__ or "", config=PreprocessConfig, run=main, headings=HEADINGS), others=others)


if __name__ == "__main__":
    sys.exit(cli())
