import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cohort import exposure
from cohort.exposure import NEAR, Cohort, check_exposure, image_hashes, near_duplicates
from cohort.sources.chexpert import read_chexpert
from cohort.sources.chexpert_plus import read_chexpert_plus
from cohort.sources.chexpert_test import read_chexpert_test
from cohort.sources.nih import read_nih
from cohort.sources.padchest import read_padchest
from cohort.sources.rsna import read_rsna
from cohort.sources.siim import read_siim

READERS = {
    "nih": read_nih,
    "rsna": read_rsna,
    "siim": read_siim,
    "padchest": read_padchest,
    "chexpert": read_chexpert,
    "chexpert-plus": read_chexpert_plus,
}


@pytest.fixture
def images(miniature):
    return lambda name: READERS[name](miniature(name)[0])[0]


BY_ARCHIVE = "not seen in training; compared by archive; pictures were not compared"
BY_IDS = "not seen in training; compared by archive, image id and patient id; pictures were not compared"
BY_ALL = "not seen in training; compared by archive, image id and patient id, and by picture"


def stamp(evaluated, *trained):
    return check_exposure(Cohort(images=evaluated), [Cohort(images=one) for one in trained])


def test_a_split_by_patient_is_clean_and_a_split_by_image_is_not(images):
    nih = images("nih")
    test, train = nih[nih["split"] == "test"], nih[nih["split"] == "train"]
    assert stamp(test, train).stamp == "clean"
    assert stamp(test, train).counts == {BY_IDS: len(test)}
    found = stamp(nih, train)
    assert found.stamp == "exposed"
    assert found.images["stamp"].eq("exposed").tolist() == nih["split"].eq("train").tolist()
    twice = nih[nih["subject_id"].duplicated(keep=False)]
    first, others = twice.iloc[:1], twice.iloc[1:]
    found = stamp(first, others)
    assert found.counts == {"another image of the patient is in training (nih)": 1}


def mimic(*subject_ids: str, dataset="mimic-cxr-jpg", prefix="a") -> pd.DataFrame:
    images = [f"{prefix}{row}-bde0afdd" for row in range(len(subject_ids))]
    return pd.DataFrame({"dataset": dataset, "image_id": images, "subject_id": subject_ids})


@pytest.mark.parametrize("written", ["10335852.0", "p10335852", " 10335852", "P10335852", "subject_10335852"])
def test_a_patient_is_recognised_however_its_id_is_written(written):
    found = stamp(mimic("10335852", "10000032"), mimic(written, dataset="MIMIC-CXR-JPG", prefix="b"))
    assert found.images["stamp"].tolist() == ["exposed", "clean"]
    assert found.images["reason"][0].startswith("another image of the patient is in training")


def test_patients_that_are_named_in_another_way_are_unknown_and_not_clean():
    found = stamp(mimic("10335852", "10000032"), mimic("case-a", "case-b", prefix="b"))
    assert found.stamp == "unknown"
    reason = "patients of the same archive are named otherwise in training: '10335852' here, 'case-a' there"
    assert found.counts == {reason: 2}


@pytest.mark.parametrize("written", ["sub-10335852", "MIMIC_10335852", "1.0335852e7", "10335852,0"])
def test_some_patients_named_in_another_way_leave_the_others_unknown_and_not_clean(written):
    found = stamp(mimic("10335852", "10000032", "10000099"), mimic("10000032", written, prefix="b"))
    assert found.images["stamp"].tolist() == ["unknown", "exposed", "unknown"]
    reason = f"patients of the same archive are named otherwise in training: '10335852' here, '{written.lower()}' there"
    assert found.images["reason"][0] == reason


def test_an_image_is_recognised_with_the_ending_of_its_file():
    trained = mimic("1").assign(image_id="a0-bde0afdd.jpg", subject_id="7")
    assert stamp(mimic("10335852"), trained).counts == {"the image is in training (mimic-cxr-jpg)": 1}


