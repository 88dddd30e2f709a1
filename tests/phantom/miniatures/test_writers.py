"""The miniatures: exactly the published names, formats that other programs read, equal bytes, the same people."""

import csv
import gzip
import hashlib
import io
import sys
import tarfile
from typing import get_args, get_type_hints

import cv2
import numpy as np
import pytest
import tyro
from openpyxl import load_workbook
from PIL import Image
from pydicom import dcmread

import make_phantom
from phantom.film import Film
from phantom.miniatures.writers import MINIATURES, write_miniature
from phantom.phantom_config import MiniatureConfig
from preprocess.preprocess_config import PreprocessConfig

CHEXPERT = "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
VINDR = "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis"
PCXR = "No finding,Bronchitis,Brocho-pneumonia,Other disease,Bronchiolitis,Situs inversus,Pneumonia,Pleuro-pneumonia,Diagphramatic hernia,Tuberculosis,Congenital emphysema,CPAM,Hyaline membrane disease,Mediastinal tumor,Lung tumor"
NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
PUBLISHED = {
    ("mimic-dicom", "mimic-cxr/2.1.0/cxr-record-list.csv.gz"): "subject_id,study_id,dicom_id,path",
    ("mimic-dicom", "mimic-cxr/2.1.0/cxr-study-list.csv.gz"): "subject_id,study_id,path",
    (
        "mimic-dicom",
        "mimiciv/3.1/hosp/patients.csv.gz",
    ): "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    ("chexpert", "CheXpert-v1.0-small/train.csv"): f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}",
    ("chexpert", "CheXpert-v1.0-small/valid.csv"): f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}",
    ("chexpert", "CheXpert-v1.0-small/train_cheXbert.csv"): f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}",
    ("chexpert-plus", "df_chexpert_plus_240401.csv"): (
        "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,"
        "section_narrative,section_clinical_history,section_history,section_comparison,section_technique,"
        "section_procedure_comments,section_findings,section_impression,section_end_of_impression,section_summary,"
        "section_accession_number,age,sex,race,ethnicity,insurance_type,interpreter_needed,recent_bmi,deceased,split"
    ),
    ("chexpert-test", "groundtruth.csv"): f"Study,{CHEXPERT}",
    ("nih", "Data_Entry_2017_v2020.csv"): NIH,
    ("nih", "Data_Entry_2017.csv"): f"{NIH},",
    ("padchest", "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"): (
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
        "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
        "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
        "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,"
        "ExposureTime,RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
        "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
    ),
    ("vindr-cxr", "annotations/image_labels_train.csv"): f"image_id,rad_id,{VINDR},Other diseases,No finding",
    ("vindr-cxr", "annotations/image_labels_test.csv"): f"image_id,{VINDR},Other disease,No finding",
    ("vindr-pcxr", "image_labels_train.csv"): f"image_id,rad_ID,{PCXR}",
    ("vindr-pcxr", "image_labels_test.csv"): f"image_id,rad_ID,{PCXR}",
    ("openi", "indiana_projections.csv"): "uid,filename,projection",
    ("rsna", "stage_2_train_labels.csv"): "patientId,x,y,width,height,Target",
    ("rsna", "stage_2_detailed_class_info.csv"): "patientId,class",
    ("siim", "train-rle.csv"): "ImageId, EncodedPixels",
}


