"""Boxes in packed geometry, against films that the packer itself resized."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.pixels.resize import fit_to_square
from zero_shot.localisation.boxes import packed_box, packed_boxes, read_boxes, read_sizes

SIDES = st.one_of(st.integers(150, 420), st.sampled_from([303, 319, 581]))  # the last ones end a pixel short


@given(SIDES, SIDES, st.tuples(*[st.floats(0, 1)] * 4), st.sampled_from([112, 320]))
@settings(max_examples=40)
def test_a_box_lies_where_the_packer_puts_its_pixels(width, height, corner, resolution):
    # at least a third of the film wide and high
    x0, y0 = int(corner[0] * width * 0.6), int(corner[1] * height * 0.6)
    x1 = x0 + width // 3 + int(corner[2] * (width - width // 3 - x0))
    y1 = y0 + height // 3 + int(corner[3] * (height - height // 3 - y0))
    film = np.zeros((height, width), np.uint8)
    film[y0:y1, x0:x1] = 255
    marked = fit_to_square(film, resolution) > 127
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    ours = packed_box(tuple(map(float, (x0, y0, x1, y1))), width=width, height=height, resolution=resolution)
    np.testing.assert_allclose(ours, found, rtol=0, atol=0.6)


def test_closed_form_portrait_landscape_and_a_truncated_side():
    assert packed_box((0.0, 0.0, 200.0, 400.0), width=200, height=400, resolution=100) == (25, 0, 75, 100)
    assert packed_box((100.0, 50.0, 200.0, 100.0), width=400, height=200, resolution=100) == (25, 37.5, 50, 50)
    # 303 becomes 319 of 320, and the odd margin is on the right and below
    assert packed_box((0.0, 0.0, 303.0, 303.0), width=303, height=303, resolution=320) == (0, 0, 319, 319)


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 11.0, 5.0),
        (3.0, 0.0, 3.0, 5.0),
        (-1.0, 0.0, 3.0, 5.0),
        (0.0, 0.0, 3.0, 21.0),
        (0.0, float("nan"), 3.0, 5.0),
    ],
)
def test_a_box_outside_its_film_is_refused_with_image_and_finding(box):
    with pytest.raises(ValueError, match=r"image a, Edema: the box .* not inside its image of 10 x 20 pixels"):
        packed_boxes({"a": {"Edema": box}}, {"a": (10, 20)}, image_ids=["a"], findings=["Edema"], resolution=10)


def test_boxes_are_joined_by_id_and_absent_ones_are_nan():
    boxes = {"b": {"Edema": (0.0, 0.0, 10.0, 10.0)}, "a": {}, "c": {"Fracture": (0.0, 0.0, 1.0, 1.0)}}
    found = packed_boxes(
        boxes, {"b": (10, 20), "c": (10, 10)}, image_ids=["a", "b", "c"], findings=["Fracture", "Edema"], resolution=20
    )
    assert found[1, 1].tolist() == [5, 0, 15, 10]
    assert found[2, 0].tolist() == [0, 0, 2, 2]
    assert np.isnan(found).all(axis=2).tolist() == [[True, True], [True, False], [False, True]]


@pytest.mark.parametrize(("boxes", "sizes"), [({}, {"a": (9, 9)}), ({"a": {"Edema": (0.0, 0.0, 1.0, 1.0)}}, {})])
def test_an_image_without_an_entry_is_named(boxes, sizes):
    with pytest.raises(ValueError, match=r"1 of 1 images have no entry .*, first a"):
        packed_boxes(boxes, sizes, image_ids=["a"], findings=["Edema"], resolution=9)


def test_tables_of_the_phantom_and_of_mimic_are_read(tmp_path):
    truth, sizes = tmp_path / "truth.csv", tmp_path / "metadata.csv.gz"
    truth.write_text('image_id,boxes\na,"{""Edema"": [1, 2, 3, 4]}"\n007,{}\n')
    assert read_boxes(truth) == {"a": {"Edema": [1, 2, 3, 4]}, "007": {}}
    sizes.write_bytes(gzip.compress(b"dicom_id,Rows,Columns\na,20,10\n007,5,6\n"))
    assert read_sizes(sizes) == {"a": (10, 20), "007": (6, 5)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,box\na,{}\n", r"t.csv has no column boxes; found image_id, box"),
        ("image_id,boxes\na,{}\na,{}\n", r"1 image ids are repeated, first a"),
        ("image_id,boxes\na,nothing\n", r"wanted JSON of finding -> .* found 'nothing' for image a"),
        ('image_id,boxes\na,"[1]"\n', r"wanted JSON of finding -> .* for image a"),
        ('image_id,boxes\na,"{""Edema"": [1, 2]}"\n', r"wanted JSON of finding -> .* for image a"),
    ],
)
def test_a_table_of_boxes_that_is_none_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_boxes(path)


def test_missing_files_and_sizes_that_are_no_numbers(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wanted a table with image_id, boxes at .*t.csv"):
        read_boxes(tmp_path / "t.csv")
    (tmp_path / "s.csv").write_text("image_id,Columns,Rows\na,big,3\n")
    with pytest.raises(ValueError, match=r"s.csv: a size is not a whole number"):
        read_sizes(tmp_path / "s.csv")


@pytest.mark.parametrize("cell", ['{"Edema": 5}', '{"Edema": null}', '{"Edema": [1, 2, 3, null]}', "[1]", "7", "{"])
def test_an_entry_that_is_no_box_is_refused_with_its_image(tmp_path, cell):
    """5 cannot be unpacked and None is no number: both are a TypeError inside."""
    pd.DataFrame({"image_id": ["a"], "boxes": [cell]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"wanted JSON of finding -> \[x0, y0, x1, y1\]; found .* for image a"):
        read_boxes(tmp_path / "t.csv")
