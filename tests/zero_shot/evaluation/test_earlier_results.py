"""What may replace earlier results, what the hash of a specification covers, and images without ids."""

import json
import subprocess
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import models
import run_zero_shot
from cohort import write_cohort
from zero_shot import ZeroShotConfig, load_prompts, score
from zero_shot.evaluation.results import run as evaluate
from zero_shot.localisation.heatmaps import HeatmapConfig
from zero_shot.probing.probe_job import ProbeConfig
from zero_shot.retrieve_job import RetrieveConfig
from zero_shot.wording.wording_job import WordingConfig

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


def test_results_of_another_specification_are_refused_with_what_differs_and_stay(options, tmp_path, other_checkpoint):
    """The settings are compared before a model is loaded, the models after it; the same command may be run again."""
    kept = options | FEW | {"overwrite": False}
    run_zero_shot.main(ZeroShotConfig(**kept))
    files = {path: path.read_bytes() for path in options["out_dir"].iterdir()}
    run_zero_shot.main(ZeroShotConfig(**kept))
    for change, words in (
        ({"seed": 1}, "interval.seed: 0 there, 1 here"),
        ({"groups": ("race",)}, 'subgroups.groups.0: "sex" there, "race" here'),
        ({"checkpoints": (str(other_checkpoint),)}, "models.0.weights: "),
    ):
        with pytest.raises(ValueError, match=r"found those of another \(give another --name") as error:
            run_zero_shot.main(ZeroShotConfig(**kept | change))
        assert words in str(error.value)
        assert {path: path.read_bytes() for path in options["out_dir"].glob("*.csv")} == {
            path: content for path, content in files.items() if path.suffix == ".csv"
        }
    run_zero_shot.main(ZeroShotConfig(**kept | {"seed": 1, "overwrite": True}))
    assert json.loads((options["out_dir"] / "spec.json").read_text())["evaluation"]["interval"]["seed"] == 1


def test_a_result_is_named_after_its_checkpoint():
    folders = {
        ("runs/a",): "a",
        ("runs/a/checkpoints/step_000100",): "a_step_000100",
        ("b/checkpoints/step_000100",): "b_step_000100",
        ("weights/best.pt",): "best",
        ("ViT-B-32:openai",): "ViT-B-32_openai",
        ("z.pt", "y.pt", "x.pt"): "x_and_2_more",
    }
    for checkpoints, name in folders.items():
        assert ZeroShotConfig(checkpoints=checkpoints).folder == Path("predictions") / name
    assert ZeroShotConfig(checkpoints=("a",), name="own").folder == Path("predictions/own")


def test_everything_that_moves_a_number_is_in_the_hash_and_names_are_not(options, archive, tmp_path):
    def spec_hash(**changes):
        return evaluate(ZeroShotConfig(**options | FEW | changes)).spec["hash"]

    base = spec_hash()
    shipped = Path(run_zero_shot.__file__).parent / "zero_shot/prompt_sets/radiologist.json"
    (tmp_path / "renamed.json").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    assert spec_hash(prompts=str(tmp_path / "renamed.json")) == base
    assert spec_hash(groups=("race",)) != base
    cohorts = {
        "patients": archive.frame.assign(subject_id=archive.frame["image_id"], study_id=archive.frame["image_id"]),
        "sex": archive.frame.assign(sex="F"),
    }
    for name, frame in cohorts.items():
        write_cohort(frame, tmp_path / f"{name}.csv")
        assert spec_hash(cohort_filepath=tmp_path / f"{name}.csv") != base, name
    entry = {"policy": "mcc", "fitted_on": "validation", "n": 7, "sensitivity": 0.4, "specificity": 0.6, "reason": ""}
    hashes = set()
    for value in (0.4, 0.5):
        path = tmp_path / f"{value}.json"
        path.write_text(json.dumps({finding: {**entry, "value": value} for finding in FEW["findings"]}))
        hashes.add(spec_hash(thresholds=path))
    assert len(hashes | {base}) == 3


def test_without_thresholds_no_rate_is_computed_on_the_scored_images(options):
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW))
    assert results.decided.fitted is None
    subgroups = pd.read_csv(options["out_dir"] / "subgroups.csv")
    rates = subgroups[subgroups["metric"].isin(["tpr", "fpr"])]
    assert len(rates)
    assert rates[["threshold", "value", "low", "high"]].isna().all(axis=None)
    assert "fitted-on-test" not in set(subgroups["threshold_policy"])


