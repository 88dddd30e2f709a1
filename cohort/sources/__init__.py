"""The one registry of archives, `READERS`, and one file per archive that reads it.

To add an archive:

1. A file `cohort/sources/ARCHIVE.py` with a function `read_ARCHIVE(root, *, check_files=True)`. It returns the cohort
   table of the archive as it was unpacked below `root`, and the flow of what was left out. `nih.py` is a good model; it
   says in its docstring what the archive is, and does the common steps with `archive_files`, `words` and `label_map`.
2. Its tables: `cohort/tables/labels/ARCHIVE.csv` for its own labels, a line in `cohort/tables/exposure/archives.csv`
   that says with which archives it shares images, and its words for view and sex in `view.csv` and `sex.csv`.
3. One line in `READERS`.

Preprocessing (`--dataset_type`) and the scoring protocols then know it. This file imports nothing heavy, so that `-h`
can list the names; `by_name.read_archive` imports the reader when it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

Texts = Literal["files", "column", "none"]


@dataclass(frozen=True, slots=True)
class ArchiveReader:
    """How one archive is read."""

    function: str
    """Module in this folder and its function: "nih:read_nih" """
    texts: Texts = "none"
    """Where its texts are: in files named by the column `report_path`, in the column `report`, or nowhere"""
    dataset: str = ""
    """Its word in the cohort's column `dataset`, if that differs from its name in `READERS`"""


READERS: Mapping[str, ArchiveReader] = MappingProxyType(
    {
        "mimic": ArchiveReader("mimic:read_mimic_jpg", texts="files", dataset="mimic-cxr-jpg"),
        "mimic-dicom": ArchiveReader("mimic:read_mimic_dicom", texts="files", dataset="mimic-cxr"),
        "chexpert": ArchiveReader("chexpert:read_chexpert"),
        "chexpert-plus": ArchiveReader("chexpert_plus:read_chexpert_plus", texts="column"),
        "chexpert-test": ArchiveReader("chexpert_test:read_chexpert_test"),
        "nih": ArchiveReader("nih:read_nih"),
        "padchest": ArchiveReader("padchest:read_padchest", texts="column"),
        "vindr-cxr": ArchiveReader("vindr:read_vindr_cxr"),
        "vindr-pcxr": ArchiveReader("vindr:read_vindr_pcxr"),
        "openi": ArchiveReader("openi:read_openi", texts="column"),
        "rsna": ArchiveReader("rsna:read_rsna"),
        "siim": ArchiveReader("siim:read_siim"),
        "csv": ArchiveReader("csv_table:read_table", texts="column"),
    }
)
"""Name of the archive, as `--dataset_type` has it, to its reader; "csv" is any table of a user."""

if TYPE_CHECKING:
    ArchiveName = str
else:
    # A type checker cannot follow the names of a table; the command line and the tests can.
    ArchiveName = Literal[tuple(READERS)]


def dataset_type_of(dataset: str) -> str:
    """Return the name in `READERS` of a cohort's word for its archive: "mimic" for "mimic-cxr-jpg".

    Any word that no archive has comes from a user's own table, so its name is "csv".
    """
    return next((name for name, reader in READERS.items() if dataset in (name, reader.dataset)), "csv")
