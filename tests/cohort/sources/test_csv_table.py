import numpy as np
import pandas as pd
import pytest

from cohort.cohort_table import read_cohort, write_cohort
from cohort.names import FINDINGS
from cohort.sources.csv_table import read_table
from cohort.sources.mapping import ColumnMapping, read_mapping

PLAIN = """\
image_id,path,subject_id,study_id,view,age_years,sex,race,insurance,split,report,Edema,Fracture,scanner
i1,a.png,p1,s1,PA,063Y,Female,Unknown,none,train,NA,1,,Alpha
i2,b.png,p1,s2,ap supine,64,f,Black,Public,train,Clear lungs.,0,-1,Beta
i3,c.png,p2,,,old,w,White,,test,,-1,1,
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_text("no real picture")
    (tmp_path / "images.csv").write_text(PLAIN)
    return tmp_path


def reasons(flow):
    table = flow.to_frame()
    return dict(zip(table["reason"], table["rows"], strict=True))


def test_a_table_with_the_default_names_needs_no_mapping(folder):
    frame, flow = read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder)
    assert frame["image_id"].tolist() == ["i1", "i2", "i3"]
    assert frame["study_id"].tolist() == ["s1", "s2", "i3"], "an unnamed examination is the image's own"
    assert frame["path"].tolist() == [str(folder / name) for name in ("a.png", "b.png", "c.png")]
    assert frame["view"].tolist() == ["PA", "AP_SUPINE", "UNKNOWN"]
    np.testing.assert_array_equal(frame["age_years"], [63, 64, np.nan])
    assert frame["age_reason"].tolist() == ["", "", "unparsable"]
    assert frame["sex"].tolist() == ["F", "F", "F"]
    assert frame["race"].tolist() == ["Black", "Black", "White"], "a patient's unknown yields to the known"
    assert frame["raw_race"].tolist() == ["Unknown", "Black", "White"]
    assert frame["insurance"].tolist() == ["", "Public", ""]
    assert frame["report"].tolist() == ["NA", "Clear lungs.", ""]
    assert frame["raw_scanner"].tolist() == ["Alpha", "Beta", ""]
    np.testing.assert_array_equal(frame["Edema"], [1, 0, -1])
    np.testing.assert_array_equal(frame["Fracture"], [np.nan, -1, 1])
    assert frame["Pneumonia"].isna().all()
    assert set(frame["dataset"]) == {"csv"}
    assert reasons(flow)["insurance unknown"] == 2
    assert reasons(flow)["no age: unparsable"] == 1


def test_every_row_that_cannot_be_used_is_counted(folder):
    extra = "i4,,p3,,,,,,,,,,,\n,a.png,p3,,,,,,,,,,,\ni5,a.png,,,,,,,,,,,,\ni6,gone.png,p4,,,,,,,,,,,\n"
    (folder / "images.csv").write_text(PLAIN + extra)
    frame, flow = read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder)
    assert len(frame) == 3
    counted = reasons(flow)
    assert counted["listed in images.csv"] == 7
    for reason in ("no image id", "no image path", "no patient id", "image file not found"):
        assert counted[reason] == 1
    unchecked, _ = read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder, check_files=False)
    assert unchecked["image_id"].tolist() == ["i1", "i2", "i3", "i6"]


def test_line_breaks_inside_a_report_survive_writing_and_reading(folder):
    table = 'image_id,path,subject_id,report\ni,a.png,p,"one\rtwo\r\nthree\nfour, ""five"""\n'
    (folder / "images.csv").write_bytes(table.encode())
    frame, _ = read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder)
    write_cohort(frame, folder / "cohort.csv")
    assert read_cohort(folder / "cohort.csv")["report"].tolist() == ['one\ntwo\nthree\nfour, "five"']


MAPPED = """\
file,patient,age,sex text,race,projection,findings,severe
a.png,1,70,male,brown,frontal,Effusion|Mass,1
b.png,1,71,x,red,AP,No Finding,0
c.png,2,9,,blue,SKYLINE,COVID-19,
d.png,3,9,M,,PA,,
"""
YAML = """\
image_id: file
path: file
subject_id: patient
age_years: age
sex: sex text
view: projection
finding_list: findings
finding_names: {Effusion: Pleural Effusion, Mass: Lung Lesion, Nodule: Lung Lesion, Hernia: "", No Finding: No Finding}
labels: {Pneumonia: severe}
translations: {view: {Frontal: PA}, race: {brown: A, red: B}}
dataset: mine
"""


