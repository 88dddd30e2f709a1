"""The command: files, exit codes and the words of its errors."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import run_zero_shot
from cohort import FINDINGS, write_cohort
from metrics.threshold_rules import youden_threshold
from zero_shot import ZeroShotConfig, compare_results
from zero_shot.evaluation.results import run as evaluate

ROOT = Path(run_zero_shot.__file__).parent
FEW = {"findings": ("Edema", "Fracture"), "groups": ("sex",)}


@pytest.fixture
def options(archive, checkpoint, tmp_path):
    return {
        "checkpoints": (str(checkpoint),),
        "cxr_filepath": archive.cxr,
        "cohort_filepath": archive.cohort,
        "out_dir": tmp_path / "out",
        "n_replicates": 50,
        "device": "cpu",
        "overwrite": True,
    }


def test_the_tables_and_the_specification_are_written_and_agree(options, archive):
    run_zero_shot.main(ZeroShotConfig(**options))
    out = options["out_dir"]
    names = ["embeddings.h5", "exposure.csv", "flow.csv", "metrics.csv", "predictions.csv", "report.html", "spec.json"]
    assert sorted(path.name for path in out.iterdir()) == [*names, "subgroups.csv", "truth.csv"]
    predictions = pd.read_csv(out / "predictions.csv")
    assert predictions.columns.tolist() == ["image_id", *FINDINGS]
    wanted = archive.frame[(archive.frame["split"] == "test") & (archive.frame["view"] == "PA")]
    assert predictions["image_id"].tolist() == sorted(wanted["image_id"])
    assert predictions[list(FINDINGS)].apply(lambda column: column.between(0, 1)).all(axis=None)
    table = pd.read_csv(out / "metrics.csv")
    assert table["finding"].tolist() == [*FINDINGS, "mean"]
    subgroups = pd.read_csv(out / "subgroups.csv")
    assert {"sex", "age", "race"} <= set(subgroups["attribute"])
    flow = pd.read_csv(out / "flow.csv")
    assert flow["images"].iloc[0] == len(archive.frame)
    assert flow["images"].iloc[-1] == len(predictions)
    spec = json.loads((out / "spec.json").read_text())
    assert spec["evaluation"]["images"]["n"] == len(predictions)


def test_the_overall_rows_of_both_tables_are_the_same_numbers(options):
    run_zero_shot.main(ZeroShotConfig(**options))
    table = pd.read_csv(options["out_dir"] / "metrics.csv").set_index("finding")
    subgroups = pd.read_csv(options["out_dir"] / "subgroups.csv")
    overall = subgroups[(subgroups["group"] == "overall") & (subgroups["metric"] == "auroc")].set_index("finding")
    both = [finding for finding in FINDINGS if finding in overall.index]
    assert both
    np.testing.assert_allclose(overall.loc[both, "value"], table.loc[both, "auroc"], rtol=0, atol=1e-12)


def test_the_page_has_the_numbers_of_the_tables_beside_it(options):
    run_zero_shot.main(ZeroShotConfig(**options))
    page = (options["out_dir"] / "report.html").read_text(encoding="utf-8")
    scores = page[page.index('<section id="scores">') : page.index('<section id="groups">')]
    for row in pd.read_csv(options["out_dir"] / "metrics.csv").dropna(subset=["low"]).to_dict("records"):
        line = scores[scores.index(f'<th scope="row">{row["finding"]}</th>') :].split("</tr>")[0]
        assert f"{row['auroc']:.3f} <" in line
        assert f"{row['low']:.3f} to {row['high']:.3f}" in line
    assert "data:image" not in page, "films of patients are not passed on"


def test_results_survive_a_page_that_fails_and_the_page_of_an_earlier_run_does_not(options, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    run_zero_shot.main(ZeroShotConfig(**options | FEW))
    monkeypatch.setattr("wiring.evaluation_report.write_page", full_disk)
    with pytest.raises(OSError, match="no space left"):
        run_zero_shot.main(ZeroShotConfig(**options | FEW | {"seed": 1}))
    out = options["out_dir"]
    assert json.loads((out / "spec.json").read_text())["evaluation"]["interval"]["seed"] == 1
    assert pd.read_csv(out / "metrics.csv")["finding"].tolist() == [*FEW["findings"], "mean"]
    assert not (out / "report.html").exists()


def test_two_runs_give_the_same_bytes_whatever_the_order_of_the_cohort_table(options, archive, tmp_path):
    run_zero_shot.main(ZeroShotConfig(**options))
    table = pd.read_csv(archive.cohort, dtype=str, keep_default_na=False)
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "shuffled.csv", index=False)
    again = options | {"cohort_filepath": tmp_path / "shuffled.csv", "out_dir": tmp_path / "again"}
    run_zero_shot.main(ZeroShotConfig(**again))
    for name in ("predictions.csv", "metrics.csv", "subgroups.csv", "spec.json"):
        assert (options["out_dir"] / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_several_checkpoints_are_averaged(options, other_checkpoint, tmp_path):
    paths = [options["checkpoints"][0], str(other_checkpoint)]
    frames = [
        run_zero_shot.main(
            ZeroShotConfig(**options | {"checkpoints": chosen, "out_dir": tmp_path / str(k)})
        ).predictions
        for k, chosen in enumerate([tuple(paths[:1]), tuple(paths[1:]), tuple(paths)])
    ]
    values = [frame[list(FINDINGS)].to_numpy() for frame in frames]
    np.testing.assert_allclose(values[2], (values[0] + values[1]) / 2, rtol=0, atol=1e-6)


def test_a_perfect_truth_file_scores_one_and_its_constant_column_is_not_evaluable(options, tmp_path):
    first = run_zero_shot.main(ZeroShotConfig(**options)).predictions
    truth = first[["image_id"]].copy()
    truth["Edema"] = (first["Edema"] > first["Edema"].median()).astype(int)
    truth["Fracture"] = 0
    truth.to_csv(tmp_path / "truth.csv", index=False)
    chosen = {"findings": ("Edema", "Fracture"), "truth_filepath": tmp_path / "truth.csv"}
    table = run_zero_shot.main(ZeroShotConfig(**options | chosen)).metrics.set_index("finding")
    assert table.loc["Edema", "auroc"] == 1.0
    assert table.loc["Fracture", "reason"] == "not evaluable: no positives"


def test_two_runs_are_compared_by_the_files_they_leave(options, other_checkpoint, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, checkpoint in zip(folders, (options["checkpoints"][0], str(other_checkpoint)), strict=True):
        run_zero_shot.main(ZeroShotConfig(**options | FEW | {"checkpoints": (checkpoint,), "out_dir": folder}))
    with pytest.raises(ValueError, match=r"models\.0\.weights"):
        compare_results(folders)
    table = compare_results(folders, experiment=["models"])
    assert table["finding"].tolist() == [finding for finding in [*FEW["findings"], "mean"] for _ in folders]
    assert table.loc[table["folder"] == "two", "difference"].notna().any()


def test_truth_csv_holds_labels_and_patients_and_can_be_a_truth_file(options, archive, tmp_path):
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW))
    written = pd.read_csv(options["out_dir"] / "truth.csv", dtype={"subject_id": str})
    patients = archive.frame.set_index("image_id")["subject_id"]
    assert written["subject_id"].tolist() == patients[written["image_id"]].tolist()
    pd.testing.assert_frame_equal(written.drop(columns="subject_id"), results.truth)
    again = {"truth_filepath": options["out_dir"] / "truth.csv", "out_dir": tmp_path / "again"}
    pd.testing.assert_frame_equal(run_zero_shot.main(ZeroShotConfig(**options | FEW | again)).metrics, results.metrics)


def test_images_stored_with_another_side_than_the_model_reads_are_told(options, archive, capsys):
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW | {"fit_split": ""}))
    side = results.spec["evaluation"]["models"][0]["preprocessing"]["image_size"]
    assert results.spec["evaluation"]["images"]["resolution"] == 64
    (note,) = results.notes
    words = f"are 64 px; the model expects {side} px, so they are upscaled, and detail"
    assert words in note
    assert words in capsys.readouterr().out
    for stored in (side, 2 * side):
        pixels = np.repeat(archive.pixels, 4, axis=1).repeat(4, axis=2)[:, :stored, :stored]
        with h5py.File(archive.cxr, "r+") as file:
            del file["cxr"]
            file["cxr"] = pixels
        notes = evaluate(ZeroShotConfig(**options | FEW | {"fit_split": ""})).notes
        assert [note.endswith("so they are downscaled") for note in notes] == ([] if stored == side else [True])


def test_features_are_averaged_on_request_and_the_specification_says_so(options, other_checkpoint):
    both = options | {"checkpoints": (options["checkpoints"][0], str(other_checkpoint)), "ensemble": "features"}
    results = run_zero_shot.main(ZeroShotConfig(**both | FEW))
    said = results.spec["evaluation"]["aggregation"]
    assert (said["checkpoints"], said["order"][0]) == ("normalise, mean, normalise", "checkpoints")
    assert results.predictions[list(FEW["findings"])].notna().all(axis=None)


def flags(options, **changes):
    line = []
    for name, value in (options | changes).items():
        line += [f"--{name}", *(value if isinstance(value, tuple) else () if value is True else (value,))]
    return line


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["run_zero_shot.py", *map(str, arguments)])
    code = run_zero_shot.cli()
    return code, capsys.readouterr().err


def test_the_command_takes_flags_with_underscores(options, monkeypatch, capsys):
    code, errors = run(monkeypatch, capsys, *flags(options, groups=("sex", "age:0,25,+")))
    assert code == 0, errors
    assert (options["out_dir"] / "spec.json").is_file()


def test_help_comes_without_loading_torch():
    check = (
        "import sys, run_zero_shot; sys.argv = ['run_zero_shot.py', '-h']\n"
        "try: run_zero_shot.cli()\n"
        "except SystemExit: print('heavy:', {'torch', 'pandas', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--cxr_filepath" in done.stdout
    assert done.stdout.endswith("heavy: set()\n")


def test_bad_input_is_an_error_with_words_and_leaves_no_files(options, archive, monkeypatch, capsys, tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pt")
    (tmp_path / "truth.csv").write_text("image_id,Edema\nx,1\n")
    cases = [
        ({"checkpoints": (tmp_path / "resnet.pt",)}, "wanted a CLIP vision transformer"),
        ({"checkpoints": (tmp_path / "nothing",)}, "no model at"),
        ({"cxr_filepath": tmp_path / "no.h5"}, "no.h5"),
        ({"cohort_filepath": tmp_path / "no.csv"}, "no.csv"),
        ({"split": "validate"}, "the cohort's splits are: test, train"),
        ({"truth_filepath": tmp_path / "truth.csv"}, "has no column for 'Atelectasis'"),
        ({"findings": ("Pneumonnia",)}, "no prompts for Pneumonnia"),
        ({"prompts": "poetry"}, "no prompt set 'poetry'"),
        ({"groups": ("age",)}, "age needs edges"),
        ({"scoring": "sigmoid"}, "this one has no logit_bias"),
        ({"embeddings": tmp_path / "none.h5"}, "no embeddings at"),
    ]
    for changes, words in cases:
        code, errors = run(monkeypatch, capsys, *flags(options, **changes))
        assert code == 2, changes
        assert errors.startswith("error: "), errors
        assert words in errors
        assert not options["out_dir"].exists()


def test_all_zero_images_are_left_out_and_counted(options, archive):
    row = int(np.flatnonzero((archive.frame["split"] == "test") & (archive.frame["view"] == "PA"))[0])
    before = evaluate(ZeroShotConfig(**options | FEW))
    with h5py.File(archive.cxr, "r+") as file:
        file["cxr"][row] = 0
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW))
    black = archive.frame["image_id"][row]
    assert results.predictions["image_id"].tolist() == [one for one in before.predictions["image_id"] if one != black]
    flow = pd.read_csv(options["out_dir"] / "flow.csv").set_index("reason")
    assert flow.loc["image has a single grey level", "rows"] == 1


def test_wrong_numbers_are_refused_before_anything_is_read(options):
    with pytest.raises(ValueError, match="--checkpoints: wanted one path or more, found none"):
        ZeroShotConfig(**options | {"checkpoints": ()})
    with pytest.raises(ValueError, match="--n_replicates: wanted 40 or more, found 10"):
        ZeroShotConfig(**options | {"n_replicates": 10})


def test_thresholds_and_calibration_come_from_the_validation_split_alone(options, archive, tmp_path):
    frame = archive.frame.copy()
    patients = sorted(set(frame.loc[frame["split"] == "test", "subject_id"]))
    moved = frame["subject_id"].isin(patients[: len(patients) // 2])
    frame.loc[moved, "split"] = "validate"
    write_cohort(frame, tmp_path / "split.csv")
    asked = options | {"cohort_filepath": tmp_path / "split.csv", "findings": ("Edema", "Fracture")}
    results = run_zero_shot.main(ZeroShotConfig(**asked))
    validation = run_zero_shot.main(ZeroShotConfig(**asked | {"split": "validate", "out_dir": tmp_path / "validate"}))
    assert "the split 'validate' is among the images that are scored" in validation.notes[-1]
    for finding, threshold in results.decided.fitted.thresholds.items():
        labels = validation.truth[finding]
        known = labels.notna()
        youden = youden_threshold(labels[known].to_numpy(), validation.predictions[finding][known].to_numpy())
        assert threshold.value == pytest.approx(youden, abs=1e-6)
        assert threshold.n == known.sum()
    folder = options["out_dir"]
    assert json.loads((folder / "thresholds.json").read_text())["Edema"]["fitted_on"] == "validation"
    assert set(json.loads((folder / "calibration.json").read_text())) == {"Edema", "Fracture"}
    assert results.spec["evaluation"]["decisions"]["fitted_on"]["n"] == len(validation.predictions)
    policies = set(pd.read_csv(folder / "subgroups.csv")["threshold_policy"].dropna())
    assert policies == {"youden, fitted-on-validation"}
    run_zero_shot.main(ZeroShotConfig(**asked | {"fit_split": ""}))
    assert not (folder / "thresholds.json").exists()


def test_thresholds_of_a_file_serve_an_archive_without_a_validation_split(options, tmp_path):
    path = tmp_path / "thresholds.json"
    entry = {"policy": "mcc", "fitted_on": "validation", "n": 7, "value": 0.5, "sensitivity": 0.4, "specificity": 0.6}
    path.write_text(json.dumps({"Edema": {**entry, "reason": ""}, "Fracture": {**entry, "reason": ""}}))
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW | {"thresholds": path}))
    row = results.decided.decisions.set_index("finding").loc["Edema"]
    known = results.truth["Edema"].notna()
    called = results.predictions["Edema"][known] >= 0.5
    assert row["policy"] == "mcc, fitted-on-validation"
    assert row["sensitivity"] == pytest.approx(called[results.truth["Edema"][known] == 1].mean())
    assert results.decided.calibration is None
    assert "no calibration: the cohort has no split 'validate'" in results.notes
