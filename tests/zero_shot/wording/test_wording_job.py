"""The command: prompts and names on planted films, of models that read them well or badly."""

import json

import pandas as pd
import pytest

from cohort import open_images
from zero_shot import image_features, prompt_sensitivity
from zero_shot.images import as_images
from zero_shot.wording.families import load_family
from zero_shot.wording.sensitivity import all_prompts, encode_prompts

FINDINGS = ["Pleural Effusion", "Pneumothorax", "Cardiomegaly"]
SETS = ["radiologist", "sentence", "chexzero"]


def test_the_tables_are_those_of_the_functions_for_two_models(planted_archive, run_job, tmp_path):
    code, out, errors = run_job(
        "wording", "--checkpoints", "understands", "likes_to_affirm", *planted_archive.flags, "--truth_filepath",
        planted_archive.truth, "--findings", *FINDINGS, "--prompt_sets", *SETS, "--seed", "2",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    planted, truth = planted_archive.planted, pd.read_csv(planted_archive.truth)
    prompts = all_prompts([load_family(name) for name in SETS], FINDINGS)
    encoded = {}
    with open_images(tmp_path / "cxr.h5") as store:
        for name in ("understands", "likes_to_affirm"):
            bundle, images = planted.planted_bundle(getattr(planted, name)), as_images(store)
            encoded[name] = encode_prompts(bundle, image_features(bundle, images), images.ids, prompts)
    truth = truth.sort_values("image_id", ignore_index=True)
    patients = [f"p{k // 2}" for k in range(len(truth))]
    wanted = prompt_sensitivity(encoded, prompts, truth, patients, n_replicates=40, seed=2)
    for file, table in (("prompts", wanted.prompts), ("prompt_sensitivity", wanted.summary), ("rank_flips", wanted.flips)):  # fmt: skip
        written = pd.read_csv(tmp_path / f"out/{file}.csv", keep_default_na=False, na_values=[""])
        for column in table.select_dtypes("number"):
            pd.testing.assert_series_equal(written[column], table[column], check_dtype=False)
        assert list(written.columns) == list(table.columns)
    summary = wanted.summary.set_index(["model", "finding"])
    assert summary.loc[("understands", "Pneumothorax"), "max"] == 1.0
    assert summary.loc[("likes_to_affirm", "Pneumothorax"), "max"] < 0.6  # it sees nothing of the film but its length
    assert len(wanted.flips) == len(FINDINGS) + 1
    assert "share: prompts under which" in out


def test_a_name_that_the_model_does_not_know_ranks_by_chance(planted_archive, run_job, tmp_path):
    names = {"Pneumothorax": ["pneumothorax", "collapsed lung"], "Cardiomegaly": ["cardiomegaly"]}
    (tmp_path / "names.json").write_text(json.dumps(names))
    code, out, errors = run_job(
        "wording", "--checkpoints", "understands", *planted_archive.flags, "--findings", *FINDINGS, "--prompt_sets",
        "radiologist", "--alternatives", tmp_path / "names.json",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    table = pd.read_csv(tmp_path / "out/alternatives.csv").set_index(["finding", "alternative"])
    assert set(table["model"]) == {"understands"}
    assert table["auroc"].to_dict() == {
        ("Pneumothorax", "pneumothorax"): 1.0,
        ("Pneumothorax", "collapsed lung"): 0.5,
        ("Cardiomegaly", "cardiomegaly"): 1.0,
    }
    k = planted_archive.planted.FINDINGS.index("Pneumothorax")
    assert table.loc[("Pneumothorax", "pneumothorax"), "n_pos"] == planted_archive.present[:, k].sum()
    best = pd.read_csv(tmp_path / "out/alternatives_summary.csv").set_index("finding")
    assert best.loc["Pneumothorax", "best_alternative"] == "pneumothorax"
    assert pd.read_csv(tmp_path / "out/rank_flips.csv").empty
    assert "collapsed lung" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt_sets", "chexzero"], "--main_set: wanted one of --prompt_sets, found 'radiologist'"),
        (["--prompt_sets", "radiologist", "rhymes"], "no prompt set 'rhymes'"),
        (["--findings", "Gout"], "Gout"),
        (["--alternatives", "none.json"], "--alternatives: wanted a JSON file, found none at none.json"),
        (["--n_replicates", "3"], "--n_replicates: wanted 40 or more, found 3"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_2_and_leaves_nothing(planted_archive, run_job, tmp_path, flags, message):
    code, _, errors = run_job("wording", "--checkpoints", "understands", *planted_archive.flags, *flags)
    assert code == 2
    assert message in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"Edema": "edema"}', "{"])
def test_a_file_of_names_that_is_none_is_refused(planted_archive, run_job, tmp_path, content):
    (tmp_path / "names.json").write_text(content)
    flags = [*planted_archive.flags, "--alternatives", tmp_path / "names.json"]
    code, _, errors = run_job("wording", "--checkpoints", "understands", *flags)
    assert code == 2
    assert "--alternatives: wanted" in errors


def test_one_model_cannot_be_given_twice(planted_archive, run_job):
    code, _, errors = run_job("wording", "--checkpoints", "a", "a", *planted_archive.flags)
    assert (code, errors) == (2, "error: --checkpoints: wanted one path or more, each once, found ['a', 'a']\n")
