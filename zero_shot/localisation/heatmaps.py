"""`run_zero_shot.py heatmaps`: heatmaps over X-rays as PNG files, and the pointing game where places are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from common.programs import Job
from zero_shot.file_names import file_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    import models
    from zero_shot.images import Images
    from zero_shot.prompts import PromptSet

ABOUT = """Draw heatmaps of findings over X-rays, and play the pointing game where boxes of the findings are known.

python run_zero_shot.py heatmaps --checkpoint runs/phantom --image_ids ID --findings "Pleural Effusion"
"""
HEADINGS = {
    "checkpoint": "model and images",
    "out_dir": "output",
    "method": "map",
    "boxes_filepath": "pointing game",
    "batch_size": "computation",
}
"""Field -> heading in `-h` of this field and the fields after it."""
UNITS = {"gradient": "part of the log-odds", "similarity": "log-odds of the place alone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapConfig:
    """Show where a model sees its evidence: one PNG per image and finding."""

    checkpoint: str
    """Run folder, checkpoint folder, CheXzero .pt file or open_clip NAME:TAG"""
    image_ids: tuple[str, ...] = ()
    """Images to draw"""
    findings: tuple[str, ...] = ()
    """Findings to draw; without it, all of the prompt set"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """Cohort table written with the images"""
    out_dir: Path = Path("heatmaps")
    """Folder of the pictures"""
    method: Literal["gradient", "similarity"] = "gradient"
    """gradient: contribution of each place to the score; similarity: score of each place alone"""
    prompts: str = "radiologist"
    """Shipped prompt set (radiologist, chexzero) or a JSON file"""
    scoring: Literal["mixture", "temperature", "chexzero"] = "mixture"
    """As in run_zero_shot.py"""
    boxes_filepath: Path | None = None
    """CSV with image_id and boxes (JSON), such as the phantom's truth.csv; boxes are drawn and pointing.csv is
    written"""
    sizes_filepath: Path | None = None
    """CSV with image_id or dicom_id, Columns and Rows of the original films, such as MIMIC-CXR's metadata; needed with
    --boxes_filepath"""
    split: str = "test"
    """Split of the cohort whose frontal images play the pointing game, or "all\""""
    tolerance: float = 0.0
    """Distance by which a maximum may miss its box, pixels of the packed image"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients"""
    seed: int = 0
    """Seed of the bootstrap"""
    batch_size: int = 16
    """Images per forward pass"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""

    def __post_init__(self) -> None:
        if not self.image_ids and self.boxes_filepath is None:
            raise ValueError("--image_ids, --boxes_filepath: wanted images to draw or boxes to point at, found neither")
        if (self.boxes_filepath is None) != (self.sizes_filepath is None):
            raise ValueError(
                "--boxes_filepath, --sizes_filepath: wanted both (boxes are in pixels of the originals), found one"
            )
        if self.tolerance < 0:
            raise ValueError(f"--tolerance: wanted 0 pixels or more, found {self.tolerance}")


class _HeatmapJob(NamedTuple):
    """What is drawn and judged with."""

    config: HeatmapConfig
    bundle: models.Bundle
    prompts: PromptSet
    resolution: int
    known: tuple[dict[str, dict[str, list[float]]], dict[str, tuple[int, int]]] | None
    """Boxes and sizes of the original films."""

    def maps(self, images: Images) -> np.ndarray:
        """Return maps (n, c, h, w) by the method that was asked for."""
        from zero_shot.localisation.maps import gradient_relevance, patch_margins  # noqa: PLC0415  (torch)

        draw = gradient_relevance if self.config.method == "gradient" else patch_margins
        config = self.config
        return draw(self.bundle, images, self.prompts, scoring=config.scoring, batch_size=config.batch_size)

    def boxes(self, image_ids: tuple[str, ...]) -> np.ndarray | None:
        """Return boxes (n, c, 4) in pixels of the packed images, None where no file of boxes was given."""
        from zero_shot.localisation.boxes import packed_boxes  # noqa: PLC0415  (pandas)

        if self.known is None:
            return None
        boxes, sizes = self.known
        findings = self.prompts.findings
        return packed_boxes(boxes, sizes, image_ids=image_ids, findings=findings, resolution=self.resolution)


def main(config: HeatmapConfig) -> pd.DataFrame | None:
    """Write the pictures, and return the table of the pointing game where there are boxes.

    Raises:
        FileNotFoundError: a file of the configuration is missing.
        ValueError: an image that is not packed, a finding without prompts, and what the functions called refuse.
    """
    from cohort import open_images, read_cohort  # noqa: PLC0415  (pandas, which -h does not need)
    from zero_shot.localisation.boxes import read_boxes, read_sizes  # noqa: PLC0415
    from zero_shot.prompts import load_prompts  # noqa: PLC0415
    from zero_shot.select import select_images  # noqa: PLC0415

    prompts = load_prompts(config.prompts)
    prompts = prompts.select(config.findings) if config.findings else prompts
    cohort = read_cohort(config.cohort_filepath)
    with open_images(config.cxr_filepath) as store:
        named = None
        if config.image_ids:
            packed = select_images(cohort, store, split="all", views="all", check_pixels=False)[1]
            named = _named(config, packed)
        known = None
        if config.boxes_filepath is not None and config.sizes_filepath is not None:
            known = read_boxes(config.boxes_filepath), read_sizes(config.sizes_filepath)
        import models  # noqa: PLC0415  (torch, which a refusal does not need)

        bundle = models.load(config.checkpoint)
        bundle.model.to(models.pick_device(config.device))
        job = _HeatmapJob(config, bundle, prompts, store.resolution, known)
        if named is not None:
            draw(job, named)
        if known is None:
            return None
        chosen, images, _ = select_images(cohort, store, split=config.split)
        return judge(job, images, chosen["subject_id"].tolist())


def _named(config: HeatmapConfig, packed: Images) -> Images:
    """Return the images that were asked for, in that order."""
    from zero_shot.images import Images  # noqa: PLC0415  (numpy)

    place = {image_id: row for row, image_id in enumerate(packed.ids)}
    missing = [image_id for image_id in config.image_ids if image_id not in place]
    if missing:
        raise ValueError(
            f"--image_ids: {len(missing)} of {len(config.image_ids)} images are not in {config.cohort_filepath} or not"
            f" packed, first {', '.join(missing[:3])}"
        )
    rows = packed.rows[[place[image_id] for image_id in config.image_ids]]
    return Images(reader=packed.reader, rows=rows, ids=config.image_ids)


def draw(job: _HeatmapJob, images: Images) -> None:
    """Write a PNG (see `file_name`) for every image and finding; the pictures of a finding share one scale."""
    from zero_shot.localisation.maps import upsample  # noqa: PLC0415  (torch)
    from zero_shot.localisation.overlays import write_overlay  # noqa: PLC0415  (matplotlib)
    from zero_shot.scoring import score  # noqa: PLC0415

    config, findings = job.config, job.prompts.findings
    maps = upsample(job.maps(images), job.resolution)
    boxes = job.boxes(images.ids)
    scores = score(job.bundle, images, job.prompts, scoring=config.scoring, batch_size=config.batch_size)
    pixels = images.reader.read(images.rows)
    for row, image_id in enumerate(images.ids):
        for column, finding in enumerate(findings):
            write_overlay(
                config.out_dir / f"{file_name(image_id, finding)}.png",
                pixels[row],
                maps[row, column],
                title=f"{finding}: score {scores[row, column]:.2f}\nimage {image_id}",
                unit=UNITS[config.method],
                box=None if boxes is None else boxes[row, column],
                top=float(maps[:, column].max()),
            )
    print(f"{len(images) * len(findings)} pictures in {config.out_dir}")


def judge(job: _HeatmapJob, images: Images, subject_ids: list[str]) -> pd.DataFrame:
    """Write `pointing.csv`, print it, and return it."""
    import numpy as np  # noqa: PLC0415

    from common.atomic import write_csv  # noqa: PLC0415
    from zero_shot.localisation.pointing import pointing_game  # noqa: PLC0415

    config = job.config
    boxes = job.boxes(images.ids)
    if boxes is None:
        raise ValueError("the pointing game needs --boxes_filepath and --sizes_filepath")
    table = pointing_game(
        job.maps(images),
        boxes,
        subject_ids,
        findings=job.prompts.findings,
        resolution=job.resolution,
        rng=np.random.default_rng(config.seed),
        tolerance=config.tolerance,
        n_replicates=config.n_replicates,
    )
    write_csv(config.out_dir / "pointing.csv", table)
    print(table.drop(columns="reason").to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    return table


JOB = Job(about=ABOUT, config=HeatmapConfig, run=main, headings=HEADINGS)
