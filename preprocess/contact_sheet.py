"""A picture of some rows with their texts, so that a person can look before a model trains on them for days."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from common.atomic import write_whole

_COLUMNS, _SIDE, _GAP = 6, 320, 12
_LINES, _LINE_HEIGHT, _FONT_SIZE, _LETTERS = 8, 15, 12, 52
_PAPER, _INK = 255, 0


def write_contact_sheet(
    path: Path, images: Sequence[UInt8[np.ndarray, "r r"]], titles: Sequence[str], texts: Sequence[str]
) -> None:
    """Write a PNG with the images in rows of six, below each its title and the beginning of its text.

    Raises:
        ValueError: Not as many titles or texts as images, or none at all.
    """
    if not images:
        raise ValueError("contact sheet: wanted one image or more, found none")
    height = _SIDE + (_LINES + 1) * _LINE_HEIGHT + _GAP
    n_rows = -(-len(images) // _COLUMNS)
    n_columns = min(len(images), _COLUMNS)
    sheet = Image.new("L", (n_columns * (_SIDE + _GAP) + _GAP, n_rows * height + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for place, (image, title, text) in enumerate(zip(images, titles, texts, strict=True)):
        left = _GAP + place % _COLUMNS * (_SIDE + _GAP)
        top = _GAP + place // _COLUMNS * height
        sheet.paste(Image.fromarray(image).resize((_SIDE, _SIDE)), (left, top))
        lines = [_shortened(title), *textwrap.wrap(text, _LETTERS, max_lines=_LINES, placeholder=" ...")]
        for number, line in enumerate(lines):
            draw.text((left, top + _SIDE + 2 + number * _LINE_HEIGHT), line, fill=_INK, font=font)
    with write_whole(path) as temporary:
        sheet.save(temporary)


def _shortened(title: str) -> str:
    return title if len(title) <= _LETTERS else f"...{title[3 - _LETTERS :]}"
