"""The archive on disk: published columns, joins that hold, planted numbers, equal bytes, and nothing half-written."""

import gzip
import hashlib
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import make_phantom
import phantom
from phantom.archive.hospital_tables import RACE_STRINGS, UNKNOWN_RACE_STRINGS
from phantom.archive.physionet_layout import HOSPITAL, IMAGES, REPORTS, write_archive
from phantom.film import Film
from phantom.patients.scenario import ABNORMALITIES

ROOT = Path(__file__).resolve().parents[3]
LABELS = list(phantom.FINDINGS)


def stand_in(body, lesions, *, view, exposure, image_size, rng):
    """Draw a film that is small and quick: the tables are what is tested."""
    image = rng.integers(0, 256, (image_size, image_size * 5 // 6), dtype=np.uint8)
    return Film(image=image, boxes={lesion.finding: (1, 2, 3, 4) for lesion in lesions if view != "LATERAL"})


class Tables:
    """The tables of one archive as its users read them."""

    def __init__(self, root):
        self.root = root
        prefix = root / IMAGES / "mimic-cxr-2.0.0"
        for name in ("metadata", "split", "chexpert", "negbio"):
            setattr(self, name, pd.read_csv(f"{prefix}-{name}.csv.gz"))
        self.patients = pd.read_csv(root / HOSPITAL / "patients.csv.gz")
        self.admissions = pd.read_csv(root / HOSPITAL / "admissions.csv.gz", keep_default_na=False)
        self.truth = pd.read_csv(root / "truth.csv")
        self.scenario = json.loads((root / "scenario.json").read_text())

    @property
    def studies(self):
        """One row per study: truth, and the labels with the suffix _report."""
        truth = self.truth.drop_duplicates("study_id")
        return truth.merge(self.chexpert, on=["subject_id", "study_id"], suffixes=("", "_report"), validate="1:1")


def make(folder, preset, n_patients, **arguments):
    arguments = {"seed": 0, "image_size": 32, "workers": 1, "draw": stand_in} | arguments
    return write_archive(folder, scenario=preset(), n_patients=n_patients, **arguments)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "usual"
    make(root, phantom.default, 500)
    return Tables(root)


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "failing"
    make(root, phantom.underdiagnosis, 500)
    return Tables(root)


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_columns_are_those_that_are_published(usual):
    assert list(usual.metadata) == [
        "dicom_id",
        "subject_id",
        "study_id",
        "PerformedProcedureStepDescription",
        "ViewPosition",
        "Rows",
        "Columns",
        "StudyDate",
        "StudyTime",
        "ProcedureCodeSequence_CodeMeaning",
        "ViewCodeSequence_CodeMeaning",
        "PatientOrientationCodeSequence_CodeMeaning",
    ]
    assert list(usual.split) == ["dicom_id", "study_id", "subject_id", "split"]
    assert list(usual.chexpert) == list(usual.negbio) == ["subject_id", "study_id", *LABELS]
    assert list(usual.patients) == [
        "subject_id",
        "gender",
        "anchor_age",
        "anchor_year",
        "anchor_year_group",
        "dod",
    ]
    assert list(usual.admissions) == [
        "subject_id",
        "hadm_id",
        "admittime",
        "dischtime",
        "deathtime",
        "admission_type",
        "admission_location",
        "discharge_location",
        "insurance",
        "language",
        "marital_status",
        "race",
        "edregtime",
        "edouttime",
        "hospital_expire_flag",
    ]
    records = pd.read_csv(usual.root / REPORTS / "cxr-record-list.csv.gz")
    assert list(records) == ["subject_id", "study_id", "dicom_id", "path"]
    studies = pd.read_csv(usual.root / REPORTS / "cxr-study-list.csv.gz")
    assert list(studies) == ["subject_id", "study_id", "path"]
    identity = ["image_id", "subject_id", "study_id", "view", "age_years", "sex", "race", "insurance"]
    severities = [f"severity_{finding}" for finding in LABELS if finding != "No Finding"]
    assert list(usual.truth) == [*identity, *LABELS, *severities, "boxes"]


def test_every_image_and_report_lies_where_the_tables_say(usual):
    names = (usual.root / IMAGES / "IMAGE_FILENAMES").read_text().splitlines()
    expected = [
        f"files/p{str(row.subject_id)[:2]}/p{row.subject_id}/s{row.study_id}/{row.dicom_id}.jpg"
        for row in usual.metadata.itertuples()
    ]
    assert names == expected
    assert sorted(str(p.relative_to(usual.root / IMAGES)) for p in usual.root.rglob("*.jpg")) == sorted(names)
    reports = pd.read_csv(usual.root / REPORTS / "cxr-study-list.csv.gz")["path"]
    assert sorted(str(p.relative_to(usual.root / REPORTS)) for p in usual.root.rglob("*.txt")) == sorted(reports)
    records = pd.read_csv(usual.root / REPORTS / "cxr-record-list.csv.gz")["path"]
    assert [path.replace(".dcm", ".jpg") for path in records] == names
    for name, row in list(zip(names, usual.metadata.itertuples(), strict=True))[:20]:
        image = cv2.imread(str(usual.root / IMAGES / name), cv2.IMREAD_UNCHANGED)
        assert image.shape == (row.Rows, row.Columns)


def test_the_tables_list_the_same_images_and_studies(usual):
    images = set(usual.metadata["dicom_id"])
    assert len(images) == len(usual.metadata) == len(usual.truth) == len(usual.split)
    assert images == set(usual.truth["image_id"]) == set(usual.split["dicom_id"])
    studies = set(usual.metadata["study_id"])
    assert studies == set(usual.chexpert["study_id"]) == set(usual.negbio["study_id"])
    assert (usual.scenario["n_studies"], usual.scenario["n_images"]) == (len(studies), len(images))


def test_a_patient_is_in_one_split_only(usual):
    assert len(usual.split[["subject_id", "split"]].drop_duplicates()) == usual.split["subject_id"].nunique()
    assert Counter(usual.split.drop_duplicates("subject_id")["split"]) == {"train": 325, "validate": 35, "test": 140}


def test_reports_of_later_studies_look_back_and_first_ones_do_not(usual):
    times = usual.metadata.drop_duplicates("study_id").sort_values(["subject_id", "StudyDate", "StudyTime"])
    firsts = set(times.drop_duplicates("subject_id")["study_id"])
    texts = {int(path.stem[1:]): path.read_text() for path in (usual.root / REPORTS).rglob("*.txt")}
    for study, text in texts.items():
        assert ("adiograph from ___" in text or "adiographs dated ___" in text) <= (study not in firsts)
    assert sum("since the prior study" in text for text in texts.values()) > 20


def test_labels_are_written_as_in_mimic(usual):
    with gzip.open(usual.root / IMAGES / "mimic-cxr-2.0.0-chexpert.csv.gz", "rt") as handle:
        cells = {cell for line in list(handle)[1:] for cell in line.strip().split(",")[2:]}
    assert cells == {"", "1.0", "0.0", "-1.0"}


def left_out(studies):
    """Return visible abnormalities (not Lung Opacity, which others imply) and how many of them are not reported."""
    names = [finding for finding in ABNORMALITIES if finding != "Lung Opacity"]
    visible = studies[names].to_numpy() == 1
    reported = studies[[f"{name}_report" for name in names]].isin([1.0, -1.0]).to_numpy()
    return int((visible & ~reported).sum()), int(visible.sum())


@pytest.mark.parametrize("race", ["Black", "White"])
@pytest.mark.parametrize("medicaid", [True, False])
def test_the_planted_underreporting_is_recovered_from_the_tables(failing, race, medicaid):
    studies = failing.studies
    of_group = studies[(studies["race"] == race) & ((studies["insurance"] == "Medicaid") == medicaid)]
    n_missed, n_visible = left_out(of_group)
    planted = failing.scenario["scenario"]
    keep = 1 - planted["underreporting"]
    keep *= 1 - planted["underreporting_in_group"]["race=Black"] * (race == "Black")
    keep *= 1 - planted["underreporting_in_group"]["insurance=Medicaid"] * medicaid
    assert n_visible > 50
    assert binomtest(n_missed, n_visible, 1 - keep).pvalue > 1e-4


def test_in_the_null_archive_every_group_is_reported_and_ill_alike(tmp_path):
    make(tmp_path / "null", phantom.null, 400)
    studies = Tables(tmp_path / "null").studies
    share = phantom.null().underreporting
    for attribute in ("sex", "race", "insurance"):
        for _, group in studies.groupby(attribute):
            n_missed, n_visible = left_out(group)
            assert binomtest(n_missed, n_visible, share).pvalue > 1e-4
            firsts = group.drop_duplicates("subject_id")
            for finding, prevalence in phantom.null().prevalence.items():
                if finding != "Lung Opacity":
                    assert binomtest(int(firsts[finding].sum()), len(firsts), prevalence).pvalue > 1e-5


def test_truth_is_consistent_with_itself(usual):
    truth = usual.truth
    abnormal = truth[list(ABNORMALITIES)].any(axis=1)
    assert (truth["No Finding"] == (~abnormal).astype(int)).all()
    airspace = truth[["Consolidation", "Pneumonia"]].any(axis=1)
    assert (truth.loc[airspace, "Lung Opacity"] == 1).all()
    for finding in LABELS:
        if finding != "No Finding":
            assert ((truth[f"severity_{finding}"] > 0) == (truth[finding] == 1)).all()
    for row in truth.itertuples():
        boxes = json.loads(row.boxes)
        assert row.view != "LATERAL" or not boxes
        assert set(boxes) <= set(LABELS)


def test_nine_findings_or_more_have_thirty_frontal_test_images_in_an_archive_of_full_size(failing):
    # 1,200 patients show 2.4 times as many; the test split is the same share of them.
    test = failing.truth.merge(failing.split, left_on="image_id", right_on="dicom_id").query("split == 'test'")
    counts = test[test["view"] != "LATERAL"][LABELS].sum() * (1200 / 500)
    assert (counts >= 30).sum() >= 10


def test_age_follows_from_anchor_age_except_where_it_is_cut_at_91(usual):
    joined = usual.truth.merge(usual.metadata, left_on="image_id", right_on="dicom_id").merge(
        usual.patients, left_on="subject_id_x", right_on="subject_id"
    )
    age = joined["anchor_age"] + joined["StudyDate"] // 10000 - joined["anchor_year"]
    cut = joined["anchor_age"] == 91
    assert cut.any()
    assert (cut | (joined["anchor_age"] <= 89)).all()
    assert (joined["age_years"][cut] >= 90).all()
    assert len(joined["age_years"][cut].unique()) > 1
    assert (age[~cut] == joined["age_years"][~cut]).all()
    assert (joined["sex"] == joined["gender"]).all()
    assert pd.to_datetime(joined["StudyDate"].astype(str), format="%Y%m%d").notna().all()
    seconds = joined["StudyTime"].map(lambda time: f"{int(time):06d}")
    assert pd.to_datetime(seconds, format="%H%M%S").notna().all()


def race_of(strings):
    """Return the groups that a patient's admissions state, unknown ones aside."""
    group = {raw: name for name, raws in RACE_STRINGS.items() for raw in raws}
    return {group[raw] for raw in strings if raw not in UNKNOWN_RACE_STRINGS}


def test_stated_races_are_true_unless_they_contradict_each_other(usual):
    truth = usual.truth.drop_duplicates("subject_id").set_index("subject_id")["race"]
    stated = usual.admissions.groupby("subject_id")["race"].agg(race_of)
    for subject, races in stated.items():
        assert not races or truth[subject] in races
    planted = phantom.default()
    n_conflicts = int((stated.map(len) > 1).sum())
    assert binomtest(n_conflicts, len(stated), planted.share_race_conflict).pvalue > 1e-4
    assert binomtest(int((stated.map(len) == 0).sum()), len(stated), planted.share_race_unknown).pvalue > 1e-4
    assert usual.admissions["race"].nunique() > 12


def test_the_planted_shares_are_missing_from_the_hospitals_tables(usual):
    planted, subjects = phantom.default(), usual.truth["subject_id"].nunique()
    n_known, n_admitted = len(usual.patients), usual.admissions["subject_id"].nunique()
    assert binomtest(subjects - n_known, subjects, planted.share_not_in_hospital_tables).pvalue > 1e-4
    assert binomtest(n_known - n_admitted, n_known, planted.share_without_admission).pvalue > 1e-4
    n_blank = int((usual.admissions["insurance"] == "").sum())
    assert binomtest(n_blank, len(usual.admissions), planted.share_insurance_missing).pvalue > 1e-4
    n_unnamed = int(usual.metadata["ViewPosition"].isna().sum())
    assert binomtest(n_unnamed, len(usual.metadata), planted.share_view_missing).pvalue > 1e-4


def test_stays_are_in_order_do_not_overlap_and_cover_many_studies(usual):
    stays = usual.admissions.assign(
        start=pd.to_datetime(usual.admissions["admittime"]), end=pd.to_datetime(usual.admissions["dischtime"])
    )
    assert (stays["start"] < stays["end"]).all()
    assert stays["hadm_id"].is_unique
    following = stays.groupby("subject_id")["start"].shift(-1)
    assert (following.isna() | (stays["end"] < following)).all()
    studies = usual.metadata.drop_duplicates("study_id")
    times = studies["StudyDate"].astype(str) + studies["StudyTime"].map(lambda time: f"{int(time):06d}")
    studies = studies.assign(time=pd.to_datetime(times, format="%Y%m%d%H%M%S")).merge(stays, on="subject_id")
    covered = studies[(studies["start"] <= studies["time"]) & (studies["time"] <= studies["end"])]
    assert 0.4 < len(covered) / usual.metadata["study_id"].nunique() < 0.9


def test_frontal_views_are_named_as_taken(usual):
    joined = usual.truth.merge(usual.metadata, left_on="image_id", right_on="dicom_id")
    named = joined.dropna(subset="ViewPosition")
    assert (named["ViewPosition"].replace("LL", "LATERAL") == named["view"]).all()
    assert set(named["ViewPosition"]) == {"PA", "AP", "LATERAL", "LL"}


def test_the_same_seed_gives_the_same_bytes_with_one_worker_and_with_two(tmp_path):
    arguments = {"draw": phantom.draw_film, "image_size": 64}
    make(tmp_path / "one", phantom.default, 12, workers=1, **arguments)
    make(tmp_path / "two", phantom.default, 12, workers=2, **arguments)
    make(tmp_path / "other", phantom.default, 12, seed=1, **arguments)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert not set(digests(tmp_path / "one").items()) & set(digests(tmp_path / "other").items())


def test_without_lateral_films_the_same_patients_have_the_same_frontal_films(tmp_path):
    make(tmp_path / "all", phantom.default, 12)
    make(tmp_path / "frontal", phantom.default, 12, views="frontal")
    everything, frontal = Tables(tmp_path / "all").truth, Tables(tmp_path / "frontal").truth
    assert "LATERAL" in set(everything["view"])
    pd.testing.assert_frame_equal(frontal, everything[everything["view"] != "LATERAL"].reset_index(drop=True))
    films = {path.name: path.read_bytes() for path in (tmp_path / "frontal").rglob("*.jpg")}
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "all").rglob("*.jpg")}
    assert films == {name: film for name, film in drawn.items() if Path(name).stem in set(frontal["image_id"])}


