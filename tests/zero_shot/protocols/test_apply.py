"""A protocol applied: flags, images, deviations, and whole runs on miniatures of every archive."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import run_zero_shot
from cohort import read_cohort
from zero_shot import load_prompts
from zero_shot.evaluation.results import run
from zero_shot.protocols import apply_protocol, load_protocol, protocol_names
from zero_shot.protocols.apply import settle

DATASETS = {
    "chexpert-5x200": "chexpert",
    "chexpert-test-5": "chexpert-test",
    "chexpert-test-14": "chexpert-test",
    "mimic-cxr-test": "mimic-cxr-jpg",
    "mimic-cxr-test-radiologist": "mimic-cxr-jpg",
    "nih14": "nih",
    "openi": "openi",
    "padchest": "padchest",
    "padchest-20": "padchest",
    "padchest-seen": "padchest",
    "padchest-unseen": "padchest",
    "rsna": "rsna",
    "siim": "siim",
    "vindr-cxr": "vindr-cxr",
    "vindr-pcxr": "vindr-pcxr",
}


def applied(config):
    return apply_protocol(config, read_cohort(config.cohort_filepath))


def expected_images(name, frame):
    """Which images a protocol scores, by hand."""
    if name.startswith("padchest"):
        return frame[frame["label_method"] == "Physician"]
    if name in ("nih14", "vindr-cxr", "vindr-pcxr"):
        return frame[frame["split_official"] == "test"]
    if name == "mimic-cxr-test":
        return frame[(frame["split"] == "test") & frame["view"].isin(["PA", "AP"])]
    return frame


def label_file(name, archive, write_lines, folder):
    """Return the file of a protocol whose labels are in no cohort table, and the images that it is about."""
    protocol = load_protocol(name)
    if name == "mimic-cxr-test-radiologist":
        frame = archive.frame[(archive.frame["split"] == "test") & archive.frame["view"].isin(["PA", "AP"])]
        studies = sorted(set(frame["study_id"]))[1:]
        rows = [
            {"study_id": s, **{f: int((k + j) % 2) for j, f in enumerate(protocol.findings)}}
            for k, s in enumerate(studies)
        ]
        return write_lines(folder / "labels.csv", rows), frame[frame["study_id"].isin(studies)]
    chosen = archive.frame.iloc[:10]
    rows = [
        {"image_id": image, **{f: int(k % 5 == j) for j, f in enumerate(protocol.findings)}}
        for k, image in enumerate(chosen["image_id"])
    ]
    return write_lines(folder / "labels.csv", rows), chosen


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_runs_from_the_archive_to_the_published_figures(
    name, config, packed, altered, write_lines, toy, tmp_path
):
    archive, shipped = packed(DATASETS[name]), load_protocol(name)
    options, chosen, path = {}, expected_images(name, archive.frame), name
    if shipped.labels.needs_file:
        options["truth_filepath"], chosen = label_file(name, archive, write_lines, tmp_path)
    if shipped.labels.per_class:
        path = altered(name, labels={"per_class": 2})
    results = run(config(path, DATASETS[name], checkpoints=(str(toy),), **options))
    assert results.predictions["image_id"].tolist() == sorted(chosen["image_id"])
    wanted = shipped.findings or load_prompts(shipped.prompts).findings
    assert results.findings == list(wanted) or shipped.rarest
    note = results.spec["protocol"]
    assert note["name"] == name
    whole = f"instead of the published {shipped.n or 0:,}"
    assert (whole in " ".join(note["deviations"])) == (shipped.n is not None)
    assert ("list_sha256" in note) == (shipped.labels.form == "image list")
    assert "protocol_sha256" in note
    labels = results.spec["evaluation"]["labels"]
    assert labels["uncertainty_policy"] == shipped.labels.uncertainty_policy
    assert labels["blank_is_zero"] == shipped.labels.blank_is_zero
    headline = results.beside[results.beside["of"] == shipped.headline.name]
    assert len(headline) >= 1
    systems = {reference.system for reference in shipped.references}
    assert systems <= set(results.beside["system"])


def test_a_run_prints_and_saves_what_was_set_deviated_from_and_published(config, toy, capsys):
    asked = config("nih14", "nih", checkpoints=(str(toy),), views="frontal", findings=("Effusion", "Mass"))
    run_zero_shot.main(asked)
    printed = capsys.readouterr().out
    spec = json.loads((asked.folder / "spec.json").read_text())["protocol"]
    deviations = " ".join(spec["deviations"])
    assert "--findings Effusion Mass instead of Atelectasis Cardiomegaly" in deviations
    assert "images instead of the published 25,596" in deviations
    for line in spec["deviations"]:
        assert f"deviation: {line}" in printed
    assert spec["settings"]["prompts"] == "nih14"
    assert "it sets --prompts nih14" in printed
    published = pd.read_csv(asked.folder / "published.csv")
    chexzero = published[published["system"] == "CheXzero"].iloc[0]
    assert (chexzero["published"], chexzero["evidence"]) == (0.6699, "published")
    assert np.isnan(chexzero["measured"])
    assert chexzero["note"].startswith("not evaluable: not scored: Atelectasis, Cardiomegaly")
    assert "0.670" in printed
    assert chexzero["caveat"] in printed
    assert "say nothing" in printed or "says nothing" in printed


def test_flags_at_their_default_are_set_and_others_stand_as_deviations(config):
    protocol = load_protocol("mimic-cxr-test")
    settled, settings, deviations = settle(config("mimic-cxr-test", "mimic-cxr-jpg"), protocol)
    assert settings == {"prompts": "chexzero", "findings": protocol.findings, "blank_is_zero": True}
    assert (settled.prompts, settled.findings, settled.blank_is_zero) == ("chexzero", protocol.findings, True)
    assert deviations == []
    asked = config("mimic-cxr-test", "mimic-cxr-jpg", views="all", uncertainty_policy="U-ones", split="validate")
    settled, _, deviations = settle(asked, protocol)
    assert (settled.views, settled.uncertainty_policy, settled.split) == ("all", "U-ones", "validate")
    assert deviations == [
        "--split validate instead of test",
        "--views all instead of frontal",
        "--uncertainty_policy U-ones instead of U-ignore",
    ]


def test_a_flag_that_repeats_the_protocol_is_no_deviation(config):
    protocol = load_protocol("mimic-cxr-test")
    asked = config("mimic-cxr-test", "mimic-cxr-jpg", prompts="chexzero", findings=protocol.findings)
    assert settle(asked, protocol)[1:] == ({"blank_is_zero": True}, [])


def test_a_policy_that_the_labels_have_no_use_for_is_refused(config):
    with pytest.raises(ValueError, match="--uncertainty_policy has no effect: the labels of protocol nih14 are 1 or 0"):
        settle(config("nih14", "nih", uncertainty_policy="U-ones"), load_protocol("nih14"))


def test_labels_of_the_users_own_are_used_and_are_a_deviation(config, packed, write_lines, tmp_path):
    frame = packed("rsna").frame
    rows = [{"image_id": image, "Pneumonia": k % 2} for k, image in enumerate(frame["image_id"])]
    found = applied(config("rsna", "rsna", truth_filepath=write_lines(tmp_path / "mine.csv", rows)))
    assert found.deviations[0].startswith("labels of mine.csv instead of: Target")
    assert found.truth(frame, ("Pneumonia",))["Pneumonia"].tolist() == [float(row["Pneumonia"]) for row in rows]
    with pytest.raises(ValueError, match="has no labels for 1 of the protocol's images"):
        applied(config("rsna", "rsna", truth_filepath=write_lines(tmp_path / "mine.csv", rows[1:])))


def test_the_rarest_findings_are_counted_in_the_protocols_images(config, packed, altered):
    frame = packed("padchest").frame
    physician = frame[(frame["label_method"] == "Physician") & frame["own_labels"].ne("")]
    terms = [term for text in physician["own_labels"] for term in text.split("|")]
    known = set(load_prompts("padchest").findings)
    by_count = sorted({(terms.count(term), term) for term in terms if term in known})
    found = applied(config(altered("padchest-20", rarest=3), "padchest"))
    assert found.config.findings == tuple(term for _, term in by_count[:3])
    assert found.deviations == ()
    everything = applied(config("padchest-20", "padchest"))
    assert everything.config.findings == tuple(term for _, term in by_count)
    assert everything.deviations == (f"only {len(by_count)} findings occur at all, instead of 20",)


def test_an_uncertain_label_and_a_blank_one_follow_the_protocol(config, packed):
    cohort = packed("mimic-cxr-jpg").frame.copy()
    fourteen = list(load_protocol("chexpert-test-14").findings)
    cohort.loc[::3, "Pneumonia"] = -1.0
    cohort.loc[1, fourteen] = np.nan
    asked = config("mimic-cxr-test", "mimic-cxr-jpg", findings=("Pneumonia", "Edema"))
    truth = apply_protocol(asked, cohort).truth(cohort, ("Pneumonia", "Edema")).set_index("image_id")
    for row in cohort.to_dict("records"):
        labelled = any(not np.isnan(row[finding]) for finding in fourteen)
        expected = {1.0: 1.0, 0.0: 0.0, -1.0: np.nan}.get(row["Pneumonia"], 0.0 if labelled else np.nan)
        np.testing.assert_equal(truth.loc[row["image_id"], "Pneumonia"], expected)


def test_images_of_other_archives_and_labellers_are_left_out_with_the_reason(config, packed):
    cohort = packed("padchest").frame.copy()
    cohort.loc[0, "dataset"] = "nih"
    found = apply_protocol(config("padchest", "padchest"), cohort)
    network = cohort.index[cohort["label_method"].ne("Physician") & cohort.index.to_series().ne(0)]
    assert found.left_out == {cohort["image_id"][0]: "not of padchest"} | dict.fromkeys(
        cohort["image_id"][network], "label_method is not Physician"
    )
    with pytest.raises(ValueError, match="protocol rsna is for rsna; the cohort table's dataset is padchest"):
        applied(config("rsna", "padchest"))
    with pytest.raises(
        ValueError, match=r"no column label_method; preprocess the archive with --dataset_type padchest"
    ):
        apply_protocol(config("padchest", "padchest"), cohort.drop(columns="label_method"))


def test_a_study_is_scored_once(config, packed):
    found = applied(config("chexpert-test-5", "chexpert-test"))
    chosen = packed("chexpert-test").frame
    assert found.selected(chosen).deviations == (f"{len(chosen)} studies instead of the published 500",)
    twice = pd.concat([chosen, chosen.iloc[:1]])
    with pytest.raises(
        ValueError, match=re.escape(f"1 studies have several images in the cohort table, first {chosen['study_id'][0]}")
    ):
        found.selected(twice)


def test_the_whole_published_list_is_no_deviation(config, packed, altered):
    n = int(packed("nih").frame["split"].eq("test").sum())
    chosen = packed("nih").frame[packed("nih").frame["split"].eq("test")]
    assert applied(config(altered("nih14", n=n), "nih")).selected(chosen).deviations == ()


def test_prompts_without_a_finding_of_the_protocol_are_refused_by_name(config):
    with pytest.raises(ValueError, match="has no prompts for Effusion"):
        run(config("nih14", "nih", prompts="chexzero"))


def test_a_cohort_without_any_label_is_refused_rather_than_scored_against_nothing(config, packed):
    cohort = packed("chexpert-test").frame.copy()
    asked = config("chexpert-test-5", "chexpert-test")
    cohort[list(load_protocol("chexpert-test-14").findings)] = np.nan
    with pytest.raises(ValueError, match=r"none of its images has a label \(groundtruth\.csv: majority"):
        apply_protocol(asked, cohort)


def test_long_lists_of_findings_are_counted_in_print_and_whole_in_the_record(config):
    found = applied(config("padchest-unseen", "padchest"))
    assert "--findings (138 of them, see spec.json)" in str(found)
    assert len(found.to_json()["settings"]["findings"]) == 138