def stand_in(body, lesions, *, view, exposure, image_size, rng):
    return Film(image=rng.integers(0, 256, (image_size, image_size * 5 // 6), dtype=np.uint8), boxes={})


def make(archive, root, **arguments):
    return write_miniature(
        archive, root, **({"n_patients": 8, "seed": 16, "image_size": 32, "draw": stand_in} | arguments)
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("miniatures")
    for archive in MINIATURES:
        make(archive, root / archive)
    return root


def rows(path):
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(io.StringIO(content.decode())))


@pytest.mark.parametrize(("place", "header"), PUBLISHED.items(), ids=lambda one: "/".join(one) if len(one) == 2 else "")
def test_tables_have_the_published_names_and_columns(folders, place, header):
    first, *others = rows(folders.joinpath(*place))
    assert ",".join(first) == header
    assert others
    assert {len(row) for row in others} == {len(first)}


def digests(root):
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("archive", MINIATURES)
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(folders, tmp_path, archive):
    make(archive, tmp_path / "again")
    make(archive, tmp_path / "other", seed=17)
    assert digests(tmp_path / "again") == digests(folders / archive)
    assert digests(tmp_path / "other") != digests(folders / archive)


def test_every_seed_shows_the_same_people_in_every_archive(folders):
    nih = {row[0]: (row[4], row[5], row[6]) for row in rows(folders / "nih/Data_Entry_2017_v2020.csv")[1:]}
    headers = [dcmread(path) for path in (folders / "rsna").rglob("*.dcm")]
    assert sorted(nih.values()) == sorted((str(h.PatientAge), h.PatientSex, h.ViewPosition) for h in headers)


def test_dicom_files_are_read_by_pydicom_with_12_bits_and_both_polarities(folders):
    kinds = set()
    for path in (folders / "vindr-cxr").rglob("*.dicom"):
        header = dcmread(path)
        pixels = header.pixel_array
        assert pixels.shape == (32, 26) or pixels.shape == (32, 27)
        assert 255 < pixels.max() <= 4095
        kinds.add(header.PhotometricInterpretation)
    assert kinds == {"MONOCHROME1", "MONOCHROME2"}


def test_the_polarity_and_the_depth_of_a_film_are_only_its_encoding(folders):
    """A film is the same in PadChest's 16-bit PNG, in NIH's grey and RGBA, and under either polarity in DICOM."""
    nih = [Image.open(path) for path in sorted((folders / "nih").rglob("*.png"))]
    assert {image.mode for image in nih} == {"L", "RGBA"}
    films = {np.asarray(image.convert("L")).tobytes() for image in nih}
    deep = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (folders / "padchest").rglob("*.png")]
    assert {image.dtype for image in deep} == {np.dtype(np.uint16)}
    assert films <= {(image >> 4).astype(np.uint8).tobytes() for image in deep}
    for path in (folders / "mimic-dicom").rglob("*.dcm"):
        header = dcmread(path)
        pixels = header.pixel_array
        seen = 4095 - pixels if header.PhotometricInterpretation == "MONOCHROME1" else pixels
        if header.ViewPosition in {"PA", "AP"}:
            assert (seen >> 4).astype(np.uint8).tobytes() in films


def test_the_spreadsheet_opens_and_has_one_row_per_patient(folders):
    header, *people = load_workbook(folders / "chexpert/CHEXPERT DEMO.xlsx").active.iter_rows(values_only=True)
    assert header == ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
    assert len(people) == len({person[0] for person in people}) == 8
    assert all(isinstance(person[2], int) for person in people)


def test_open_i_s_reports_lie_in_their_folder_inside_one_file(folders):
    with tarfile.open(folders / "openi/NLMCXR_reports.tgz") as archive:
        names = archive.getnames()
    assert names == [f"ecgen-radiology/{number}.xml" for number in range(1, len(names) + 1)]


def test_films_are_drawn_where_no_stand_in_is_given(tmp_path):
    write_miniature("siim", tmp_path / "drawn", n_patients=2, seed=0, image_size=32)
    film = dcmread(next((tmp_path / "drawn").rglob("*.dcm"))).pixel_array
    assert film.std() > 200, "bones and air, in 12 bits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"archive": "chestx"}, "--archive must be one of mimic-dicom, chexpert, .* found 'chestx'"),
        ({"archive": "nih", "n_patients": 1}, "--n_patients must be 2 or more.* found 1"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(root=tmp_path / "new", **arguments)


def test_the_command_writes_every_miniature_and_says_how_to_read_it(tmp_path, monkeypatch, capsys):
    assert set(get_args(get_type_hints(MiniatureConfig)["archive"])) == set(MINIATURES)
    folder = tmp_path / "mini"
    command = f"make_phantom.py miniature --archive chexpert-test --out_dir {folder} --n_patients 3 --image_size 32"
    monkeypatch.setattr(sys, "argv", command.split())
    assert make_phantom.cli() == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"wrote {folder} (chexpert-test, 3 patients)"
    reader = second.removeprefix("next: python preprocess_train_data.py ").split()
    packing = tyro.cli(PreprocessConfig, args=reader, use_underscores=True)
    assert packing.chest_x_ray_path.is_dir()
    assert make_phantom.cli() == 2
    assert "is not empty: choose another folder" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty: choose another folder"):
        make("nih", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
