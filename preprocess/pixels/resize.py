"""CheXzero's geometry: the longest side to the resolution, the rest black; Pillow's LANCZOS, three times as fast.

A resize is linear: two products with matrices whose entries lie along their diagonal. Cut into bands they go through
BLAS. Pillow's weights are multiples of 2**-22 and pixels are whole numbers, so every product and sum below is exact in
float64: the result is Pillow's, bit for bit, on any processor and in whatever order BLAS adds. With weights that are
multiples of 2**-15 the same holds in float32, in half the time: not Pillow's result, but the same one everywhere.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int, UInt8
from PIL import Image

from preprocess.pixels.decode import DecodedImage
from preprocess.pixels.reading_rules import UnreadableImageError

RULE = "longest side to resolution, sides truncated, LANCZOS width then height, centred on black"
REDUCED_RULE = f"{RULE}; JPEG decoded at 1/2, 1/4 or 1/8 where that leaves 3.15 times the resolution"

DECODED_PER_TARGET = 3.15
"""Pixels of the decoded long side per pixel of the result that are enough for `REDUCED_RULE`. With 3.15 the result
stays within 4 grey levels of the exact one even at edges from black to white; with 3 it does not (5), with 2 neither
(7)."""

_LOBES = 3
# Fastest of 8..32 columns and 16..128 rows: bands waste little, and a tile of float64 rows stays in the L2 cache.
_BAND, _TILE = 16, 64


class Arithmetic(NamedTuple):
    """Numbers that hold every sum of pixels times weights without rounding: 255 * 1.3 / unit fits their mantissa."""

    dtype: type[np.floating[Any]]
    unit: float
    """Weights are whole multiples of this."""


PILLOW = Arithmetic(np.float64, 2.0**-22)
QUICK = Arithmetic(np.float32, 2.0**-15)


class _Band(NamedTuple):
    """Consecutive outputs and the inputs that they are made of."""

    outputs: slice
    inputs: slice
    weights: Float[np.ndarray, "inputs outputs"]


def fitted_size(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Return (width, height) after scaling: `int(side * (resolution / longest side))`.

    Both sides are truncated, in float64, so that some longest sides (303, 581, 606, 1077, ...) come out one pixel
    short of the resolution.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py, the rule that its published weights were trained under.
    """
    ratio = float(resolution) / max(width, height)
    return int(width * ratio), int(height * ratio)


def fit_to_square(
    image: DecodedImage | UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], resolution: int = 320
) -> UInt8[np.ndarray, "r r"]:
    """Return the image scaled by `fitted_size`, grey, in the middle of a black square; smaller images are enlarged.

    The filter is LANCZOS, over the width first and the height second, 8 bits in between. Colour is resized as colour
    and turned to grey afterwards (ITU-R 601 luma); the other order moves strongly coloured pixels by up to 25 levels.
    An odd margin is one pixel wider on the right and below.

    Args:
        image: grey, or three channels R, G, B; whole, or decoded at a fraction of its size.
        resolution: side of the square in pixels.

    Raises:
        UnreadableImageError: the image is so narrow that a side would be truncated to nothing.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py. Pixels equal those of Pillow 9.5, which always took the
    width first; later versions may take the height first for narrow tall pictures.
    """
    whole = image if isinstance(image, DecodedImage) else DecodedImage(image, image.shape[1], image.shape[0])
    width, height = fitted_size(whole.width, whole.height, resolution)
    if min(width, height) == 0:
        raise UnreadableImageError(
            "image is too narrow", f"{whole.width} x {whole.height} has no pixel left at {resolution}"
        )
    extent = (whole.width / whole.shrunk, whole.height / whole.shrunk)
    square = np.zeros((resolution, resolution), dtype=np.uint8)
    left, top = (resolution - width) // 2, (resolution - height) // 2
    # What was decoded at a fraction of its size differs from CheXzero's anyway.
    resize = partial(lanczos, size=(width, height), extent=extent, arithmetic=PILLOW if whole.shrunk == 1 else QUICK)
    square[top : top + height, left : left + width] = _grey(whole.pixels, resize)
    return square


def _grey(
    pixels: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], resize: "partial[np.ndarray]"
) -> UInt8[np.ndarray, "h2 w2"]:
    if pixels.ndim == 2:
        return resize(pixels)
    colours = np.stack([resize(pixels[..., colour]) for colour in range(3)], axis=-1)
    return np.asarray(Image.fromarray(colours).convert("L"))


