"""Result folders side by side: what is refused, and differences against a bootstrap written out."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import run_zero_shot
from common.atomic import write_json
from zero_shot import compare_results, load_prompts, metrics_table
from zero_shot.ensemble import Member
from zero_shot.evaluation.spec import build_spec, hash_of

FINDINGS = ["Edema", "Fracture", "No Finding"]
REPLICATES = 60


def write_folder(folder, *, noise, weights="f" * 64, seed=0, n=240, prompts="radiologist", columns=FINDINGS, **changes):
    """Write what a run leaves: labels are the same for all, scores differ by their noise."""
    rng = np.random.default_rng(0)
    ids, patients = [f"i{k:04d}" for k in range(n)], [f"p{k // 2}" for k in range(n)]
    labels = pd.DataFrame((rng.random((n, 3)) < 0.4).astype(float), columns=FINDINGS)
    signal = labels + np.random.default_rng(1).normal(size=labels.shape)
    scores = (signal + noise * np.random.default_rng(seed + 2).normal(size=labels.shape)).astype(np.float32)
    labels, scores = labels[columns].copy(), scores[columns].copy()
    for table in (labels, scores):
        table.insert(0, "image_id", ids)
    member = Member(
        path=str(folder),
        name="tiny",
        weights=weights,
        architecture="a",
        preprocessing={"image_size": 112},
        logit_scale=20.0 + noise,
        logit_bias=None,
        scores=np.zeros((1, 1), np.float32),
    )
    parts = {
        "scoring": "mixture",
        "images": {"split": "test", "fingerprint": "x"},
        "labels": {"source": "cohort"},
        "interval": {"unit": "patient", "replicates": REPLICATES, "seed": 3, "level": 0.95},
    } | changes
    spec = build_spec([member], load_prompts(prompts).select(columns), **parts)
    table = metrics_table(scores, labels, patients, findings=columns, n_replicates=REPLICATES, seed=3)
    folder.mkdir()
    scores.to_csv(folder / "predictions.csv", index=False)
    labels.assign(subject_id=patients).to_csv(folder / "truth.csv", index=False)
    table.to_csv(folder / "metrics.csv", index=False)
    write_json(folder / "spec.json", spec)
    return folder


@pytest.fixture
def pair(tmp_path):
    return write_folder(tmp_path / "a", noise=0.5), write_folder(tmp_path / "b", noise=0.2, weights="0" * 64)


def bootstrapped(first, other, finding):
    """Return the paired differences with copied rows, patients drawn as `metrics.patient_weights` documents it."""
    tables = [pd.read_csv(folder / "predictions.csv") for folder in (first, other)]
    truth = pd.read_csv(first / "truth.csv")
    own = {patient: rows.to_numpy() for patient, rows in truth.groupby("subject_id").groups.items()}
    patients, labels = np.array(sorted(own)), truth[finding].to_numpy()
    rng, differences = np.random.default_rng(3), []
    for _ in range(REPLICATES):
        drawn = patients[rng.integers(0, len(patients), len(patients))]
        rows = np.concatenate([own[patient] for patient in drawn])
        a, b = (roc_auc_score(labels[rows], table[finding].to_numpy()[rows]) for table in tables)
        differences.append(b - a)
    return np.array(differences)


def test_differences_are_paired_by_patient(pair):
    table = compare_results(pair, experiment=["models"]).set_index(["finding", "folder"])
    edema, fracture = (bootstrapped(*pair, finding) for finding in ("Edema", "Fracture"))
    row = table.loc[("Edema", "b")]
    assert row["difference"] == pytest.approx(row["auroc"] - table.loc[("Edema", "a"), "auroc"], abs=1e-12)
    assert [row["difference_low"], row["difference_high"]] == pytest.approx(
        np.quantile(edema, [0.025, 0.975]), abs=1e-12
    )
    mean = table.loc[("mean", "b")]
    expected = np.quantile((edema + fracture) / 2, [0.025, 0.975])
    assert [mean["difference_low"], mean["difference_high"]] == pytest.approx(expected, abs=1e-12)
    # What both share cancels: the difference is known better than either figure.
    assert row["difference_high"] - row["difference_low"] < row["high"] - row["low"]
    assert (row["difference_reason"], table.loc[("No Finding", "b"), "difference_reason"]) == ("", "")


def test_the_figures_shown_are_those_of_metrics_csv(pair):
    table = compare_results(pair, experiment=["models"])
    assert table["finding"].tolist() == [name for name in [*FINDINGS, "mean"] for _ in pair]
    for folder in pair:
        shown = table[table["folder"] == folder.name].set_index("finding")
        written = pd.read_csv(folder / "metrics.csv").set_index("finding")
        pd.testing.assert_frame_equal(shown[["n", "auroc", "low"]], written[["n", "auroc", "low"]], check_exact=True)


def test_a_folder_compared_with_a_copy_of_itself_differs_by_zero(tmp_path):
    folders = [write_folder(tmp_path / name, noise=0.3) for name in "abc"]
    table = compare_results(folders)
    others = table[table["folder"] != "a"]
    assert (others[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert len(others) == 8


def test_the_order_of_rows_in_the_files_does_not_matter(pair):
    before = compare_results(pair, experiment=["models"])
    for name in ("predictions", "truth"):
        path = pair[1] / f"{name}.csv"
        pd.read_csv(path).sample(frac=1, random_state=len(name)).to_csv(path, index=False)
    pd.testing.assert_frame_equal(compare_results(pair, experiment=["models"]), before, check_exact=True)


@pytest.mark.parametrize(
    ("changes", "experiment", "words"),
    [
        (
            {"weights": "0" * 64},
            [],
            r'models\.0\.weights: "f+\.\.\. in a, "0+\.\.\. in b\n.* say so: --experiment models',
        ),
        ({"scoring": "chexzero"}, ["models"], r'scoring: "mixture" in a, "chexzero" in b'),
        ({"scoring": "temperature", "weights": "0" * 64}, ["scoring"], "models.0.weights"),
        ({"prompts": "chexzero"}, ["scoring"], r"prompts\.Edema\.positive: \[.* in a, .* in b"),
        ({"images": {"split": "all", "fingerprint": "y"}}, ["models"], r'images\.fingerprint: "x" in a, "y" in b'),
        ({"images": {"split": "test"}}, [], r'images\.fingerprint: "x" in a, "\(absent\)" in b'),
        ({"labels": {"fingerprint": "y"}}, ["models"], r"labels\.fingerprint"),
        ({"averaged": "features"}, [], r"aggregation\.checkpoints"),
        ({"columns": ["Edema"]}, [], r"findings: .*"),
    ],
)
def test_specifications_that_differ_in_more_than_the_experiment_are_refused(tmp_path, changes, experiment, words):
    folders = write_folder(tmp_path / "a", noise=0.0), write_folder(tmp_path / "b", noise=0.0, **changes)
    with pytest.raises(ValueError, match=f"(?s)not made under one specification:.*{words}"):
        compare_results(folders, experiment=experiment)


@pytest.mark.parametrize(
    ("changes", "experiment"),
    [
        ({"weights": "0" * 64}, ["models"]),
        ({"weights": "0" * 64, "noise": 0.7}, ["models"]),
        ({"weights": "0" * 64}, ["models.0.weights"]),
        ({"scoring": "chexzero"}, ["scoring"]),
        ({"prompts": "chexzero"}, ["prompts"]),
        ({"scoring": "chexzero", "prompts": "chexzero"}, ["scoring", "prompts"]),
        ({"images": {"split": "all", "fingerprint": "x"}}, []),
        ({"labels": {"source": "truth file"}}, []),
    ],
)
def test_the_difference_that_is_the_experiment_is_allowed_with_what_follows_from_it(tmp_path, changes, experiment):
    second = write_folder(tmp_path / "b", **{"noise": 0.0} | changes)
    assert len(compare_results([write_folder(tmp_path / "a", noise=0.0), second], experiment=experiment)) == 8


def test_other_images_have_no_paired_difference_and_the_table_says_why(tmp_path):
    other = write_folder(tmp_path / "b", noise=0.0, n=200, images={"split": "all"})
    table = compare_results([write_folder(tmp_path / "a", noise=0.0), other], experiment=["images"])
    rows = table[table["folder"] == "b"]
    assert set(rows["difference_reason"]) == {"not the same images: no paired difference"}
    assert rows["difference"].isna().all()
    assert rows["auroc"].notna().all()


def test_a_finding_of_one_folder_only_has_no_difference(tmp_path):
    first = write_folder(tmp_path / "a", noise=0.0, columns=["Edema", "No Finding"])
    both = [first, write_folder(tmp_path / "b", noise=0.0)]
    table = compare_results(both, experiment=["findings", "prompts"]).set_index(["finding", "folder"])
    assert table.loc[("Fracture", "b"), "difference_reason"] == "a does not have it"
    assert table.loc[("Edema", "b"), "difference"] == 0


def rewrite(path, change):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table).to_csv(path, index=False)


def test_folders_that_cannot_be_believed_are_refused(pair):
    first, other = pair

    def refused(words, error=ValueError, folders=pair, experiment=("models",)):
        with pytest.raises(error, match=words):
            compare_results(folders, experiment=experiment)

    refused("wanted two result folders or more to compare, found 1", folders=[first])
    refused("no specification has modles; the experiment can be: aggregation, ", experiment=["modles"])
    spec = json.loads((other / "spec.json").read_text())
    write_json(other / "spec.json", spec | {"evaluation": spec["evaluation"] | {"scoring": "single"}})
    refused("spec.json was edited: its hash does not match its content")
    write_json(other / "spec.json", spec)
    rewrite(other / "truth.csv", lambda table: table.assign(subject_id="p0"))
    refused("a and b give image i0002 to different patients")
    rewrite(other / "truth.csv", lambda table: table.iloc[1:])
    refused(r"b: predictions.csv and truth.csv are not of the same images")
    rewrite(other / "predictions.csv", lambda table: table.assign(image_id="i0001"))
    refused(r"predictions.csv: 1 image ids occur more than once, first i0001")
    (other / "truth.csv").unlink()
    refused("b lacks truth.csv: wanted a folder that run_zero_shot.py wrote", error=FileNotFoundError)


def test_the_hash_that_is_checked_is_the_one_that_is_written(pair):
    spec = json.loads((pair[0] / "spec.json").read_text())
    assert hash_of(spec["evaluation"]) == spec["hash"]


def test_the_command_prints_figures_and_differences_side_by_side(pair, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_zero_shot.py", "compare", *map(str, pair), "--experiment", "models"])
    assert run_zero_shot.cli() == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["a", "b", "b", "-", "a"]
    table = compare_results(pair, experiment=["models"]).set_index(["finding", "folder"])
    row = table.loc[("Edema", "b")]
    wanted = f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
    assert lines[0].startswith("Edema")
    assert wanted in lines[0]
    monkeypatch.setattr(sys, "argv", ["run_zero_shot.py", "compare", *map(str, pair)])
    assert run_zero_shot.cli() == 2
    assert "error: the results were not made under one specification" in capsys.readouterr().err