def test_rsna_is_recognised_in_nih_image_by_image(images):
    nih, rsna = images("nih"), images("rsna")
    train = nih[nih["split"] == "train"]
    found = stamp(rsna, train)
    expected = np.where(rsna["origin_image_id"].isin(train["image_id"]), "exposed", "clean")
    assert found.images["stamp"].tolist() == expected.tolist()
    assert set(expected) == {"exposed", "clean"}
    assert str(found).startswith("exposure: exposed\n")


def test_rsna_without_its_mapping_and_siim_count_as_exposed_to_any_training_on_nih(images):
    nih, siim = images("nih"), images("siim")
    for evaluated in (siim, images("rsna").assign(origin_image_id="")):
        found = stamp(evaluated, nih[:1])
        assert set(found.images["stamp"]) == {"exposed"}
        assert "nobody knows which images" in found.images["reason"][0]
    backwards = stamp(nih, siim)
    assert backwards.stamp == "unknown"
    assert backwards.counts == {"training has images of ChestX-ray14 without their names (siim)": len(nih)}


def test_other_families_are_clean_and_strangers_unknown(images):
    nih, padchest = images("nih"), images("padchest")
    assert stamp(nih, padchest).stamp == "clean"
    assert stamp(nih, padchest).counts == {BY_ARCHIVE: len(nih)}
    mine = padchest.assign(dataset="my hospital")
    for found in (stamp(mine, nih), stamp(nih, padchest, mine)):
        assert found.stamp == "unknown"
        assert list(found.counts) == ["nothing is known of the archive my hospital; the pictures were not compared"]


def test_copies_of_chexpert_are_one_archive_and_its_test_set_is_apart(images, miniature):
    chexpert, plus = images("chexpert"), images("chexpert-plus")
    assert stamp(plus, chexpert).counts == {"the image is in training (chexpert)": len(plus)}
    test, _ = read_chexpert_test(miniature("chexpert-test")[0] / "CheXpert-v1.0/test", check_files=False)
    assert stamp(test, chexpert, plus).stamp == "clean"


def films(rng, n):
    """Smooth pictures that differ as films do: large shapes and a little noise."""
    small = rng.uniform(0, 255, (n, 9, 8)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((320, 320), Image.Resampling.BICUBIC)) for one in small])


def reencoded(image):
    stream = io.BytesIO()
    Image.fromarray(image).resize((224, 224)).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream).resize((320, 320), Image.Resampling.LANCZOS))


def test_the_same_film_is_recognised_in_another_size_encoding_and_contrast():
    pictures = films(np.random.default_rng(0), 40)
    hashes = image_hashes(pictures)
    changed = np.stack([reencoded(one) for one in pictures[:20]])
    brighter = (255 * (pictures[:20] / 255.0) ** 0.7).astype(np.uint8)
    for other in (changed, brighter):
        assert near_duplicates(image_hashes(other), hashes).all()
    assert not near_duplicates(hashes[:20], hashes[20:]).any()


def test_a_picture_under_another_name_exposes_and_the_others_become_clean_or_stay_unknown(images):
    nih = images("nih")
    pictures = image_hashes(films(np.random.default_rng(1), 2 * len(nih)))
    stranger = nih.assign(dataset="my hospital")
    train = Cohort(images=nih, hashes=pictures[: len(nih)])
    mixed = pictures[len(nih) :].copy()
    mixed[3] = pictures[5]
    found = check_exposure(Cohort(images=stranger, hashes=mixed), [train])
    assert found.images["stamp"].tolist() == ["exposed" if row == 3 else "clean" for row in range(len(nih))]
    assert found.images["reason"][3] == "the same picture is in training"
    siim = images("siim")
    found = check_exposure(Cohort(images=siim, hashes=mixed[: len(siim)]), [train])
    assert set(found.images["stamp"].drop(3)) == {"unknown"}, "patients of ChestX-ray14 cannot be ruled out"
    assert found.images["stamp"][3] == "exposed"


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9))
def test_distances_are_those_of_the_bits_counted_one_by_one(seed, n, m):
    rng = np.random.default_rng(seed)
    mine, theirs = (rng.integers(0, 2**63, (size, 8), dtype=np.uint64) for size in (n, m))
    theirs[0] = mine[0] ^ np.uint64(2**20 - 1)
    bits = [[(int(a) ^ int(b)).bit_count() for a, b in zip(x, y, strict=True)] for x in mine for y in theirs]
    expected = np.array([sum(one) for one in bits]).reshape(n, m).min(axis=1)
    for near in (0, NEAR, 160, 260):
        np.testing.assert_array_equal(near_duplicates(mine, theirs, near=near), expected <= near)


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(2)
    mine, theirs = (rng.integers(0, 2**63, (30, 8), dtype=np.uint64) for _ in range(2))
    theirs[7] = mine[29]
    whole = near_duplicates(mine, theirs)
    monkeypatch.setattr(exposure, "_BLOCK", 60)
    assert near_duplicates(mine, theirs).tolist() == whole.tolist() == [row == 29 for row in range(30)]


