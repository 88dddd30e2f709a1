"""A DICOM file in, the picture that a workstation would show out, in 256 grey levels.

Only the elements named in `_READ` are ever looked at, and nothing of them leaves this file but pixels: messages name
the file and the kind of fault in words of ours, because pydicom's own may quote a patient's name.
"""

import logging
import math
import warnings
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
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from preprocess.pixels.reading_rules import MAX_PIXELS, Pixels, UnreadableImageError

DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pyjpegls"
"""What decodes the compressed transfer syntaxes."""

# Its lines quote elements too. A filter would hold up its own lines only, not those of its modules.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False

_READ = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
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


def read_dicom(file: BinaryIO, path: Path | str) -> Pixels:
    """Return the pixels of a single-frame DICOM file as grey levels 0..255, bone bright; R, G, B if it is a photograph.

    Stored values pass the modality transform (rescale, or its look-up table), then the first VOI look-up table or
    window. Without either, the range of the picture itself becomes 0..255. MONOCHROME1 is inverted, padding is black.

    Args:
        file: The open file.
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
            dataset = pydicom.dcmread(file, specific_tags=list(_READ))
            _refuse_before_decoding(dataset, path)
            stored = _stored(dataset)
            return stored if stored.ndim == 3 else _grey_levels(stored, dataset)
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


def _grey_levels(stored: Integer[np.ndarray, "h w"], dataset: Dataset) -> UInt8[np.ndarray, "h w"]:
    """Return what `stored` looks like: every value that can occur is translated once, then looked up."""
    lowest = int(stored.min())
    values = np.arange(lowest, int(stored.max()) + 1)
    padding = _is_padding(values, dataset)
    used = _occurs(stored, lowest, len(values)) & ~padding
    transformed = _modality(values, dataset)
    shares = _voi(transformed, dataset, used=used)
    if not (np.isfinite(transformed[used]).all() and np.isfinite(shares[used]).all()):
        raise ValueError("a transform beyond all numbers")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1.0 - shares
    levels = np.where(padding, 0, np.rint(255.0 * shares)).astype(np.uint8)
    return levels[stored.astype(np.int32) - lowest]


def _occurs(stored: Integer[np.ndarray, "h w"], lowest: int, n_values: int) -> np.ndarray:
    return np.bincount(stored.astype(np.int32).ravel() - lowest, minlength=n_values) > 0


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


def _voi(values: Float64[np.ndarray, "v"], dataset: Dataset, *, used: np.ndarray) -> Float64[np.ndarray, "v"]:
    """Return the brightness of each value, 0 to 1, before any inversion.

    Args:
        values: After the modality transform.
        dataset: Says which look-up table or window.
        used: Which of the values stand for something in this picture.
    """
    if dataset.get("VOILUTSequence"):
        brightness, highest = _look_up(values, dataset.VOILUTSequence[0], dataset)
        return brightness / highest
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        centre, width = (_number(np.atleast_1d(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
        return _window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
    darkest, brightest = (values[used].min(), values[used].max()) if used.any() else (0.0, 0.0)
    return np.clip((values - darkest) / max(brightest - darkest, 1e-9), 0.0, 1.0)


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
