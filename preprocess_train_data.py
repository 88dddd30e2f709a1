"""An archive of chest X-rays -> data/cxr.h5, data/mimic_impressions.csv, data/cohort.csv and what was left out.

python preprocess_train_data.py                               # the archive below data/, real or simulated
python preprocess_train_data.py --chest_x_ray_path /mimic-cxr-jpg/files --radiology_reports_path /mimic-cxr/files
python preprocess_train_data.py --dataset_type csv --csv_path mine.csv --chest_x_ray_path /my/images
python preprocess_train_data.py verify --cxr_filepath data/cxr.h5                      # read every row again
python preprocess_train_data.py export --out /transfer/cxr.h5 --compression zstd      # a smaller copy
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from common.programs import exit_code
from preprocess.preprocess_config import PreprocessConfig

if TYPE_CHECKING:
    from preprocess.pipeline import Summary


def main(config: PreprocessConfig) -> Summary:
    """Preprocess one archive, print the flow table, and return what was done."""
    from preprocess.pipeline import run  # noqa: PLC0415  (pandas and h5py, which -h does not need)

    summary = run(config)
    print(summary.flow)
    print(
        f"{summary.n_packed:,} of {summary.n_listed:,} images in {summary.outputs.images}, "
        f"{summary.n_failed:,} unreadable, {summary.n_decoded:,} opened in {summary.seconds:.1f} s"
    )
    return summary


def _verify(arguments: list[str]) -> None:
    import tyro  # noqa: PLC0415

    from preprocess.packing.verify import VerifyConfig, in_words, verify  # noqa: PLC0415

    config = tyro.cli(VerifyConfig, args=arguments, use_underscores=True)
    verdict = verify(config)
    if verdict.damaged:
        raise RuntimeError(f"{config.cxr_filepath}: {in_words(verdict)}")
    print(f"{config.cxr_filepath}: {in_words(verdict)}")


def _export(arguments: list[str]) -> None:
    import tyro  # noqa: PLC0415

    from preprocess.packing.export import ExportConfig, export  # noqa: PLC0415

    config = tyro.cli(ExportConfig, args=arguments, use_underscores=True)
    done = export(config)
    if done.compression != config.compression:
        print(f"{config.compression} needs the package hdf5plugin, which is not here: {done.compression} was taken")
    print(f"{done.n_rows:,} rows in {done.out}, {done.compression}, {done.n_bytes / 1e6:,.1f} MB")


def _preprocess(arguments: list[str]) -> None:
    import tyro  # noqa: PLC0415  (worker processes import this file)

    about = f"{__doc__.partition(chr(10))[0]} Other jobs: verify -h, export -h."
    main(tyro.cli(PreprocessConfig, args=arguments, description=about, use_underscores=True))


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be understood, 1 for a job that failed."""
    job, arguments = {"verify": _verify, "export": _export}.get(sys.argv[1] if sys.argv[1:] else ""), sys.argv[2:]
    return exit_code(lambda: job(arguments) if job else _preprocess(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(cli())
