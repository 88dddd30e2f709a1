"""A DICOM file in, the picture that a workstation would show out, in 256 grey levels.

Only the elements named in `_READ` are ever looked at, and nothing of them leaves this file but pixels: messages name
the file and the kind of fault in words of ours, because pydicom's own may quote a patient's name.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
import simplejpeg
from jaxtyping import Float64, Int, Integer, UInt8
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from preprocess.pixels.picture_quality import MARKED, POLARITY, WINDOW
from preprocess.pixels.reading_rules import MAX_PIXELS, Pixels, UnreadableImageError, brightest_of_film

DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pyjpegls"
"""What decodes the compressed transfer syntaxes."""

# Its lines quote elements too. A filter would hold up its own lines only, not those of its modules.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False

_READ = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
]
_PLUGINS = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), "pylibjpeg"),
    **dict.fromkeys((JPEG2000, JPEG2000Lossless), "pylibjpeg"),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "pyjpegls"),
    RLELossless: "pydicom",
}
"""Who decodes what. pydicom would take whatever is installed, GDCM first; but GDCM and pylibjpeg-rle answer some
damaged files by ending the process."""

_GREY, _COLOUR = {"MONOCHROME1", "MONOCHROME2"}, {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}


def read_dicom(file: BinaryIO, path: Path | str) -> tuple[Pixels, tuple[str, ...]]:
    """Return the pixels of a single-frame DICOM file as grey levels 0..255, bone bright; R, G, B if it is a photograph.

    Stored values pass the modality transform (rescale, or its look-up table), then the first VOI look-up table or
    window that shows more than one grey level: one without width or beside all values says nothing against the film.
    Without any, the range of the picture itself becomes 0..255, apart from burnt-in marks. MONOCHROME1 is inverted,
    padding is black. The second value has the flags of `picture_quality` that only the header tells.

    Args:
        file: The open file, with or without preamble.
        path: Its name, for messages.

    Raises:
        UnreadableImageError: No pixels, several frames, neither grey nor true colour, too many pixels, compressed in a
            way that no decoder here knows, damaged, cut short. Nothing else is raised for a bad file.

    Source: DICOM PS3.3, C.7.6.3 (pixels), C.11.1 (modality transform), C.11.2 (VOI).
    """
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They quote elements.
        try:
            dataset = pydicom.dcmread(file, specific_tags=list(_READ), force=True)
            _refuse_before_decoding(dataset, path)
            _complete_meta(dataset)
            stored = _stored(dataset)
            return (stored, ()) if stored.ndim == 3 else _grey_levels(stored, dataset)
        except UnreadableImageError:
            raise
        except NotImplementedError as error:
            raise UnreadableImageError("DICOM compression is unknown", str(path)) from error
        # pydicom and the decoders behind it raise whatever they stumble over.
        except Exception as error:
            if _lacks_decoder(error):
                raise UnreadableImageError("DICOM decoder is not installed", f"{path}: {DECODERS}") from error
            raise UnreadableImageError("image is damaged", f"{path}: DICOM, {type(error).__name__}") from error


def _refuse_before_decoding(dataset: Dataset, path: Path | str) -> None:
    if not any(name in dataset for name in ("Rows", "Columns", "PixelData")):
        raise UnreadableImageError("not an image file", f"{path} begins like DICOM, but has no image")
    if "PixelData" not in dataset:
        raise UnreadableImageError("DICOM pixels are missing or cut short", str(path))
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnreadableImageError("image has several frames", str(path))
    if dataset.Rows * dataset.Columns > MAX_PIXELS:
        size = f"{dataset.Columns} x {dataset.Rows}, at most {MAX_PIXELS:,} pixels are read"
        raise UnreadableImageError("image has too many pixels", f"{path}: {size}")
    kinds = (_GREY, 1, 16) if dataset.SamplesPerPixel == 1 else (_COLOUR, 3, 8)
    if (dataset.SamplesPerPixel, dataset.PhotometricInterpretation in kinds[0]) != (kinds[1], True):
        raise UnreadableImageError("DICOM image is neither grey nor true colour", str(path))
    if dataset.BitsAllocated > kinds[2]:
        raise UnreadableImageError("image is not 8- or 16-bit", f"{path}: {dataset.BitsAllocated}-bit DICOM")


def _complete_meta(dataset: Dataset) -> None:
    """Fill in the transfer syntax of a file that was saved without its meta information, by how it was read."""
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little_endian = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _stored(dataset: Dataset) -> Integer[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]:
    """Return the values as stored, colour as R, G, B."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == JPEGBaseline8Bit and dataset.SamplesPerPixel == 1:
        # The other decoders fill what is damaged and say nothing.
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        pixels: np.ndarray = simplejpeg.decode_jpeg(frame, "GRAY", strict=True)[..., 0]
        return pixels
    return pixel_array(dataset, decoding_plugin=_PLUGINS.get(syntax, ""))


