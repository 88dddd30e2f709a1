"""The settings of preprocess_train_data.py and of its jobs verify and export, with their headings in `-h`."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from cohort.sources import READERS, ArchiveName, Texts
from cohort.sources.mapping import ColumnMapping

Compression = Literal["zstd", "gzip", "none"]
Dtype = Literal["uint8", "float32"]

MAX_RESOLUTION = 4096
MIMIC = ("mimic", "mimic-dicom")
"""Archives whose parts are downloads of their own, which more than one flag can name"""
HEADINGS = {
    "dataset_type": "archive",
    "csv_path": "your own table",
    "columns": "columns of your table",
    "out_dir": "output",
    "resolution": "images",
    "text_rule": "texts",
    "compat": "images",
    "max_failed_share": "faults",
    "workers": "processes",
}
"""Field -> heading in `-h` of this field and the fields after it."""


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


_FLAGS = {
    "images": "cxr_out_path",
    "paths": "csv_out_path",
    "texts": "mimic_impressions_path",
    "cohort": "cohort_out_path",
    "flow": "flow_out_path",
    "contact_sheet": "contact_sheet_path",
    "text_statistics": "text_statistics_path",
}
"""The flag of each of `Outputs`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessConfig:
    """An archive of chest X-rays and reports -> one HDF5 file of images, and tables that say what each row is."""

    dataset_type: ArchiveName = "mimic"
    """Archive. mimic: MIMIC-CXR-JPG with MIMIC-CXR reports; mimic-dicom: MIMIC-CXR itself; chexpert-test: the 500 test
    studies, images only; csv: your own images and texts, listed in a table; the others are described in
    cohort/sources/, one file each. mimic, mimic-dicom, chexpert-plus, padchest (Spanish), openi and csv have texts"""
    archive_root: Path = Path("data")
    """Folder of the archive as unpacked; for mimic, the folder in which to look for the PhysioNet downloads (or
    data/phantom)"""
    chest_x_ray_path: Path | None = None
    """Folder of the images: files/ of MIMIC-CXR-JPG or MIMIC-CXR, or CheXpert's test folder; for csv, the folder that
    the table's paths are relative to (without it, the table's own folder); for other archives, the same as
    --archive_root. Without it, searched for in --archive_root"""
    nih_edition: Literal["2020", "2017"] | None = None
    """nih: edition of ages and labels, Data_Entry_2017_v2020.csv or Data_Entry_2017.csv; a quarter of the ages differ.
    Without it, 2020 if present"""
    radiology_reports_path: Path | None = None
    """mimic: folder files/ of the MIMIC-CXR reports; without it, searched for in --archive_root"""
    mimiciv_path: Path | None = None
    """mimic: folder of MIMIC-IV, for age, sex, race and insurance; without it, searched for in --archive_root"""

    csv_path: Path | None = None
    """csv: the table, one row per image"""
    csv_mapping: Path | None = None
    """csv: YAML file that maps columns, with all the settings of cohort/sources/mapping.py; or use the --columns
    flags"""
    columns: ColumnMapping = field(default_factory=ColumnMapping)
    """csv: the column mapping as flags"""

    out_dir: Path = Path("data")
    """Folder of all outputs without a flag of their own"""
    overwrite: bool = False
    """Replace files of other settings (another archive, resolution, text rule, ...), which are refused otherwise; rows
    of images that are the same under both settings are kept"""
    cxr_out_path: Path | None = None
    """Image store, in place of OUT_DIR/cxr.h5"""
    csv_out_path: Path | None = None
    """Image paths in row order, in place of OUT_DIR/cxr_paths.csv"""
    mimic_impressions_path: Path | None = None
    """Texts in row order, in place of OUT_DIR/mimic_impressions.csv"""
    cohort_out_path: Path | None = None
    """Cohort table: every image of the archive with its row, or the reason why it has none; in place of
    OUT_DIR/cohort.csv. For chexpert-test with --cxr_out_path NAME.h5, this and the other tables begin with NAME_"""
    flow_out_path: Path | None = None
    """Number of images that each exclusion removed, in place of OUT_DIR/flow.csv"""
    text_statistics_path: Path | None = None
    """Sections, lengths and languages of the texts, in place of OUT_DIR/text_statistics.csv"""
    contact_sheet_path: Path | None = None
    """Picture of some rows with their texts, in place of OUT_DIR/contact_sheet.png"""
    contact_sheet_images: int = 24
    """Number of rows on the contact sheet, drawn at random; 0: no picture"""

    resolution: int = 320
    """Side of the stored images, pixels"""
    exact: bool = False
    """Produce the same grey levels as CheXzero. Otherwise large JPEGs are decoded at half their size or less before the
    resize: two thirds of the time, and grey levels differ by 0 to 4 (PSNR above 50 dB)"""
    dtype: Dtype = "uint8"
    """Type of the stored grey levels 0 to 255; float32 takes four times the space, and CheXzero's own training needs
    it"""
    views: Literal["frontal", "all"] = "frontal"
    """Views to pack; frontal: PA, AP and AP supine; all: lateral and unknown views as well"""
    text_rule: Literal["any_layout", "official", "chexzero"] = "any_layout"
    """Rule for sections of reports; any_layout: headings however they are typed, all impressions joined; official: that
    of MIMIC-CXR's own section files, for which only its layout has headings and the last impression counts; chexzero:
    its word scan after "IMPRESSION:\""""
    section: Literal["impression", "findings", "both"] = "impression"
    """Preferred section, except under the chexzero rule. If it is missing: impression, findings, last paragraph, in
    this order; the section used is recorded per image"""
    prior_references: Literal["keep", "phrases", "sentences"] = "keep"
    """References to earlier studies, which a single image cannot show; phrases: remove the reference, and the sentence
    only if nothing true would be left; sentences: remove every sentence that has one. English only"""
    deidentification_marks: Literal["keep", "remove"] = "keep"
    """De-identification marks `___` and `XXXX`; remove: together with the preposition or title before them"""
    require_text: bool = True
    """Exclude images without usable text; otherwise they are packed with an empty text, for scoring only"""
    compat: Literal["none", "chexzero"] = "none"
    """chexzero: reproduce its files row for row: all views, float32, no IDs, two columns, the caption NO IMPRESSION,
    16-bit images cut to the upper byte; overrides --exact, --views, --dtype and --text_rule"""
    max_failed_share: float = 0.05
    """Maximum share of images whose file or report is missing or unreadable, 0 to 1; above it the job stops and no file
    changes"""
    strict: bool = False
    """Fail without writing anything if an image or report is missing, unreadable or unlisted (exit code 1); exclusions
    by settings are allowed"""
    follow_links: bool = False
    """Accept image files that are links to a place outside the archive"""
    allow_count: bool = False
    """chexpert-test: accept a number of images other than 500"""
    workers: int | Literal["auto"] = "auto"
    """Decoding processes on this machine; auto: one per core"""
    scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://HOST:PORT), whose workers decode instead"""

    def __post_init__(self) -> None:
        if not 1 <= self.resolution <= MAX_RESOLUTION:
            raise ValueError(f"--resolution: wanted 1 to {MAX_RESOLUTION} pixels, found {self.resolution}")
        if not 0.0 <= self.max_failed_share <= 1.0:
            raise ValueError(f"--max_failed_share: wanted a share from 0 to 1, found {self.max_failed_share}")
        if self.workers != "auto" and self.workers < 1:
            raise ValueError(f"--workers: wanted auto, or 1 or more, found {self.workers}")
        if self.scheduler is not None and self.workers != "auto":
            raise ValueError("--scheduler: wanted no --workers with it, because its cluster has its own, found both")
        if self.contact_sheet_images < 0:
            raise ValueError(f"--contact_sheet_images: wanted 0 or more, found {self.contact_sheet_images}")
        self._refuse_unfit_inputs()
        self._refuse_files_that_meet()
        edits = (self.prior_references, self.deidentification_marks)
        if "chexzero" in {self.compat, self.text_rule} and edits != ("keep", "keep"):
            raise ValueError(
                "--prior_references, --deidentification_marks: wanted keep with CheXzero's text rule, which reproduces "
                f"its texts to the letter, found {' and '.join(edits)}"
            )

    def _refuse_unfit_inputs(self) -> None:
        """Refuse settings of where the archive is that do not fit its type."""
        if self.dataset_type == "csv" and self.csv_path is None:
            raise ValueError("--dataset_type csv: wanted the table as --csv_path, found none")
        if self.dataset_type == "chexpert-test" and self.chest_x_ray_path is None:
            raise ValueError("--dataset_type chexpert-test: wanted its folder as --chest_x_ray_path, found none")
        if self.csv_mapping is not None and self.columns != ColumnMapping():
            raise ValueError("--dataset_type csv: wanted --csv_mapping or --columns.* flags, found both")
        if self.nih_edition is not None and self.dataset_type != "nih":
            raise ValueError(f"--nih_edition: wanted --dataset_type nih with it, found {self.dataset_type}")
        extra = self.radiology_reports_path or self.mimiciv_path
        if self.dataset_type in MIMIC and extra is not None and self.chest_x_ray_path is None:
            raise ValueError(
                f"--dataset_type {self.dataset_type}: wanted --chest_x_ray_path together with {extra}, found none"
            )

    def _refuse_files_that_meet(self) -> None:
        """Refuse two outputs in one file, and an output in place of the user's own table."""
        flags: dict[Path, str] = {}
        for name in ("csv_path", "csv_mapping"):
            if (table := getattr(self, name)) is not None:
                flags[table.resolve()] = name

        for name, path in asdict(self.outputs).items():
            if path not in self.written:
                continue
            flag, other = _FLAGS[name], flags.get(path.resolve())
            if other in {"csv_path", "csv_mapping"}:
                raise ValueError(
                    f"--{other}: wanted outputs beside the table, found {path} among them; name another --{flag}"
                )
            if other:
                raise ValueError(
                    f"--{flag}: wanted a file for each output, found {path} for --{other} too; name another"
                )
            flags[path.resolve()] = flag

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
        # CheXzero packs its test set into the folder of the training archive, whose tables must stay.
        prefix = ""
        if self.dataset_type == "chexpert-test" and self.cxr_out_path is not None:
            prefix = f"{self.cxr_out_path.stem}_"

        def default(name: str) -> Path:
            return self.out_dir / f"{prefix}{name}"

        return Outputs(
            images=self.cxr_out_path or default("cxr.h5"),
            paths=self.csv_out_path or default("cxr_paths.csv"),
            texts=self.mimic_impressions_path or default("mimic_impressions.csv"),
            cohort=self.cohort_out_path or default("cohort.csv"),
            flow=self.flow_out_path or default("flow.csv"),
            contact_sheet=self.contact_sheet_path or default("contact_sheet.png"),
            text_statistics=self.text_statistics_path or default("text_statistics.csv"),
        )

    @property
    def written(self) -> tuple[Path, ...]:
        """The files of `outputs` that this run writes."""
        files = self.outputs
        texts = (files.texts, files.text_statistics) if self.has_texts else ()
        sheet = (files.contact_sheet,) if self.contact_sheet_images else ()
        return (files.images, files.paths, files.cohort, files.flow, *texts, *sheet)

    def resolved(self) -> "PreprocessConfig":
        """Return the settings with the overrides of `compat` applied."""
        if self.compat == "chexzero":
            return replace(self, exact=True, views="all", dtype="float32", text_rule="chexzero")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """Read every row of an image store again and compare its checksum with the journal."""

    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store to verify"""
    journal_filepath: Path | None = None
    """Journal of the store, in place of CXR_FILEPATH.journal"""
    source: bool = False
    """Also read the source files again and compare their pixels; takes as long as packing in one process"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """Write an image store in another layout, with the same rows and ids."""

    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store to copy"""
    out: Path
    """File to write"""
    overwrite: bool = False
    """Replace the file if there is one"""
    compression: Compression = "zstd"
    """zstd: needs the package hdf5plugin here and where the file is read, and gzip is used if it is missing here; gzip:
    readable by any HDF5; none: unpacks a compressed file to the layout that training reads fastest"""
    dtype: Dtype = "uint8"
    """Type of the stored grey levels; float32 is what CheXzero's training reads"""
