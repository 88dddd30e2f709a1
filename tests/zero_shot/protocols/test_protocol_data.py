"""The shipped protocols: complete, consistent with each other and with their own arithmetic."""

import json
import math
import re

import pytest

from cohort.sources.label_map import read_label_map
from metrics.evidence import MEAN
from zero_shot import load_prompts
from zero_shot.protocols import load_protocol, protocol_names
from zero_shot.protocols.protocol import DATA

NAMES = protocol_names()
EVIDENCE = {"code", "csv", "measured", "published", "second-hand", "memory", "derived"}


def test_every_protocol_that_was_promised_is_there():
    wanted = {"chexpert-test-5", "chexpert-test-14", "nih14", "padchest", "padchest-20", "padchest-seen"}
    wanted |= {
        "padchest-unseen",
        "vindr-cxr",
        "vindr-pcxr",
        "rsna",
        "siim",
        "mimic-cxr-test",
        "openi",
        "chexpert-5x200",
    }
    assert wanted <= set(NAMES)
    assert all(load_protocol(name).name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_published_figure_names_its_evidence_its_source_and_a_caveat(name):
    for entry in json.loads((DATA / f"{name}.json").read_text()).get("references", []):
        assert entry["evidence"] in EVIDENCE
        assert len(entry["source"]) > 3
        assert len(entry["caveat"]) > 10


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_proportions_inside_their_intervals_and_of_findings_that_are_scored(name):
    protocol = load_protocol(name)
    scored = set(protocol.findings or load_prompts(protocol.prompts).findings)
    for reference in protocol.references:
        assert set(reference.figures) <= {MEAN, *scored}
        for value in reference.figures.values():
            figure, low, high = value if isinstance(value, tuple) else (value, value, value)
            assert 0 <= low <= figure <= high <= 1
        for least, (count, among) in reference.counts.items():
            assert 0 <= least <= 1
            assert 0 < count <= among


def printed(value):
    """Return a figure and half of its last printed place."""
    figure = value[0] if isinstance(value, tuple) else value
    return figure, 0.5 * 10.0 ** -len(str(figure).split(".")[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_published_mean_is_the_mean_of_its_findings_to_rounding(name):
    protocol = load_protocol(name)
    checked = 0
    for reference in protocol.references:
        findings = [finding for finding in protocol.headline.findings if finding in reference.figures]
        if MEAN not in reference.figures or not findings or len(findings) < len(protocol.headline.findings):
            continue
        figures, halves = zip(*(printed(reference.figures[finding]) for finding in findings), strict=True)
        mean, half = printed(reference.figures[MEAN])
        # Each finding may be off by half of its last place, and their mean by as much.
        assert math.isclose(mean, sum(figures) / len(figures), abs_tol=half + sum(halves) / len(halves)), reference
        checked += 1
    # CheXzero twice as AUROC and once as MCC and F1, the radiologists' MCC and F1; CheXzero on MIMIC.
    assert checked == {"chexpert-test-5": 6, "mimic-cxr-test": 1}.get(name, 0)


def test_the_derived_mean_of_the_notebooks_thirteen_is_their_mean():
    notebook, _, derived, *_ = load_protocol("chexpert-test-14").references
    figures = [value[0] for value in notebook.figures.values()]
    assert len(figures) == 13
    assert derived.evidence == "derived"
    assert derived.figures[MEAN] == round(sum(figures) / 13, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_has_prompts_and_every_spelling_is_used(name):
    protocol = load_protocol(name)
    findings = load_prompts(protocol.prompts).select(protocol.findings).findings if protocol.findings else ()
    known = findings or load_prompts(protocol.prompts).findings
    assert set(protocol.headline.findings) <= set(known)
    assert set(protocol.labels.spellings) <= {*known, "No Finding"}


def test_seen_and_unseen_findings_of_padchest_are_all_of_them_once():
    seen, unseen = (load_protocol(f"padchest-{part}").findings for part in ("seen", "unseen"))
    everything = [name for name in load_prompts("padchest").findings if name != "No Finding"]
    assert sorted([*seen, *unseen]) == sorted(everything)
    assert set(seen) == set(read_label_map("padchest.csv").labels) - {"normal"}


def test_prompts_of_padchest_have_the_readers_spelling():
    for name in load_prompts("padchest").findings:
        assert name == "No Finding" or name == name.strip().lower()


def test_a_name_that_does_not_exist_lists_those_that_do():
    with pytest.raises(FileNotFoundError, match="no protocol 'nih15': wanted one of chexpert-5x200, chexpert-test-14"):
        load_protocol("nih15")


GOOD = {"system": "x", "evidence": "memory", "source": "a paper", "caveat": "another list", "figures": {"mean": 0.5}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"viewz": "all"}, "viewz: unknown field; wanted some of name, about"),
        ({"references": [GOOD | {"evidence": "certain"}]}, "evidence: wanted one of code, csv"),
        ({"unit": "patient"}, "unit: wanted one of image, study; found 'patient'"),
        ({"references": [GOOD | {"caveat": ""}]}, "wanted a source and a caveat"),
        ({"references": [GOOD | {"figures": {}}]}, "wanted figures or counts"),
        (
            {"references": [GOOD | {"figures": {"Hernia": 0.5}}]},
            "has figures of Hernia, which is not scored",
        ),
        ({"headline": {"name": "mean of 1", "findings": ["Hernia"]}}, "headline averages Hernia"),
        ({"headline": {"name": "mean"}}, "wanted findings or more_positives_than"),
        ({"labels": {"form": "study file", "source": "s"}}, "a study file needs the fields file and study_column"),
        ({"labels": {"form": "image list", "source": "s"}}, "an image list needs the fields file and per_class"),
    ],
)
def test_a_protocol_file_that_contradicts_itself_is_refused(change, words, tmp_path):
    content = json.loads((DATA / "chexpert-test-5.json").read_text()) | change
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(words)):
        load_protocol(path)


def test_a_file_that_is_no_json_or_lacks_its_labels_is_refused(tmp_path):
    path = tmp_path / "own.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a JSON file"):
        load_protocol(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="labels"):
        load_protocol(path)
