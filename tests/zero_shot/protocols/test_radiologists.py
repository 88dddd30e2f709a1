"""Readers of CheXpert's test set, whose files order columns and rows differently."""

import numpy as np
import pytest

from zero_shot.protocols import find_readings, read_readings

STUDIES = [f"CheXpert-v1.0/test/patient{64741 + k}/study1" for k in range(5)]
OPACITY_FIRST = ("No Finding", "Lung Opacity", "Lung Lesion", "Edema")
LESION_FIRST = ("No Finding", "Lung Lesion", "Lung Opacity", "Edema")


@pytest.fixture
def folder(tmp_path, write_lines):
    """Three readers below a folder, with their decisions as {reader: {study: {finding: 0 or 1}}}."""
    rng = np.random.default_rng(0)
    place = tmp_path / "labels" / "radiologists" / "benchmark_radiologists"
    place.mkdir(parents=True)
    said = {}
    for name, columns in (("bc4", LESION_FIRST), ("bc6", OPACITY_FIRST), ("bc8", LESION_FIRST)):
        said[name] = {study: {finding: int(rng.integers(2)) for finding in columns} for study in STUDIES}
        rows = [
            {"Study": study, **{one: said[name][study][one] for one in columns}} for study in rng.permutation(STUDIES)
        ]
        write_lines(place / f"{name}.csv", rows)
    return tmp_path / "labels", said


def test_columns_are_taken_by_name_and_rows_by_study(folder):
    root, said = folder
    wanted = [STUDIES[k].split("/", 2)[2] for k in (3, 0, 4)]
    readings = read_readings(find_readings(root), studies=wanted, findings=("Lung Opacity", "Edema", "Lung Lesion"))
    assert readings.readers == ("bc4", "bc6", "bc8")
    assert readings.studies == tuple(wanted)
    assert readings.decisions.shape == (3, 3, 3)
    for q, reader in enumerate(readings.readers):
        for n, study in enumerate(readings.studies):
            for c, finding in enumerate(readings.findings):
                assert readings.decisions[q, n, c] == said[reader][f"CheXpert-v1.0/test/{study}"][finding]


def test_files_that_are_not_there_are_named(folder, tmp_path):
    root, _ = folder
    (root / "radiologists/benchmark_radiologists/bc6.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted bc4\.csv, bc6\.csv, bc8\.csv .* found no bc6\.csv"):
        find_readings(root)
    with pytest.raises(FileNotFoundError, match=r"found no bc4\.csv, bc6\.csv, bc8\.csv"):
        find_readings(tmp_path / "nowhere")


def test_a_study_that_was_not_read_or_a_decision_that_is_none_is_refused(folder, write_lines, tmp_path):
    root, _ = folder
    paths = find_readings(root)
    with pytest.raises(ValueError, match="has no row for 1 of 2 studies, first patient1/study1"):
        read_readings(paths, studies=[STUDIES[0], "patient1/study1"], findings=["Edema"])
    with pytest.raises(ValueError, match="has no column for 'Hernia'"):
        read_readings(paths, studies=STUDIES, findings=["Hernia"])
    with pytest.raises(ValueError, match="wanted one file per reader, found none"):
        read_readings([], studies=STUDIES, findings=["Edema"])
    rows = [{"Study": study, "Edema": ""} for study in STUDIES]
    with pytest.raises(ValueError, match="wanted 1 or 0, found something else for study patient64741/study1"):
        read_readings([write_lines(tmp_path / "bc1.csv", rows)], studies=STUDIES, findings=["Edema"])
    rows = [{"Study": study, "Edema": 1} for study in (STUDIES[0], STUDIES[0].replace("v1.0", "v1.0-small"))]
    with pytest.raises(ValueError, match="several rows for study patient64741/study1"):
        read_readings([write_lines(tmp_path / "bc2.csv", rows)], studies=STUDIES[:1], findings=["Edema"])
