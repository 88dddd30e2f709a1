import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort.text_table import align, read_texts

OURS = """\
filename,impression,image_id,study_id,section_used
s1.txt,NA,a,1,impression
s2.txt,N/A,b,2,impression
s3.txt,None,c,3,impression
s4.txt,,d,4,none
s5.txt,"1. Edema, mild, ""new"".",e,5,impression
s6.txt,null,f,6,impression
"""


def texts(ids):
    return pd.DataFrame({"image_id": list(ids), "text": [f"text of {image_id}" for image_id in ids]})


def test_words_that_look_like_missing_values_stay_words(tmp_path):
    (tmp_path / "texts.csv").write_text(OURS)
    read = read_texts(tmp_path / "texts.csv")
    assert read["text"].tolist() == ["NA", "N/A", "None", "", '1. Edema, mild, "new".', "null"]
    assert list(read.columns) == ["image_id", "study_id", "text", "filename", "section_used"]
    assert read["study_id"].tolist() == list("123456")


def test_a_file_of_chexzero_has_no_image_ids(tmp_path):
    (tmp_path / "texts.csv").write_text("filename,impression\ns50414267.txt,Clear.\nother.txt,NO IMPRESSION\n")
    read = read_texts(tmp_path / "texts.csv")
    assert list(read.columns) == ["study_id", "text", "filename"]
    assert read["study_id"].tolist() == ["50414267", "other.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("filename,impression\n", "has a header but no rows"),
        ("filename,report\na,b\n", "lacks the column 'impression'; found 'filename', 'report'"),
        ("impression,image_id\nx,a\ny,a\n", "1 ids occur more than once: 'a'"),
        ("impression,image_id\nx,a\ny,\n", "1 of 2 ids are blank"),
        ("impression\n" + "version https://git-lfs.github.com/spec/v1\n" * 40, "pointers of Git LFS"),
    ],
)
def test_texts_that_cannot_be_used_say_why(tmp_path, text, message):
    (tmp_path / "texts.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / "texts.csv")


@given(st.permutations(list("abcdefg")))
def test_texts_are_joined_by_id_whatever_their_order(order):
    aligned = align(list("gfedcba"), texts(order))
    assert aligned["image_id"].tolist() == list("gfedcba")
    assert aligned["text"].tolist() == [f"text of {image_id}" for image_id in "gfedcba"]
    assert aligned.index.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("store_ids", "text_ids", "message"),
    [
        ("abxyz", "ab", "3 of 5 images have no text: 'x', 'y', 'z'"),
        ("ab", "abq", "1 of 3 texts have no image: 'q'"),
        ("aab", "ab", "the image store, image_id: 1 ids occur more than once: 'a'"),
        ("ab", "abb", "the texts, image_id: 1 ids occur more than once: 'b'"),
    ],
)
def test_ids_that_do_not_match_are_named(store_ids, text_ids, message):
    with pytest.raises(ValueError, match=message):
        align(list(store_ids), texts(text_ids))


def test_only_the_first_offenders_are_named():
    with pytest.raises(ValueError, match=r"'1', '2', '3', '4', '5' and 15 more"):
        align([str(number) for number in range(21)], texts("0"))


def test_files_without_ids_are_paired_by_row_when_their_lengths_agree():
    without = texts("ab").drop(columns="image_id")
    assert align(None, without, n_images=2)["text"].tolist() == ["text of a", "text of b"]
    with pytest.raises(ValueError, match="there are 3 images and 2 texts"):
        align(None, without, n_images=3)
    with pytest.raises(ValueError, match="pass n_images"):
        align(None, without)


def test_ids_on_one_side_only_are_no_link():
    with pytest.raises(ValueError, match="the images have ids but the texts have no column 'image_id'"):
        align(["a", "b"], texts("ab").drop(columns="image_id"), n_images=2)
    with pytest.raises(ValueError, match="the texts have a column 'image_id' but the images have no ids"):
        align(None, texts("ab"), n_images=2)
