"""Truth tables equal what a reader with nothing but the standard library finds in the archives' own files."""

import ast
import re
import tarfile

import numpy as np
import pandas as pd
import pytest

from zero_shot import load_prompts
from zero_shot.protocols import load_protocol, truth_table

FOURTEEN = load_protocol("chexpert-test-14").findings


def nih(root, lines):
    said = {
        line["Image Index"]: line["Finding Labels"].split("|") for line in lines(root / "Data_Entry_2017_v2020.csv")
    }
    return {image: {f: float(f in words) for f in load_protocol("nih14").findings} for image, words in said.items()}


def padchest(root, lines):
    expected = {}
    for line in lines(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"):
        terms = [term.strip() for term in ast.literal_eval(line["Labels"] or "[]") if term.strip()]
        found = {name: float(name in terms) if terms else np.nan for name in load_prompts("padchest").findings}
        expected[line["ImageID"]] = found | {"No Finding": float("normal" in terms) if terms else np.nan}
    return expected


def vindr(protocol, path):
    def read(root, lines):
        findings = [name for name in load_protocol(protocol).findings if name != "No Finding"]
        return {
            line["image_id"]: {name: float(line[name]) for name in findings} | {"No Finding": float(line["No finding"])}
            for line in lines(root / path)
        }

    return read


def rsna(root, lines):
    return {
        line["patientId"]: {"Pneumonia": float(line["Target"])} for line in lines(root / "stage_2_train_labels.csv")
    }


def siim(root, lines):
    rows = lines(root / "train-rle.csv")
    return {row["ImageId"]: {"Pneumothorax": float(row[" EncodedPixels"].strip() != "-1")} for row in rows}


def chexpert_test(root, lines):
    rows = {row["Study"].split("/", 2)[2]: row for row in lines(root.parent.parent / "groundtruth.csv")}
    images = [path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("view1*.jpg")]
    return {image: {name: float(rows[image.rsplit("/", 1)[0]][name]) for name in FOURTEEN} for image in images}


def mimic(root, lines):
    labels = {row["study_id"]: row for row in lines(next(root.rglob("mimic-cxr-2.0.0-chexpert.csv.gz")))}
    images = lines(next(root.rglob("mimic-cxr-2.0.0-metadata.csv.gz")))
    return {
        image["dicom_id"]: {name: float(labels[image["study_id"]][name] or "nan") for name in FOURTEEN}
        for image in images
        if image["study_id"] in labels
    }


def openi(root, lines):
    expected = {}
    meant = {"Cardiomegaly": "Cardiomegaly", "Pleural Effusion": "Pleural Effusion", "Pulmonary Edema": "Edema"}
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        texts = [archive.extractfile(member).read().decode() for member in archive if member.name.endswith(".xml")]
    for text in texts:
        terms = re.findall(r"<major>(.*?)</major>", text)
        labels = {}
        for term, finding in meant.items():
            said = [one for one in terms if one.split("/")[0] == term]
            value = 0.0 if not said else -1.0 if all("borderline" in one for one in said) else 1.0
            labels[finding] = np.nan if "No Indexing" in terms else value
        expected |= dict.fromkeys(re.findall(r'<parentImage id="(.*?)"', text), labels)
    return expected


CASES = {
    "nih14": ("nih", nih),
    "padchest": ("padchest", padchest),
    "vindr-cxr": ("vindr-cxr", vindr("vindr-cxr", "annotations/image_labels_test.csv")),
    "vindr-pcxr": ("vindr-pcxr", vindr("vindr-pcxr", "image_labels_test.csv")),
    "rsna": ("rsna", rsna),
    "siim": ("siim", siim),
    "chexpert-test-14": ("chexpert-test", chexpert_test),
    "mimic-cxr-test": ("mimic-cxr-jpg", mimic),
    "openi": ("openi", openi),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("from_files", [False, True])
def test_the_truth_is_what_the_files_of_the_archive_say(name, from_files, packed, lines_of):
    dataset, read = CASES[name]
    archive, protocol = packed(dataset), load_protocol(name)
    findings = protocol.findings or load_prompts(protocol.prompts).findings
    truth = truth_table(protocol, archive.frame, findings, truth_filepath=archive.root if from_files else None)
    expected = read(archive.root, lines_of)
    assert expected
    assert set(expected) <= set(truth.index)
    assert set(archive.frame["image_id"]) == set(truth.index)
    table = pd.DataFrame.from_dict(expected, orient="index")
    pd.testing.assert_frame_equal(truth.loc[table.index, table.columns], table, check_names=False)
    assert {0.0, 1.0} <= set(np.unique(table)), "the miniature shows both"


def test_labels_of_a_study_reach_all_its_images_and_no_other(packed, lines_of, write_lines, tmp_path):
    archive = packed("mimic-cxr-jpg")
    protocol = load_protocol("mimic-cxr-test-radiologist")
    studies = sorted(set(archive.frame["study_id"]))[::2]
    rows = [
        {"study_id": study, **{name: int((k + j) % 3 == 0) for j, name in enumerate(protocol.findings)}}
        for k, study in enumerate(studies)
    ]
    for row in rows:
        row["Airspace Opacity"] = row.pop("Lung Opacity")
    path = write_lines(tmp_path / "mimic-cxr-2.1.0-test-set-labeled.csv", rows[::-1])
    truth = truth_table(protocol, archive.frame, protocol.findings, truth_filepath=path)
    assert set(truth.index) == set(archive.frame.loc[archive.frame["study_id"].isin(studies), "image_id"])
    by_study = {row["study_id"]: row for row in rows}
    for image in archive.frame[archive.frame["image_id"].isin(truth.index)].itertuples():
        assert truth.loc[image.image_id, "Lung Opacity"] == by_study[image.study_id]["Airspace Opacity"]
        assert truth.loc[image.image_id, "Fracture"] == by_study[image.study_id]["Fracture"]


def test_the_published_ground_truth_file_gives_the_same_as_the_cohort(packed):
    archive, protocol = packed("chexpert-test"), load_protocol("chexpert-test-5")
    file = archive.root.parent.parent / "groundtruth.csv"
    by_file = truth_table(protocol, archive.frame, protocol.findings, truth_filepath=file)
    by_cohort = truth_table(protocol, archive.frame, protocol.findings)
    assert by_file.equals(by_cohort.loc[by_file.index, by_file.columns])


@pytest.mark.parametrize(
    ("name", "dataset", "words"),
    [
        ("nih14", "nih", "wanted Data_Entry_2017_v2020.csv or Data_Entry_2017.csv"),
        ("padchest", "padchest", "wanted PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"),
        ("vindr-cxr", "vindr-cxr", "wanted image_labels_train.csv"),
        ("rsna", "rsna", "wanted stage_2_train_labels.csv"),
        ("siim", "siim", "wanted train-rle.csv or stage_2_train.csv"),
        ("openi", "openi", "wanted NLMCXR_reports.tgz"),
        ("chexpert-test-5", "chexpert-test", r"wanted \*/\*/view1_\*.jpg"),
        ("mimic-cxr-test", "mimic-cxr-jpg", "mimic-cxr-2.0.0-\\*.csv.gz"),
    ],
)
def test_a_folder_without_the_labels_says_what_was_looked_for(name, dataset, words, packed, tmp_path):
    protocol = load_protocol(name)
    with pytest.raises(FileNotFoundError, match=words):
        truth_table(protocol, packed(dataset).frame, protocol.findings, truth_filepath=tmp_path)


@pytest.mark.parametrize("name", ["mimic-cxr-test-radiologist", "chexpert-5x200"])
def test_labels_that_lie_in_no_cohort_table_are_asked_for_by_name(name, packed, tmp_path):
    protocol = load_protocol(name)
    with pytest.raises(FileNotFoundError, match=f"wanted the file {protocol.labels.file}, give it as --truth_filepath"):
        truth_table(protocol, packed("nih").frame, protocol.findings)
    with pytest.raises(FileNotFoundError, match="absent"):
        truth_table(protocol, packed("nih").frame, protocol.findings, truth_filepath=tmp_path / "absent.csv")


def test_a_cohort_table_without_the_archives_own_labels_is_told_apart(packed):
    protocol = load_protocol("nih14")
    bare = packed("nih").frame.drop(columns=["own_Effusion"])
    with pytest.raises(ValueError, match=r"no column own_Effusion, .* preprocess the archive with --dataset_type nih"):
        truth_table(protocol, bare, protocol.findings)


def test_a_file_of_other_studies_is_refused(packed, write_lines, tmp_path):
    protocol = load_protocol("mimic-cxr-test-radiologist")
    path = write_lines(tmp_path / "other.csv", [{"study_id": "1", **dict.fromkeys(protocol.findings, 0)}])
    with pytest.raises(ValueError, match="names none of the cohort's"):
        truth_table(protocol, packed("mimic-cxr-jpg").frame, protocol.findings, truth_filepath=path)


def test_an_archive_that_no_reader_knows_is_refused_by_its_name(packed, altered, tmp_path):
    protocol = load_protocol(altered("nih14", datasets=["brax"]))
    with pytest.raises(ValueError, match=r"archive: wanted one of 'mimic', .*, found 'brax'"):
        truth_table(protocol, packed("nih").frame, protocol.findings, truth_filepath=tmp_path)