def test_a_mapping_names_columns_lists_and_words(folder):
    (folder / "d.png").write_text("no real picture")
    (folder / "images.csv").write_text(MAPPED)
    (folder / "mapping.yaml").write_text(YAML)
    frame, flow = read_table(folder / "images.csv", mapping=read_mapping(folder / "mapping.yaml"), image_root=folder)
    assert frame["image_id"].tolist() == ["a.png", "b.png", "c.png", "d.png"]
    assert frame["view"].tolist() == ["PA", "AP", "OTHER", "PA"]
    assert frame["raw_view"].tolist() == ["frontal", "AP", "SKYLINE", "PA"]
    assert frame["sex"].tolist() == ["M", "", "", "M"]
    assert frame["race"].tolist() == ["conflict", "conflict", "blue", ""]
    nan = np.nan
    np.testing.assert_array_equal(frame["Pleural Effusion"], [1, 0, nan, nan])
    np.testing.assert_array_equal(frame["Lung Lesion"], [1, 0, nan, nan])
    np.testing.assert_array_equal(frame["No Finding"], [0, 1, nan, nan])
    np.testing.assert_array_equal(frame["Pneumonia"], [1, 0, nan, nan])
    assert frame["Fracture"].isna().all(), "an archive that never labels fractures does not deny them"
    assert frame["raw_findings"].tolist()[0] == "Effusion|Mass"
    assert set(frame["dataset"]) == {"mine"}
    counted = reasons(flow)
    assert counted["finding 'COVID-19' is not in finding_names: no labels"] == 1
    assert counted["nothing in findings: no labels"] == 1
    assert counted["view 'SKYLINE' is not in view.csv: OTHER"] == 1
    assert counted["sex 'x' is not in sex.csv: unknown"] == 1
    assert counted["race in conflict between a patient's rows"] == 2


def test_race_can_go_through_a_table(folder):
    (folder / "images.csv").write_text("image_id,path,subject_id,race\ni,a.png,p,BLACK/CAPE VERDEAN\nj,b.png,q,GREEN\n")
    frame, flow = read_table(
        folder / "images.csv", mapping=ColumnMapping(race_table="race_mimic_v2.csv"), image_root=folder
    )
    assert frame["race"].tolist() == ["Black", ""]
    assert reasons(flow)["race 'GREEN' is not in race_mimic_v2.csv: unknown"] == 1


def test_a_raw_name_that_is_taken_gets_another(folder):
    (folder / "images.csv").write_text("image_id,path,subject_id,gender,sex\ni,a.png,p,F,not this\n")
    frame, _ = read_table(folder / "images.csv", mapping=ColumnMapping(sex="gender"), image_root=folder)
    assert (frame["sex"][0], frame["raw_sex"][0], frame["raw_raw_sex"][0]) == ("F", "F", "not this")


