"""The command: the table is that of `retrieve`, and reports that say it all find their films."""

import pandas as pd

from cohort import open_images, read_cohort, read_texts
from zero_shot import retrieve, select_images


def test_the_table_is_that_of_the_function(planted_archive, run_job, tmp_path):
    flags = [*planted_archive.flags, "--txt_filepath", planted_archive.texts, "--read_as", "sentences", "--seed", "1"]
    code, out, errors = run_job("retrieve", "--checkpoint", "understands", *flags)
    assert (code, errors) == (0, "")
    planted = planted_archive.planted
    with open_images(tmp_path / "cxr.h5") as store:
        chosen, images, _ = select_images(read_cohort(tmp_path / "cohort.csv"), store, split="test")
        bundle = planted.planted_bundle(planted.understands)
        texts = read_texts(planted_archive.texts)
        wanted = retrieve(bundle, images, chosen, texts, read_as="sentences", n_replicates=40, seed=1)
    written = pd.read_csv(tmp_path / "out/retrieval.csv", keep_default_na=False)
    numbers = wanted.table.select_dtypes("number").columns
    pd.testing.assert_frame_equal(written[numbers], wanted.table[numbers], check_dtype=False)
    assert f"{wanted.n_images:,} pairs, {wanted.n_texts:,} distinct texts" in out
    row = wanted.table.iloc[0]
    assert f"{row['recall_at_1']:.3f} ({row['recall_at_1_low']:.3f} to {row['recall_at_1_high']:.3f})" in out
    assert wanted.n_texts == 8  # three findings, there or not


def test_images_without_a_text_are_left_out_and_counted(planted_archive, run_job):
    texts = pd.read_csv(planted_archive.texts)
    texts.loc[:9, "impression"] = "NO IMPRESSION"
    texts.to_csv(planted_archive.texts, index=False)
    flags = [*planted_archive.flags, "--txt_filepath", planted_archive.texts]
    code, out, _ = run_job("retrieve", "--checkpoint", "understands", *flags)
    assert code == 0
    assert "290 pairs" in out
    assert "no text" in out


def test_missing_texts_and_numbers_that_cannot_be_end_with_2(planted_archive, run_job, tmp_path):
    flags = [*planted_archive.flags, "--txt_filepath", tmp_path / "none.csv"]
    code, _, errors = run_job("retrieve", "--checkpoint", "understands", *flags)
    assert code == 2
    assert "none.csv" in errors
    code, _, errors = run_job("retrieve", "--checkpoint", "understands", "--batch_size", "0")
    assert (code, errors) == (2, "error: --batch_size: wanted 1 or more, found 0\n")
    assert not (tmp_path / "out").exists()