def test_thresholds_of_other_prompts_are_refused_and_of_unknown_origin_noted(options, archive, tmp_path):
    frame = archive.frame.copy()
    patients = sorted(set(frame.loc[frame["split"] == "test", "subject_id"]))
    frame.loc[frame["subject_id"].isin(patients[:4]), "split"] = "validate"
    write_cohort(frame, tmp_path / "split.csv")
    fitted = options | FEW | {"cohort_filepath": tmp_path / "split.csv", "out_dir": tmp_path / "fitted"}
    run_zero_shot.main(ZeroShotConfig(**fitted))
    path = tmp_path / "fitted/thresholds.json"

    again = options | FEW | {"thresholds": path}
    assert not [note for note in evaluate(ZeroShotConfig(**again)).notes if note.startswith("--thresholds")]
    with pytest.raises(ValueError, match=r"fitted on scores of another scale.*\n  prompts\.Edema\.negative"):
        evaluate(ZeroShotConfig(**again | {"prompts": "chexzero"}))
    with pytest.raises(ValueError, match='scoring: "mixture" there, "temperature" here'):
        evaluate(ZeroShotConfig(**again | {"scoring": "temperature"}))
    write_cohort(archive.frame.assign(dataset="nih"), tmp_path / "nih.csv")
    (note,) = (
        one
        for one in evaluate(ZeroShotConfig(**again | {"cohort_filepath": tmp_path / "nih.csv"})).notes
        if one.startswith("--thresholds")
    )
    assert note.endswith("fitted on images of ?, used on images of nih")
    (tmp_path / "fitted/spec.json").unlink()
    assert any("no spec.json beside it says" in note for note in evaluate(ZeroShotConfig(**again)).notes)
    with pytest.raises(ValueError, match="--threshold_policy mcc: has no effect with --thresholds"):
        ZeroShotConfig(**again | {"threshold_policy": "mcc"})


def test_a_file_of_chexzero_is_scored_by_row_without_a_cohort(options, archive, tmp_path):
    """Position is the only link: the AUROC is sklearn's, of the scores and labels in file order."""
    n = len(archive.frame)
    with h5py.File(tmp_path / "chexzero.h5", "w") as file:
        file.create_dataset("cxr", data=archive.pixels.astype(np.float32))
    labels = np.random.default_rng(3).integers(0, 2, (n, 2))
    truth = pd.DataFrame(labels, columns=["Edema", "Fracture"])
    truth.insert(0, "Study", [f"CheXpert-v1.0/test/patient{64740 + k // 2}/study{1 + k % 2}" for k in range(n)])
    truth.to_csv(tmp_path / "groundtruth.csv", index=False)
    by_row = {"cxr_filepath": tmp_path / "chexzero.h5", "cohort_filepath": None}
    by_row |= {"truth_filepath": tmp_path / "groundtruth.csv"}
    results = run_zero_shot.main(ZeroShotConfig(**options | FEW | by_row))

    bundle, prompts = models.load(options["checkpoints"][0]), load_prompts("radiologist").select(FEW["findings"])
    scores = score(bundle, archive.pixels, prompts)
    table = results.metrics.set_index("finding")
    for column, finding in enumerate(FEW["findings"]):
        assert table.loc[finding, "auroc"] == pytest.approx(roc_auc_score(labels[:, column], scores[:, column]))
    assert results.cohort["subject_id"].nunique() == n // 2
    assert any("rows are joined by position" in note for note in results.notes)

    truth.iloc[:-1].to_csv(tmp_path / "groundtruth.csv", index=False)
    with pytest.raises(ValueError, match=r"groundtruth.csv has 47 rows, but .*chexzero.h5 has 48 images"):
        evaluate(ZeroShotConfig(**options | FEW | by_row))
    few = archive.frame.iloc[:42].assign(h5_row=range(42))
    write_cohort(few, tmp_path / "few.csv")
    with pytest.raises(ValueError, match="has 48 rows and no ids, but the cohort table names 42 rows by 42 images"):
        evaluate(ZeroShotConfig(**options | FEW | {**by_row, "cohort_filepath": tmp_path / "few.csv"}))


def test_one_patient_gives_no_interval_anywhere(options, archive, tmp_path):
    write_cohort(archive.frame.assign(subject_id="test", split="test"), tmp_path / "one.csv")
    one = {"cohort_filepath": tmp_path / "one.csv", "fit_split": ""}
    table = run_zero_shot.main(ZeroShotConfig(**options | FEW | one)).metrics.set_index("finding")
    assert table.loc["Edema", "auroc"] == table.loc["Edema", "auroc"]
    assert table[["low", "high", "auprc_low", "auprc_high"]].isna().all(axis=None)
    assert table.loc["Edema", "reason"].startswith("no interval: 1 patient (wanted 10)")


def test_default_folders_of_results_are_ignored_by_git():
    """Predictions and heatmaps show patients: `git add .` must not take them."""
    configs = (HeatmapConfig, ProbeConfig, RetrieveConfig, WordingConfig)
    folders = [one.default for config in configs for one in fields(config) if one.name == "out_dir"]
    folders += [ZeroShotConfig(checkpoints=("runs/a",)).folder, Path("runs/a"), Path("data/x"), Path("audits/x")]
    for folder in folders:
        done = subprocess.run(["git", "check-ignore", "-q", str(folder / "x.png")], cwd=ROOT, check=False)
        assert done.returncode == 0, folder