def _lacks_decoder(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and "missing dependencies" in str(error)


def _grey_levels(
    stored: Integer[np.ndarray, "h w"], dataset: Dataset
) -> tuple[UInt8[np.ndarray, "h w"], tuple[str, ...]]:
    """Return what `stored` looks like: every value that can occur is translated once, then looked up."""
    lowest = int(stored.min())
    values = np.arange(lowest, int(stored.max()) + 1)
    padding = _is_padding(values, dataset)
    counts = np.where(padding, 0, np.bincount(stored.astype(np.int32).ravel() - lowest, minlength=len(values)))
    used = counts > 0
    transformed = _modality(values, dataset)
    shares, odd = _brightness(transformed, dataset, counts)
    if not (np.isfinite(transformed[used]).all() and np.isfinite(shares[used]).all()):
        raise ValueError("a transform beyond all numbers")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1.0 - shares
    # The standard wants INVERSE for MONOCHROME1 and IDENTITY for MONOCHROME2; only the film tells which is wrong.
    contrary = {"MONOCHROME1": "IDENTITY", "MONOCHROME2": "INVERSE"}[dataset.PhotometricInterpretation]
    if dataset.get("PresentationLUTShape") == contrary:
        odd = (*odd, POLARITY)
    levels = np.where(padding, 0, np.rint(255.0 * shares)).astype(np.uint8)
    return levels[stored.astype(np.int32) - lowest], odd


def _is_padding(values: Int[np.ndarray, "v"], dataset: Dataset) -> np.ndarray:
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(values), dtype=bool)
    ends = sorted((int(first), int(dataset.get("PixelPaddingRangeLimit", first))))
    return (values >= ends[0]) & (values <= ends[1])


def _modality(values: Int[np.ndarray, "v"], dataset: Dataset) -> Float64[np.ndarray, "v"]:
    if dataset.get("ModalityLUTSequence"):
        return _look_up(values.astype(np.float64), dataset.ModalityLUTSequence[0], dataset)[0]
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return values * _number(1.0 if slope is None else slope) + _number(intercept or 0.0)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("an element that is no number")
    return number


def _brightness(
    values: Float64[np.ndarray, "v"], dataset: Dataset, counts: Int[np.ndarray, "v"]
) -> tuple[Float64[np.ndarray, "v"], tuple[str, ...]]:
    """Return the brightness of each value, 0 to 1, before any inversion, and what is odd about it.

    Args:
        values: After the modality transform.
        dataset: Says which look-up tables or windows.
        counts: Number of pixels of each value, without padding.
    """
    used = counts > 0
    odd: tuple[str, ...] = ()
    for way in _voi_ways(values, dataset):
        try:
            shares = way()
        # A way that the header describes wrongly: elements that are no numbers, tables of other sizes, no width.
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, ZeroDivisionError):
            shares = np.zeros(len(values))
        shown = np.rint(255.0 * shares[used])
        if np.isfinite(shown).all() and (used.sum() < 2 or len(np.unique(shown)) > 1):
            return shares, odd
        odd = (WINDOW,)
    return _whole_range(values, counts, odd)


def _voi_ways(values: Float64[np.ndarray, "v"], dataset: Dataset) -> Iterator[Callable[[], Float64[np.ndarray, "v"]]]:
    """Yield the header's ways to show the values, in the order of the standard: tables, then windows."""
    for name in ("VOILUTSequence", "WindowCenter"):
        try:
            if not dataset.get(name) and dataset.get(name) != 0:
                continue
            n_ways = len(np.atleast_1d(dataset[name].value)) if name == "WindowCenter" else len(dataset[name].value)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            n_ways = 1  # it is there, but cannot be understood
        way = _table_way if name == "VOILUTSequence" else _window_way
        yield from (partial(way, values, dataset, number) for number in range(n_ways))


def _table_way(values: Float64[np.ndarray, "v"], dataset: Dataset, number: int) -> Float64[np.ndarray, "v"]:
    brightness, highest = _look_up(values, dataset.VOILUTSequence[number], dataset)
    return brightness / highest


def _window_way(values: Float64[np.ndarray, "v"], dataset: Dataset, number: int) -> Float64[np.ndarray, "v"]:
    centre, width = (_number(np.atleast_1d(dataset[name].value)[number]) for name in ("WindowCenter", "WindowWidth"))
    return _window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))


def _whole_range(
    values: Float64[np.ndarray, "v"], counts: Int[np.ndarray, "v"], odd: tuple[str, ...]
) -> tuple[Float64[np.ndarray, "v"], tuple[str, ...]]:
    """Spread the range of the film over 0 to 1; burnt-in marks beyond it become white or black."""
    used = counts > 0
    if not used.any() or not np.isfinite(values[used]).all():
        return np.zeros(len(values)), odd
    ordered, number = np.unique(values[used], return_inverse=True)
    sums = np.bincount(number, weights=counts[used]).astype(np.int64)

    brightest = brightest_of_film(ordered, sums, float(ordered[0]))
    darkest = -brightest_of_film(-ordered[::-1], sums[::-1], -brightest)
    if (darkest, brightest) != (ordered[0], ordered[-1]):
        odd = (*odd, MARKED)
    return np.clip((values - darkest) / max(brightest - darkest, 1e-9), 0.0, 1.0), odd


def _window(values: Float64[np.ndarray, "v"], centre: float, width: float, function: str) -> Float64[np.ndarray, "v"]:
    if width < 1.0 if function == "LINEAR" else width <= 0.0:
        raise ValueError("a window without width")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -500.0, 500.0)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    elif function != "LINEAR_EXACT":
        raise ValueError("a VOI function that the standard does not know")
    if width == 0.0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _look_up(values: Float64[np.ndarray, "v"], table: Dataset, dataset: Dataset) -> tuple[np.ndarray, float]:
    """Return what a look-up table makes of the values, and its highest possible output."""
    n_entries, first, bits = (int(number) for number in table.LUTDescriptor)
    entries = table.LUTData
    if isinstance(entries, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        narrow = len(entries) <= (n_entries or 65536) and bits <= 8
        entries = np.frombuffer(entries, "u1" if narrow else f"{order}u2")
    outputs = np.atleast_1d(np.asarray(entries)).astype(np.float64)[: n_entries or 65536]
    places = np.clip(np.rint(values) - first, 0, len(outputs) - 1).astype(np.int64)
    return outputs[places], float(2**bits - 1)