def test_requests_that_cannot_be_answered_are_refused(images):
    nih = images("nih")
    with pytest.raises(ValueError, match="wanted the cohorts that the model was trained on, found none"):
        check_exposure(Cohort(images=nih), [])
    with pytest.raises(ValueError, match=f"one hash per image, found 1 for {len(nih)} images"):
        Cohort(images=nih, hashes=np.zeros((1, 8), dtype=np.uint64))


def test_every_archive_that_we_read_is_in_the_table(miniature):
    known = pd.read_csv(exposure.TABLES / "exposure" / "archives.csv", keep_default_na=False)
    assert known["dataset"].is_unique
    ours = {"mimic-cxr-jpg", "mimic-cxr", "chexpert-test", "vindr-cxr", "vindr-pcxr", "openi", *READERS}
    assert ours <= set(known["dataset"])


@pytest.mark.real
def test_real_films_are_told_apart_and_recognised(real):
    paths = sorted((real / "images").rglob("*.png")) + sorted((real / "images").rglob("*.jpg"))
    pictures = np.stack(
        [np.asarray(Image.open(path).convert("L").resize((320, 320), Image.Resampling.LANCZOS)) for path in paths]
    )
    hashes = image_hashes(pictures)
    recognised = sum(
        bool(near_duplicates(image_hashes(reencoded(one)[None]), hashes[[row]])[0]) for row, one in enumerate(pictures)
    )
    print(f"recognised after re-encoding: {recognised} of {len(paths)}")
    assert recognised >= 0.98 * len(paths)
    alike = [row for row in range(len(paths)) if near_duplicates(hashes[[row]], np.delete(hashes, row, axis=0))[0]]
    assert alike == []


def test_a_clean_image_says_what_was_compared_and_pictures_only_if_all_training_pictures_were(images):
    nih = images("nih")
    test, train = nih[nih["split"] == "test"], nih[nih["split"] == "train"]
    rng = np.random.default_rng(0)
    mine = Cohort(images=test, hashes=rng.integers(0, 2**63, (len(test), 8), dtype=np.uint64))
    theirs = Cohort(images=train, hashes=rng.integers(0, 2**63, (len(train), 8), dtype=np.uint64))
    assert check_exposure(mine, [theirs]).counts == {BY_ALL: len(test)}
    without = Cohort(images=images("padchest"))
    assert check_exposure(mine, [theirs, without]).counts == {BY_IDS: len(test)}


def test_hashes_are_compared_pair_by_pair_to_the_last_bit():
    rng = np.random.default_rng(0)
    mine, theirs = (rng.integers(0, 2**63, (n, 8), dtype=np.uint64) for n in (30, 50))
    mine[:10] = theirs[:10]
    mine[:10, 0] ^= (1 << np.arange(10, dtype=np.uint64) * 4) - np.uint64(1)  # differs in 0, 4, 8 ... bits
    for near in (0, 8, 15, 16, 40):
        distances = np.array([[sum((int(a) ^ int(b)).bit_count() for a, b in zip(x, y, strict=True)) for y in theirs]
                              for x in mine])  # fmt: skip
        assert near_duplicates(mine, theirs, near=near).tolist() == (distances.min(axis=1) <= near).tolist()
