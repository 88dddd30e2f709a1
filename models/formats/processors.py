"""Preprocessing in other formats: open_clip's settings and Hugging Face's image processors, read and written."""

import json
from pathlib import Path
from typing import Any, Literal

from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from models.files.hub import find_file
from models.network_input import Preprocessing

CONFIG_NAME = "open_clip_config.json"
"""open_clip's file beside the weights: the network under "model_cfg", its preprocessing under "preprocess_cfg\""""

PROCESSOR_NAMES = ("preprocessor_config.json", "processor_config.json")
"""File of an image processor alone, as published models have it, and of a whole processor (transformers 5)"""
KERNELS: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
"""Pillow's number -> resampling filter that we have"""


def read_open_clip_settings(folder: Path) -> dict[str, Any]:
    """Return what `open_clip_config.json` in a folder says; empty without one.

    Raises:
        ValueError: It is not a JSON object.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        return {}
    try:
        settings: dict[str, Any] = {**json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a JSON object with model_cfg and preprocess_cfg: {error}") from error
    return settings


def from_open_clip(settings: dict[str, Any], *, image_size: Any) -> Preprocessing:
    """Return open_clip's preprocessing settings as ours.

    Squashing, cropping or padding to a square makes no difference, because stored images are square.

    Args:
        settings: `preprocess_cfg`, statistics on 0..1; keys that it lacks have open_clip's defaults.
        image_size: Image size in the network's configuration, which open_clip uses instead of that in `settings`.

    Raises:
        ValueError: We do not have the kernel, the mode or the shape.
    """
    side = _side(image_size, CONFIG_NAME)
    if settings.get("mode", "RGB") != "RGB":
        raise ValueError(f"{CONFIG_NAME}: mode is {settings['mode']}; wanted RGB, three channels")
    whole = merge_preprocess_dict(PreprocessCfg(), settings)

    interpolation = whole["interpolation"]
    if interpolation not in KERNELS.values():
        raise ValueError(f"{CONFIG_NAME}: interpolation is {interpolation!r}; wanted bicubic or bilinear")
    for name in ("mean", "std"):
        if max(whole[name]) > 1:
            raise ValueError(f"{CONFIG_NAME}: {name} is {whole[name]}; wanted shares of the whitest grey level, 0 to 1")
    return Preprocessing(
        image_size=side,
        mean=tuple(255 * value for value in whole["mean"]),
        std=tuple(255 * value for value in whole["std"]),
        interpolation=interpolation,
    )


def to_open_clip(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return open_clip's `preprocess_cfg`; its networks read three channels."""
    channels = {key: [value / 255 for value in (getattr(preprocessing, key) * 3)[:3]] for key in ("mean", "std")}
    return {
        "size": [preprocessing.image_size] * 2,
        **channels,
        "interpolation": preprocessing.interpolation,
        "resize_mode": "longest",
        "fill_color": 0,
    }


def read_processor(source: str, *, image_size: Any) -> Preprocessing:
    """Return the preprocessing of the Hugging Face image processor beside a hub id's or folder's weights.

    A processor computes (g * rescale_factor - image_mean) / image_std of grey levels g in 0..255; without
    `do_rescale` the factor is 1, without `do_normalize` mean is 0 and deviation 1. It shrinks with antialiasing.

    Args:
        source: Hub id or folder.
        image_size: Image size in the network's configuration.

    Raises:
        FileNotFoundError: There is no processor, so the network's preprocessing is unknown.
        ValueError: We do not have its steps: no resize or another kernel, a crop larger than the image, or a shape that
            is not square or not the network's.

    Source: transformers, image_processing_clip.py and image_processing_siglip.py.
    """
    # sizes and kernel, of which only some can be had here
    path, fields = _processor(source)
    side = _side(image_size, f"{source}/config.json")
    kernel = KERNELS.get(fields.get("resample", 3))
    resized = _side(fields.get("size", side), path.name)
    cropped = _side(fields.get("crop_size", resized), path.name) if fields.get("do_center_crop") else resized
    reasons = [
        reason
        for is_so, reason in (
            (not fields.get("do_resize", True), "does not resize, so its kernel is unknown"),
            (
                kernel is None,
                f"resamples with Pillow's filter {fields.get('resample')}, not 2 (bilinear) or 3 (bicubic)",
            ),
            (cropped > resized, f"crops {cropped} pixels out of {resized}, which pads"),
            (cropped != side, f"gives {cropped} pixels, where the network reads {side}"),
        )
        if is_so
    ]
    if reasons:
        raise ValueError(f"{path}: this preprocessing is not available: it {'; it '.join(reasons)}")

    # statistics, from the processor's scale to grey levels 0..255
    factor = fields.get("rescale_factor", 1 / 255) if fields.get("do_rescale", True) else 1
    is_normalised = fields.get("do_normalize", True)
    missing = [name for name in ("image_mean", "image_std") if is_normalised and name not in fields]
    if missing:
        raise ValueError(f"{path} lacks {' and '.join(missing)}, so the statistics of the images are unknown: add them")
    mean, std = (fields["image_mean"], fields["image_std"]) if is_normalised else ([0.0] * 3, [1.0] * 3)

    return Preprocessing(
        image_size=side,
        mean=tuple(value / factor for value in mean),
        std=tuple(value / factor for value in std),
        interpolation=KERNELS[fields.get("resample", 3)],
        crop_from=resized if resized > side else None,
    )


def _processor(source: str) -> tuple[Path, dict[str, Any]]:
    path = find_file(source, *PROCESSOR_NAMES)
    if path is None:
        raise FileNotFoundError(
            f"{source} lacks {PROCESSOR_NAMES[0]}, which holds the resize and statistics of its images (a wrong guess"
            f" would raise no error): download it from where the weights came from"
        )
    fields = json.loads(path.read_text(encoding="utf-8"))
    return path, fields.get("image_processor", fields)


def _side(size: Any, where: str) -> int:
    """Return the side of a square given as 224, [224, 224], {"shortest_edge": 224} or {"height": 224, "width": 224}.

    For stored images, which are square, the shortest edge is the side.
    """
    sides = set(size.values() if isinstance(size, dict) else size if isinstance(size, (list, tuple)) else [size])
    if len(sides) != 1 or not isinstance(side := sides.pop(), int):
        raise ValueError(f"{where}: the image size is {size}; wanted a square such as 224")
    return side
