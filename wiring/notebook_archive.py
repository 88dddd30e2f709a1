"""Archive, images and model for the notebooks: those of the demo, or smaller ones in a folder of their own."""

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
OWN = DEMO.with_name("notebooks")
"""Folder in which the notebooks make what the demo has not: the demo's archive has another number of patients"""


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
    """Return the paths of archive, images and model: those of a finished demo, otherwise of a folder of its own.

    What is missing there is made, in minutes. The environment variables CXRSCOPE_RUN (folder), CXRSCOPE_PATIENTS,
    CXRSCOPE_IMAGE_SIZE (pixels) and CXRSCOPE_EPOCHS change the defaults.
    """
    run = Path(os.environ["CXRSCOPE_RUN"]) if "CXRSCOPE_RUN" in os.environ else DEMO if _is_finished(DEMO) else OWN
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
            views=archive.views,
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


def _is_finished(run: Path) -> bool:
    """Return whether a demo was run to its end; until then, it may still be at work."""
    return (run / "summary.json").is_file()
