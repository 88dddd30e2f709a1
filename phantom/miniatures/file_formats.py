"""The file formats of chest X-ray archives, written without time stamps: equal content is equal bytes."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import cv2
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from common.atomic import write_text, write_whole

Picture = UInt8[np.ndarray, "h w"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_ROOT_UID = "1.2.826.0.1.3680043.10.1137"


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV, compressed if its name ends in .gz."""
    text = frame.to_csv(index=False, lineterminator="\n")
    if path.suffix == ".gz":
        _write_bytes(path, gzip.compress(text.encode(), mtime=0))
    else:
        write_text(path, text)


def write_jpeg(path: Path, picture: Picture) -> None:
    """Write a picture as grey JPEG of quality 95."""
    _write_encoded(path, picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95])


def write_png(path: Path, picture: Picture, *, kind: Literal["grey", "rgba", "12 bit"] = "grey") -> None:
    """Write a picture as PNG: 8-bit grey, opaque colour, or 12 bits in a 16-bit file."""
    if kind == "rgba":
        _write_encoded(path, cv2.cvtColor(picture, cv2.COLOR_GRAY2BGRA), ".png", [])
    elif kind == "12 bit":
        _write_encoded(path, picture.astype(np.uint16) << 4, ".png", [])
    else:
        _write_encoded(path, picture, ".png", [])


def write_dicom(path: Path, picture: Picture, *, uid: int, inverted: bool = False, fields: Mapping[str, str]) -> None:
    """Write a picture as uncompressed computed radiograph with 12 of 16 bits in use.

    Args:
        path: The file.
        picture: Grey levels, white is dense.
        uid: Distinguishes this film from the others of the archive.
        inverted: Store MONOCHROME1, as some machines do: the largest value is black.
        fields: More header fields by DICOM keyword, such as PatientAge.
    """
    pixels = picture.astype(np.uint16) << 4
    header = Dataset()
    header.SOPClassUID = ComputedRadiographyImageStorage
    header.SOPInstanceUID = f"{_ROOT_UID}.{uid}"
    header.Modality = "CR"
    header.BodyPartExamined = "CHEST"
    header.Rows, header.Columns = picture.shape
    header.SamplesPerPixel = 1
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.WindowCenter, header.WindowWidth = "2048", "4096"
    header.PixelData = ((4095 - pixels) if inverted else pixels).tobytes()
    for keyword, value in fields.items():
        # Real headers break the standard too: RSNA's ages are "51", not "051Y".
        header.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE))

    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Left alone, pydicom would write its own version here.
    header.file_meta.ImplementationClassUID = UID(f"{_ROOT_UID}.1")
    header.file_meta.ImplementationVersionName = "PHANTOM"

    stream = io.BytesIO()
    header.save_as(stream, enforce_file_format=True)
    _write_bytes(path, stream.getvalue())


def write_xlsx(path: Path, rows: Sequence[Sequence[str | int]]) -> None:
    """Write one sheet: the smallest workbook that spreadsheet programs open. Blank texts are empty cells."""
    cells = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)

    # The five parts without which a spreadsheet program calls the file damaged.
    parts = {
        "[Content_Types].xml": (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/></Types>'
        ),
        "_rels/.rels": _related(f"{_OFFICE}/officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": (
            f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}">'
            '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _related(f"{_OFFICE}/worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEET}"><sheetData>{cells}</sheetData></worksheet>',
    }

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as book:
        for name, xml in parts.items():
            declared = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{xml}'
            book.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), declared)
    _write_bytes(path, stream.getvalue())


def write_tgz(path: Path, files: Mapping[str, str]) -> None:
    """Write texts as a compressed tar file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    _write_bytes(path, gzip.compress(stream.getvalue(), mtime=0))


def _cell(value: str | int) -> str:
    if isinstance(value, int):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>' if value else "<c/>"


def _related(kind: str, target: str) -> str:
    relation = f'<Relationship Id="rId1" Type="{kind}" Target="{target}"/>'
    return f'<Relationships xmlns="{_RELATIONS}">{relation}</Relationships>'


def _write_encoded(path: Path, pixels: np.ndarray, suffix: str, options: Sequence[int]) -> None:
    ok, encoded = cv2.imencode(suffix, pixels, options)
    if not ok:
        raise ValueError(f"the film for {path} of shape {pixels.shape} cannot be written as {suffix}")
    _write_bytes(path, encoded.tobytes())


def _write_bytes(path: Path, content: bytes) -> None:
    with write_whole(path) as temporary:
        temporary.write_bytes(content)