def test_compressed_tables_carry_no_time_stamp(usual):
    for path in usual.root.rglob("*.gz"):
        assert path.read_bytes()[4:8] == b"\0\0\0\0"


def test_a_complete_archive_is_left_alone(tmp_path):
    first = make(tmp_path, phantom.null, 5)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = make(tmp_path, phantom.null, 5, draw=no_film)
    assert (first.reused, again.reused) == (False, True)
    assert (first.n_studies, first.n_images) == (again.n_studies, again.n_images)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def no_film(body, lesions, *, view, exposure, image_size, rng):
    raise ArithmeticError("the tube is cold")


def test_an_interrupted_archive_is_marked_and_written_anew(tmp_path):
    with pytest.raises(ArithmeticError, match="the tube is cold"):
        make(tmp_path / "broken", phantom.null, 5, draw=no_film)
    assert json.loads((tmp_path / "broken" / "scenario.json").read_text())["complete"] is False
    assert not make(tmp_path / "broken", phantom.null, 5).reused
    make(tmp_path / "whole", phantom.null, 5)
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


def test_other_parameters_do_not_overwrite_an_archive(tmp_path):
    make(tmp_path, phantom.null, 5)
    with pytest.raises(ValueError, match="holds a phantom whose n_patients is 5, not 6: remove it or choose another"):
        make(tmp_path, phantom.null, 6)
    with pytest.raises(ValueError, match="holds a phantom whose scenario is another one"):
        make(tmp_path, phantom.default, 5)


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not empty and holds no phantom \(no scenario.json\): choose another"):
        make(tmp_path, phantom.null, 5)
    with pytest.raises(ValueError, match=r"out_dir must be a folder, but .* is a file"):
        make(tmp_path / "thesis.tex", phantom.null, 5)
    (tmp_path / "scenario.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        make(tmp_path, phantom.null, 5)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 8}, "image_size is the longest side in pixels: wanted 32 to 4096, found 8"),
        ({"workers": 0}, "workers must be 1 or more, or left out for one per CPU core; found 0"),
        ({"seed": -3}, "seed must be 0 or more, found -3"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "new", phantom.null, 5, **arguments)
    assert not (tmp_path / "new").exists()


def test_the_scenario_file_holds_what_was_planted_and_what_came_of_it(usual):
    found = usual.scenario
    assert found["complete"] is True
    assert {name: found[name] for name in ("seed", "n_patients", "image_size")} == {
        "seed": 0,
        "n_patients": 500,
        "image_size": 32,
    }
    assert found["scenario"] == json.loads(json.dumps(phantom.default().to_json()))
    assert math.isclose(sum(found["scenario"]["race_shares"].values()), 1.0)


def test_the_script_says_what_it_wrote_and_what_to_do_next(tmp_path, capsys):
    config = make_phantom.PhantomConfig(out_dir=tmp_path / "p", n_patients=2, scenario="null", image_size=64, workers=1)
    make_phantom.main(config)
    make_phantom.main(config)
    said = capsys.readouterr().out
    assert f"wrote {tmp_path / 'p'} (2 patients, " in said
    assert "already holds this archive" in said
    assert f"next: python preprocess_train_data.py --archive_root {tmp_path / 'p'}" in said


def test_the_script_ends_with_an_error_of_one_line_and_code_2(tmp_path):
    command = [sys.executable, "make_phantom.py", "--out_dir", str(tmp_path / "p"), "--n_patients", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: n_patients must lie between 1 and 1000000, found 0\n"
