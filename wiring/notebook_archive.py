"""Archive, images and model for the notebooks: found in the demo's folder, or made there by the demo's settings."""

import os
from dataclasses import dataclass
from pathlib import Path

from phantom import PRESETS, write_archive
from preprocess.pipeline import run as preprocess
from train import fit, load_pairs, start_model
from wiring.demo_plan import DemoConfig, plan
from wiring.validation_plan import validation

DEMO = Path(__file__).resolve().parents[1] / "runs" / "demo"
"""Folder of `make demo` in this clone"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookPaths:
    """What a notebook reads. For an archive of your own, make one with your paths."""

    run: Path
    """Folder of everything else, and of the results"""
    archive: Path
    """Folder of the simulated archive"""
    truth: Path | None
    """CSV with image_id and columns of 0 and 1; None: the labels of the cohort table"""
    images: Path
    """Image store"""
    cohort: Path
    """Cohort table"""
    model: Path
    """Run folder of the model"""


def notebook_paths() -> NotebookPaths:
    """Return the paths of archive, images and model; make what is missing, in minutes.

    The environment variables CXRSCOPE_RUN (folder), CXRSCOPE_PATIENTS, CXRSCOPE_IMAGE_SIZE (pixels) and
    CXRSCOPE_EPOCHS change the defaults.
    """
    run = Path(os.environ.get("CXRSCOPE_RUN", DEMO))
    demo = plan(
        DemoConfig(
            out_dir=run,
            n_patients=int(os.environ.get("CXRSCOPE_PATIENTS", "1200")),
            image_size=int(os.environ.get("CXRSCOPE_IMAGE_SIZE", "256")),
            epochs=int(os.environ.get("CXRSCOPE_EPOCHS", "16")),
        )
    )
    archive, packing, training = demo.archive, demo.packing, demo.training

    if not packing.outputs.images.is_file():
        write_archive(
            archive.out_dir,
            scenario=PRESETS[archive.scenario](),
            n_patients=archive.n_patients,
            seed=archive.seed,
            image_size=archive.image_size,
            workers=archive.workers,
        )
        preprocess(packing)

    if not (training.folder / "latest").is_file():
        judge = validation(training)
        fit(start_model(training), load_pairs(training), training, evaluate=judge.evaluate, selected=judge.images)

    return NotebookPaths(
        run=run,
        archive=archive.out_dir,
        truth=archive.out_dir / "truth.csv",
        images=packing.outputs.images,
        cohort=packing.outputs.cohort,
        model=training.folder,
    )
