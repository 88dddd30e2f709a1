"""Make a simulated chest X-ray archive in the layout of MIMIC-CXR, with planted and known disparities.

1,200 patients have about 3,000 films. scenario.json says what was planted, truth.csv what each film shows.

python make_phantom.py --out_dir data/phantom --n_patients 1200 --seed 0 --scenario default --image_size 512
python make_phantom.py miniature --archive padchest --out_dir data/padchest-miniature
"""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from common.programs import Job, start
from phantom.phantom_config import HEADINGS, MINIATURE_HEADINGS, MiniatureConfig, PhantomConfig

if TYPE_CHECKING:
    from phantom import Archive

MINIATURE = """A tiny copy of another public archive: its files, columns and words, with simulated people.

python make_phantom.py miniature --archive padchest --out_dir data/padchest-miniature
"""


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
        views=config.views,
        workers=config.workers,
    )
    counts = f"{archive.n_patients} patients, {archive.n_studies} studies, {archive.n_images} films"
    wrote = f"wrote {archive.root} ({counts}) in {time.perf_counter() - started:.0f} s"
    print(f"{archive.root} already holds this archive ({counts}): nothing to do" if archive.reused else wrote)
    print(f"planted: {archive.root / 'scenario.json'}   in the pictures: {archive.root / 'truth.csv'}")
    print(f"next: python preprocess_train_data.py --archive_root {archive.root}")
    return archive


def miniature(config: MiniatureConfig) -> None:
    """Write a miniature and say how to read it."""
    from phantom.miniatures.writers import write_miniature  # noqa: PLC0415

    write_miniature(**asdict(config))
    print(f"wrote {config.out_dir} ({config.archive}, {config.n_patients} patients)\nnext: {config.next_command}")


def cli() -> int:
    """Run from the command line; 2 for a request that cannot be used, 1 for a job that failed."""
    job = Job(about=__doc__ or "", config=PhantomConfig, run=main, headings=HEADINGS)
    return start(
        job,
        others={"miniature": Job(about=MINIATURE, config=MiniatureConfig, run=miniature, headings=MINIATURE_HEADINGS)},
    )


if __name__ == "__main__":
    sys.exit(cli())