def lanczos(
    pixels: UInt8[np.ndarray, "h w"],
    size: tuple[int, int],
    extent: tuple[float, float],
    arithmetic: Arithmetic = PILLOW,
) -> UInt8[np.ndarray, "h2 w2"]:
    """Return `pixels` resampled as `Image.resize(size, LANCZOS)` does, but always the width first.

    Args:
        pixels: Grey levels.
        size: (width, height) of the result.
        extent: (width, height) of the part of `pixels` that is resampled, from the upper left corner; need not be
            whole, because the last pixel of a picture that was decoded at a fraction of its size may stand for less.
        arithmetic: `PILLOW` gives Pillow's grey levels; `QUICK` differs by one here and there.

    Source: Pillow, libImaging/Resample.c, which calculates the same in whole numbers.
    """
    (new_width, new_height), height = size, len(pixels)
    columns = np.empty((height, new_width), arithmetic.dtype)
    tile = np.empty((_TILE, pixels.shape[1]), arithmetic.dtype)
    for top in range(0, height, _TILE):
        rows = tile[: min(_TILE, height - top)]
        rows[:] = pixels[top : top + _TILE]
        for band in _bands(pixels.shape[1], new_width, extent[0], arithmetic):
            np.matmul(rows[:, band.inputs], band.weights, out=columns[top : top + _TILE, band.outputs])
    _to_grey_levels(columns)
    result = np.empty((new_height, new_width), arithmetic.dtype)
    for band in _bands(height, new_height, extent[1], arithmetic):
        np.matmul(band.weights.T, columns[band.inputs], out=result[band.outputs])
    return _to_grey_levels(result).astype(np.uint8)


def _to_grey_levels(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Round half up and clip to 0..255, in place."""
    np.add(values, 0.5, out=values)
    np.floor(values, out=values)
    return np.clip(values, 0.0, 255.0, out=values)


@lru_cache(maxsize=32)  # Half a megabyte each at most; archives have few sizes, and a new one costs a millisecond.
def _bands(n_in: int, n_out: int, extent: float, arithmetic: Arithmetic) -> tuple[_Band, ...]:
    first, taps = _taps(n_in, n_out, extent, arithmetic.unit)
    bands = []
    for start in range(0, n_out, _BAND):
        outputs = slice(start, min(start + _BAND, n_out))
        lowest, width = int(first[outputs].min()), taps.shape[1]
        weights = np.zeros((int(first[outputs].max()) - lowest + width, outputs.stop - start), arithmetic.dtype)
        for place, output in enumerate(range(start, outputs.stop)):
            begin = first[output] - lowest
            weights[begin : begin + width, place] = taps[output]
        # Taps beyond the picture weigh nothing.
        bands.append(_Band(outputs, slice(lowest, min(lowest + len(weights), n_in)), weights[: n_in - lowest]))
    return tuple(bands)


def _taps(
    n_in: int, n_out: int, extent: float, unit: float
) -> tuple[Int[np.ndarray, "outputs"], Float64[np.ndarray, "outputs k"]]:
    """Return for every output the first input it sees, and the weights from there on, whole multiples of `unit`."""
    step = extent / n_out
    blur = max(step, 1.0)
    centres = (np.arange(n_out) + 0.5) * step
    first = np.maximum((centres - _LOBES * blur + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + _LOBES * blur + 0.5).astype(np.int64), n_in)
    inputs = first[:, None] + np.arange(int((last - first).max()))
    weights = np.where(inputs < last[:, None], _lanczos_window((inputs - centres[:, None] + 0.5) * (1.0 / blur)), 0.0)
    weights *= np.clip(extent - inputs, 0.0, 1.0)  # The last input may be cut.
    weights *= 1.0 / weights.sum(axis=1, keepdims=True)
    return first, np.trunc(weights / unit + np.copysign(0.5, weights)) * unit


def _lanczos_window(x: Float64[np.ndarray, "outputs k"]) -> Float64[np.ndarray, "outputs k"]:
    return np.where(np.abs(x) < _LOBES, np.sinc(x) * np.sinc(x / _LOBES), 0.0)