@pytest.mark.parametrize(
    ("text", "mapping", "message"),
    [
        ("", {}, "the image table: .*images.csv is empty"),
        ("image_id,path,subject_id\n", {}, "has a header but no rows"),
        ("image_id,path\ni,a.png\n", {}, "has no column 'subject_id'; found 'image_id', 'path'"),
        (PLAIN, {"sex": "gender"}, "has no column 'gender'"),
        (PLAIN, {"labels": {"Edema": "oedema"}}, "has no column 'oedema'"),
        (PLAIN, {"finding_list": "list", "finding_names": {"a": "Edema"}}, "has no column 'list'"),
        ("image_id,path,subject_id,Edema\ni,a.png,1,mild\n", {}, "Edema holds 'mild'"),
        ("image_id,path,subject_id\n,a.png,1\n", {}, "no row of .* has an image id, a path and a patient id"),
        ("image_id,path,subject_id,split\ni,a.png,1,train\nj,b.png,1,test\n", {}, "in more than one split: '1'"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(folder, text, mapping, message):
    (folder / "images.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(folder / "images.csv", mapping=ColumnMapping(**mapping), image_root=folder)


def test_images_that_are_nowhere_are_an_error(folder):
    with pytest.raises(FileNotFoundError, match="image root: wanted a folder, found none at nowhere"):
        read_table(folder / "images.csv", mapping=ColumnMapping(), image_root="nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of the 3 images of .* exists; looked for '.*empty/a.png'"):
        read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image: file", r"\['image'\] are no fields; wanted some of \['image_id', 'path'"),
        ("- image_id", "wanted lines such as 'subject_id: patient'"),
        ("a: [", "is no YAML"),
        ("sex: no", "sex: wanted a word, found False; quote it"),
        ("labels: Edema", "labels: wanted a mapping such as"),
        ("labels: {Oedema: x}", r"\['Oedema'\] are none of the findings"),
        ("finding_list: findings", "finding_list and finding_names belong together"),
        ("source: dream", "source: wanted one of"),
        ("translations: {age: {a: b}}", r"translations: wanted keys among .*found \['age'\]"),
    ],
)
def test_a_mapping_that_means_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "mapping.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_mapping(tmp_path / "mapping.yaml")


def test_a_mapping_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wanted the YAML file .*mapping.yaml"):
        read_mapping(tmp_path / "mapping.yaml")


REAL = """\
image_id: image
path: image
subject_id: patient_id
age_years: age
report: text
finding_list: labels
finding_names: {Atelectasis: Atelectasis, Cardiomegaly: Cardiomegaly, Consolidation: Consolidation, Edema: Edema,
  Effusion: Pleural Effusion, Emphysema: "", Fibrosis: "", Hernia: "", Infiltration: "", Mass: Lung Lesion,
  Nodule: Lung Lesion, Pleural_Thickening: Pleural Other, Pneumonia: Pneumonia, Pneumothorax: Pneumothorax,
  No Finding: No Finding}
"""


@pytest.mark.real
def test_real_images_of_three_archives_are_one_cohort(real, tmp_path):
    """Counts are those of the folder's own description."""
    (tmp_path / "mapping.yaml").write_text(REAL)
    frame, flow = read_table(real / "metadata.csv", mapping=read_mapping(tmp_path / "mapping.yaml"), image_root=real)
    assert len(frame) == 255
    nih = frame[frame["raw_source"].str.contains("NIH|ChestX", regex=True)]
    assert len(nih) == 79
    assert nih["sex"].value_counts().to_dict() == {"M": 43, "F": 36}
    assert nih["view"].value_counts().to_dict() == {"AP": 46, "PA": 33}
    assert nih["subject_id"].nunique() == 52
    assert (nih["age_years"].min(), nih["age_years"].max()) == (9, 77)
    positive = {finding: int((nih[finding] == 1).sum()) for finding in FINDINGS}
    assert positive["Pneumonia"] == 44
    assert positive["No Finding"] == 35
    assert positive["Pleural Effusion"] == 10
    assert nih["Fracture"].isna().all()
    others = frame.drop(nih.index)
    assert others[list(FINDINGS)].isna().all(axis=None)
    assert reasons(flow)["finding 'COVID-19' is not in finding_names: no labels"] == 30
    assert frame["report"].ne("").sum() == 146
    assert pd.Series(frame["path"]).str.startswith(str(real)).all()


def test_words_of_a_missing_value_and_of_one_group_are_read_alike_in_every_column(folder):
    (folder / "images.csv").write_text(
        "image_id,path,subject_id,view,sex,race,insurance,age_years,report\n"
        "i1,a.png,13.0,PA view,F,White,Private,nan,nan\n"
        "i2,b.png,13,AP portable,NULL,WHITE ,private,NaT,Clear.\n"
        "i3,c.png,p2,Frontal,male, ,NaN,60,x\n"
        "i4,c.png,nan,PA,F,White,,60,x\n"
        "nan,c.png,p4,PA,F,White,,60,x\n"
    )
    frame, flow = read_table(folder / "images.csv", mapping=ColumnMapping(), image_root=folder)
    assert frame["subject_id"].tolist() == ["13", "13", "p2"]
    assert frame["view"].tolist() == ["PA", "AP", "FRONTAL"]
    assert frame["sex"].tolist() == ["F", "", "M"]
    assert frame["race"].tolist() == ["White", "White", ""]
    assert frame["insurance"].tolist() == ["Private", "Private", ""]
    assert frame["age_reason"].tolist() == ["not given", "not given", ""]
    assert frame["raw_race"].tolist() == ["White", "WHITE", ""]
    assert (reasons(flow)["no image id"], reasons(flow)["no patient id"]) == (1, 1)
