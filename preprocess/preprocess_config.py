"""The settings of preprocessing: CheXzero's flags with its default files, and ours."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from cohort.sources import READERS, ArchiveName, Texts
from cohort.sources.mapping import ColumnMapping

MAX_RESOLUTION = 4096
MIMIC = ("mimic", "mimic-dicom")
"""Archives whose parts are downloads of their own, which more than one flag can name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The files that a run writes."""

    images: Path
    """The image store."""
    paths: Path
    """Paths of the images, in row order."""
    texts: Path
    """Texts of the images, in row order; not written for images without texts (chexpert-test)."""
    cohort: Path
    """Every image with its row, or why it has none."""
    flow: Path
    """What each exclusion cost."""
    contact_sheet: Path
    """Some rows with their texts, to look at."""
    text_statistics: Path
    """What the texts are like: sections, lengths, languages; not written for images without texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessConfig:
    """An archive of chest X-rays and reports -> one HDF5 file of images, and tables that say what each row is."""

    dataset_type: ArchiveName = "mimic"
    """mimic: MIMIC-CXR-JPG with MIMIC-CXR reports. mimic-dicom: MIMIC-CXR itself. chexpert-test: the 500 test studies,
    images only. csv: your own images and texts, listed in a table. The others are described in cohort/sources/, one
    file each. Texts come with mimic, mimic-dicom, chexpert-plus, padchest (Spanish), openi and csv."""
    archive_root: Path = Path("data")
    """Folder of the archive, as it was unpacked. mimic: folder below which the PhysioNet downloads (or data/phantom)
    are looked for."""
    chest_x_ray_path: Path | None = None
    """Folder of the images: files/ of MIMIC-CXR-JPG or MIMIC-CXR, or CheXpert's test folder. csv: paths of the table
    are relative to it (default: to the table). Other archives: the same as archive_root. Default: found below
    archive_root."""
    nih_edition: Literal["2020", "2017"] | None = None
    """nih: whose ages and labels to take, Data_Entry_2017_v2020.csv or Data_Entry_2017.csv; a quarter of the ages
    differ. Default: 2020 if it is there."""
    radiology_reports_path: Path | None = None
    """mimic: folder files/ of the MIMIC-CXR reports. Default: found below archive_root."""
    mimiciv_path: Path | None = None
    """mimic: folder of MIMIC-IV, for age, sex, race and insurance. Default: found below archive_root."""

    csv_path: Path | None = None
    """csv: the table, one row per image."""
    csv_mapping: Path | None = None
    """csv: YAML file that says which column is which, with all the settings of cohort/sources/mapping.py."""
    columns: ColumnMapping = field(default_factory=ColumnMapping)
    """csv: the same as flags."""

    out_dir: Path = Path("data")
    """Folder of all outputs whose own flag is not given."""
    cxr_out_path: Path | None = None
    """Images. Default: OUT_DIR/cxr.h5."""
    csv_out_path: Path | None = None
    """Paths of the images, in row order. Default: OUT_DIR/cxr_paths.csv."""
    mimic_impressions_path: Path | None = None
    """Texts of the images, in row order. Default: OUT_DIR/mimic_impressions.csv."""
    cohort_out_path: Path | None = None
    """Every image of the archive with its row, or why it has none. Default: OUT_DIR/cohort.csv."""
    flow_out_path: Path | None = None
    """How many images each exclusion cost. Default: OUT_DIR/flow.csv."""
    text_statistics_path: Path | None = None
    """What the texts are like. Default: OUT_DIR/text_statistics.csv."""
    contact_sheet_path: Path | None = None
    """Picture of some rows with their texts. Default: OUT_DIR/contact_sheet.png."""
    contact_sheet_images: int = 24
    """Rows on that picture, drawn at random; 0 for no picture."""

    resolution: int = 320
    """Side of the stored images, pixels."""
    exact: bool = False
    """Grey levels equal to CheXzero's. The default decodes large JPEGs at 1/2 or less before the resize, which takes
    two thirds of the time and moves grey levels by 0 to 4 (PSNR above 50 dB)."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """How grey levels 0..255 are stored. float32 takes four times the space; CheXzero's own training needs it."""
    views: Literal["frontal", "all"] = "frontal"
    """frontal keeps PA, AP and AP supine; all keeps laterals and images of unknown view too."""
    text_rule: Literal["official", "chexzero"] = "official"
    """official: the section rule of MIMIC-CXR. chexzero: its word scan after "IMPRESSION:"."""
    section: Literal["impression", "findings", "both"] = "impression"
    """Preferred section under the official rule. Where it is missing: impression, findings, last paragraph; which one
    was used is noted per image."""
    prior_references: Literal["keep", "phrases", "sentences"] = "keep"
    """References to earlier studies, which no model can see in one image. phrases: cut out, with their sentence only
    where nothing true would be left. sentences: every sentence with one is dropped. English only."""
    deidentification_marks: Literal["keep", "remove"] = "keep"
    """`___` and `XXXX`; removed together with the preposition or title in front of them."""
    require_text: bool = True
    """Leave out images without usable text. --no_require_text packs them with an empty one: to score, not to train."""
    compat: Literal["none", "chexzero"] = "none"
    """chexzero reproduces its files row for row: all views, float32, no ids, two columns, the caption NO IMPRESSION,
    16-bit images cut to the upper byte. It overrides exact, views, dtype and text_rule."""
    max_failed_share: float = 0.05
    """Largest share of the images, 0..1, that may turn out unreadable; above it the job stops and no file changes."""
    strict: bool = False
    """Let no fault of the archive pass: if a file is missing, unreadable, not listed, or a report is, no file changes
    and the exit code is 1. What the settings exclude (views, studies without usable text) is no fault."""
    follow_links: bool = False
    """Accept image files that are links to a place outside of the archive."""
    allow_count: bool = False
    """chexpert-test: accept another number of images than 500."""
    workers: int | Literal["auto"] = "auto"
    """Processes of this machine that decode; auto is one per core."""
    scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://HOST:PORT), whose workers then decode instead."""

    def __post_init__(self) -> None:
        if not 1 <= self.resolution <= MAX_RESOLUTION:
            raise ValueError(f"--resolution: wanted 1 to {MAX_RESOLUTION} pixels, found {self.resolution}.")
        if not 0.0 <= self.max_failed_share <= 1.0:
            raise ValueError(f"--max_failed_share: wanted a share from 0 to 1, found {self.max_failed_share}.")
        if self.workers != "auto" and self.workers < 1:
            raise ValueError(f"--workers: wanted auto, or 1 or more, found {self.workers}.")
        if self.scheduler is not None and self.workers != "auto":
            raise ValueError("--scheduler: wanted no --workers with it, because its cluster has its own; found both.")
        if self.contact_sheet_images < 0:
            raise ValueError(f"--contact_sheet_images: wanted 0 or more, found {self.contact_sheet_images}.")
        self._refuse_unfit_inputs()
        edits = (self.prior_references, self.deidentification_marks)
        if "chexzero" in {self.compat, self.text_rule} and edits != ("keep", "keep"):
            raise ValueError(
                "--prior_references, --deidentification_marks: wanted keep with CheXzero's text rule, whose texts are "
                f"its own to the letter; found {' and '.join(edits)}."
            )

    def _refuse_unfit_inputs(self) -> None:
        """Refuse settings of where the archive is that do not fit its type."""
        if self.dataset_type == "csv" and self.csv_path is None:
            raise ValueError("--dataset_type csv: wanted the table as --csv_path, found none.")
        if self.dataset_type == "chexpert-test" and self.chest_x_ray_path is None:
            raise ValueError("--dataset_type chexpert-test: wanted its folder as --chest_x_ray_path, found none.")
        if self.csv_mapping is not None and self.columns != ColumnMapping():
            raise ValueError("--dataset_type csv: wanted --csv_mapping or --columns.* flags, found both.")
        if self.nih_edition is not None and self.dataset_type != "nih":
            raise ValueError(f"--nih_edition: wanted --dataset_type nih with it, found {self.dataset_type}.")
        extra = self.radiology_reports_path or self.mimiciv_path
        if self.dataset_type in MIMIC and extra is not None and self.chest_x_ray_path is None:
            raise ValueError(
                f"--dataset_type {self.dataset_type}: wanted --chest_x_ray_path together with {extra}, found none."
            )

    @property
    def texts(self) -> Texts:
        """Where the archive has its texts: files named by `report_path`, the column `report`, or nowhere."""
        return READERS[self.dataset_type].texts

    @property
    def has_texts(self) -> bool:
        """Whether the archive comes with texts."""
        return self.texts != "none"

    @property
    def outputs(self) -> Outputs:
        """The files that a run writes, with the defaults filled in."""
        return Outputs(
            images=self.cxr_out_path or self.out_dir / "cxr.h5",
            paths=self.csv_out_path or self.out_dir / "cxr_paths.csv",
            texts=self.mimic_impressions_path or self.out_dir / "mimic_impressions.csv",
            cohort=self.cohort_out_path or self.out_dir / "cohort.csv",
            flow=self.flow_out_path or self.out_dir / "flow.csv",
            contact_sheet=self.contact_sheet_path or self.out_dir / "contact_sheet.png",
            text_statistics=self.text_statistics_path or self.out_dir / "text_statistics.csv",
        )

    def resolved(self) -> "PreprocessConfig":
        """Return the settings with the overrides of `compat` applied."""
        if self.compat == "chexzero":
            return replace(self, exact=True, views="all", dtype="float32", text_rule="chexzero")
        return self
