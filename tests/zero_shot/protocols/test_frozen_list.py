"""A list that defines an evaluation: its size, its classes, its hash."""

import hashlib
import re

import pandas as pd
import pytest

from zero_shot.protocols.frozen_list import list_hash, read_image_list
from zero_shot.protocols.protocol import Labels

CLASSES = ("Atelectasis", "Edema")
IMAGES = [f"patient{k:05d}/study1/view1_frontal" for k in range(1, 7)]


def lines(order=range(6), column="image_id", prefix="", suffix=""):
    rows = [f"{prefix}{IMAGES[k]}{suffix},{int(k < 3)},{int(k >= 3)}" for k in order]
    return "\n".join([f"{column},Atelectasis,Edema", *rows]) + "\n"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "list.csv"
        path.write_text(text)
        return path

    return write


def labels(**fields):
    return Labels(form="image list", source="test", file="list.csv", per_class=3, **fields)


def test_ids_and_classes_are_read_by_name_from_either_way_of_naming_an_image(written):
    expected = pd.DataFrame({"Atelectasis": [1.0] * 3 + [0.0] * 3, "Edema": [0.0] * 3 + [1.0] * 3}, index=IMAGES)
    for text in (lines(), lines(column="Path", prefix="CheXpert-v1.0-small/train/", suffix=".jpg")):
        found = read_image_list(written(text), labels(), CLASSES)
        pd.testing.assert_frame_equal(found.loc[IMAGES], expected, check_names=False)
    turned = read_image_list(written(lines()), labels(), CLASSES[::-1])
    assert turned["Edema"].tolist() == expected["Edema"].tolist()


def test_the_hash_is_of_images_and_classes_whatever_their_order_and_folder(written):
    digest = hashlib.sha256()
    for k, image in enumerate(IMAGES):
        digest.update(f"{image},{CLASSES[k >= 3]}\n".encode())
    texts = (lines(), lines(order=[5, 1, 3, 0, 2, 4]), lines(column="Path", prefix="a/b/train/", suffix=".png"))
    assert {list_hash(read_image_list(written(text), labels(), CLASSES)) for text in texts} == {digest.hexdigest()}


def test_another_image_or_another_class_gives_another_hash(written):
    base = list_hash(read_image_list(written(lines()), labels(), CLASSES))
    swapped = lines().replace(f"{IMAGES[0]},1,0", f"{IMAGES[0]},0,1").replace(f"{IMAGES[5]},0,1", f"{IMAGES[5]},1,0")
    other = lines().replace("patient00001", "patient00009")
    for text in (swapped, other):
        assert list_hash(read_image_list(written(text), labels(), CLASSES)) != base


def test_a_frozen_list_is_taken_and_any_other_refused(written, tmp_path):
    path = written(lines())
    digest = list_hash(read_image_list(path, labels(), CLASSES))
    for frozen in (digest, hashlib.sha256(path.read_bytes()).hexdigest()):
        (tmp_path / "list.csv.sha256").write_text(f"{frozen}  list.csv\n")
        read_image_list(path, labels(), CLASSES)
    written(lines().replace("patient00001", "patient00009"))
    with pytest.raises(ValueError, match=r"is not the frozen list: .*list\.csv\.sha256 wants"):
        read_image_list(path, labels(), CLASSES)
    (tmp_path / "list.csv.sha256").unlink()
    with pytest.raises(ValueError, match="the protocol wants " + digest):
        read_image_list(path, labels(sha256=digest), CLASSES)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"{IMAGES[0]},1,0\n", "", "wanted 3 images of every class, found Atelectasis 2, Edema 3"),
        (f"{IMAGES[0]},1,0", f"{IMAGES[0]},1,1", f"1 have none or several, first {IMAGES[0]}"),
        (f"{IMAGES[0]},1,0", f"{IMAGES[0]},,", f"1 have none or several, first {IMAGES[0]}"),
        (f"{IMAGES[0]},", f"{IMAGES[1]},", "ids occur more than once"),
        ("Edema", "Oedema", "has no column for 'Edema'"),
        ("image_id", "name", "lacks the column 'Path'"),
        (f"{IMAGES[0]},1,0", f"{IMAGES[0]},yes,0", "holds 'yes'"),
    ],
)
def test_a_list_of_another_size_or_shape_is_refused(old, new, words, written):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_image_list(written(lines().replace(old, new, 1)), labels(), CLASSES)


def test_one_image_under_two_paths_is_refused(written):
    text = lines(column="Path", prefix="a/train/", suffix=".jpg").replace(
        f"a/train/{IMAGES[0]}", f"b/train/{IMAGES[1]}"
    )
    with pytest.raises(ValueError, match="1 images are listed twice, first patient00002"):
        read_image_list(written(text), labels(), CLASSES)
