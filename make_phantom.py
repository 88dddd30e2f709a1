"""Makes a simulated chest X-ray archive in the layout of MIMIC-CXR, with planted and known disparities.

    python make_phantom.py --out_dir data/phantom --n_patients 1200 --seed 0 --scenario default --image_size 512
    python make_phantom.py miniature --archive padchest --out_dir data/padchest-miniature      # other archives, tiny

1,200 patients are about 3,000 films. What was planted stands in scenario.json, what the films show in truth.csv.
"""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import tyro

from common.programs import exit_code
from phantom.phantom_config import MiniatureConfig, PhantomConfig

if TYPE_CHECKING:
    from phantom import Archive


def main(config: PhantomConfig) -> "Archive":
    """Write the archive and say what to do with it."""
    from phantom import PRESETS, write_archive  # noqa: PLC0415 - OpenCV and pandas would slow -h

    started = time.perf_counter()
    archive = write_archive(
        config.out_dir,
        scenario=PRESETS[config.scenario](),
        n_patients=config.n_patients,
        seed=config.seed,
        image_size=config.image_size,
        workers=config.workers,
    )
    counts = f"{archive.n_patients} patients, {archive.n_studies} studies, {archive.n_images} films"
    wrote = f"wrote {archive.root} ({counts}) in {time.perf_counter() - started:.0f} s"
    print(f"{archive.root} already holds this archive ({counts}): nothing to do" if archive.reused else wrote)
    print(f"planted: {archive.root / 'scenario.json'}   in the pictures: {archive.root / 'truth.csv'}")
    print(f"next: python preprocess_train_data.py --archive_root {archive.root}")
    return archive


def _miniature(arguments: list[str]) -> None:
    from phantom.miniatures.writers import write_miniature  # noqa: PLC0415

    config = tyro.cli(MiniatureConfig, args=arguments, use_underscores=True)
    write_miniature(**asdict(config))
    print(f"wrote {config.out_dir} ({config.archive}, {config.n_patients} patients)\nnext: {config.next_command}")


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be used, 1 for a job that failed."""
    if sys.argv[1:2] == ["miniature"]:
        return exit_code(lambda: _miniature(sys.argv[2:]))
    return exit_code(lambda: main(tyro.cli(PhantomConfig, description=__doc__, use_underscores=True)))


if __name__ == "__main__":
    sys.exit(cli())
