"""What other people's settings say of preprocessing, against transformers' own image processors."""

import json

import pytest
import torch
from torch.nn.functional import interpolate
from transformers import CLIPImageProcessor, SiglipImageProcessor

import models
from models.formats.processors import from_open_clip, read_processor, to_open_clip

CLIP = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
COLOURS = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}


def read(folder, fields, *, image_size=24, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(fields))
    return read_processor(str(folder), image_size=image_size)


@pytest.mark.parametrize("size", [16, 24, 40])
@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessor(**CLIP, **COLOURS),
        CLIPImageProcessor(**CLIP, **COLOURS, resample=2),
        CLIPImageProcessor(**CLIP, **COLOURS, do_rescale=False),
        CLIPImageProcessor(**{**CLIP, "size": {"shortest_edge": 32}}, **COLOURS),
        SiglipImageProcessor(size={"height": 24, "width": 24}, do_normalize=False),
        SiglipImageProcessor(size={"height": 24, "width": 24}, rescale_factor=1 / 127.5),
    ],
    ids=["clip", "bilinear", "not rescaled", "cropped", "not normalised", "another factor"],
)
def test_the_networks_input_is_transformers_own_to_the_rounding_of_grey_levels(processor, size, tmp_path):
    processor.save_pretrained(tmp_path)
    ours = read_processor(str(tmp_path), image_size=24)
    coarse = 25 + 200 * torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    films = interpolate(coarse, (size, size), mode="bilinear").squeeze(1).round().byte()
    theirs = processor(list(films.unsqueeze(1).expand(-1, 3, -1, -1)), return_tensors="pt").pixel_values
    grey_levels = (models.to_network_input(films, ours) - theirs) * torch.tensor(ours.std).view(1, -1, 1, 1)
    # transformers rounds to whole grey levels after rows and after columns; without antialiasing it would be 2 and more
    assert grey_levels.abs().max() < (1e-3 if size == ours.resized else 1.2)


def test_old_settings_without_a_word_of_rescaling_are_on_0_to_1(tmp_path):
    found = read(tmp_path, {**COLOURS, "size": 24, "crop_size": 24, "do_center_crop": True, "resample": 2})
    assert found.mean == pytest.approx([255 * value for value in COLOURS["image_mean"]])
    assert (found.image_size, found.interpolation, found.antialias) == (24, "bilinear", True)


def test_a_whole_processors_file_is_read_where_the_image_processor_has_none_of_its_own(tmp_path):
    nested = {"image_processor": {**COLOURS, "size": 24, "resample": 2}, "processor_class": "CLIPProcessor"}
    assert read(tmp_path, nested, name="processor_config.json").interpolation == "bilinear"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resample": 1}, r"resamples with Pillow's filter 1, not 2 \(bilinear\) or 3 \(bicubic\)"),
        ({"do_resize": False}, r"does not resize, so its kernel is unknown"),
        (
            {"size": 16, "crop_size": 24, "do_center_crop": True},
            r"crops 24 pixels out of 16, which pads",
        ),
        ({"size": 32}, r"gives 32 pixels, where the network reads 24"),
        ({"size": {"height": 24, "width": 32}}, r"the image size is .*; wanted a square"),
        ({"size": {"shortest_edge": "a"}}, r"the image size is .*; wanted a square"),
    ],
)
def test_what_we_cannot_do_is_refused_with_the_reason(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, {**COLOURS, "size": 24, **fields})


def test_open_clips_settings_survive_the_way_there_and_back():
    ours = models.Preprocessing(image_size=24, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 3.0), interpolation="bilinear")
    back = from_open_clip(to_open_clip(ours), image_size=24)
    assert back.mean == pytest.approx(ours.mean)
    assert (back.std, back.image_size, back.interpolation) == (pytest.approx(ours.std), 24, "bilinear")


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"interpolation": "random"}, 24, r"interpolation is 'random'; wanted bicubic or bilinear"),
        ({"mode": "L"}, 24, r"mode is L; wanted RGB"),
        ({}, [24, 32], r"image size is \[24, 32\]; wanted a square"),
    ],
)
def test_settings_of_open_clip_that_we_do_not_have_are_refused(changes, size, message):
    settings = {**to_open_clip(models.CHEXZERO), **changes}
    with pytest.raises(ValueError, match=message):
        from_open_clip(settings, image_size=size)
