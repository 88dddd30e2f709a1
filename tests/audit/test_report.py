"""The page: self-contained, escaped, complete; and every undefined number with its reason."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from audit import disaggregate, report_sensitivity, write_report
from audit.figures import curve_figure, forest_figure, score_figure
from audit.page import ExampleFilm, FindingScore, Headline, ReportPage

HOSTILE = '<script>alert("x")</script> & "quotes"'


NAME_OF_A_GROUP, NAME_OF_AN_ATTRIBUTE = "<u>F</u>", '../age "bands" <u>'


class Page(HTMLParser):
    """Collects what a browser would fetch, and which elements are left open."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.tags, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "xlink:href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def report(make_cohort):
    cohort = make_cohort(patients=120, findings=3, delta={"F": -1.2})
    groups = cohort.groups.replace({"sex": {"F": NAME_OF_A_GROUP}}).rename(columns={"age": NAME_OF_AN_ATTRIBUTE})
    subgroups = disaggregate(cohort.predictions, cohort.truth, groups, findings=cohort.findings, n_replicates=100)
    said = cohort.truth.copy()
    sensitivity = report_sensitivity(said, cohort.truth, groups, findings=cohort.findings, n_replicates=100)
    scores = pd.DataFrame(
        {
            "finding": ["finding 0", "finding 1", "finding 2", "mean"],
            "n": 200,
            "n_pos": [50, 60, 2, 110],
            "n_neg": [150, 140, 198, 290],
            "patients": [120, 120, 120, pd.NA],
            "patients_pos": [40, 45, 2, pd.NA],
            "auroc": [0.91, 0.62, np.nan, 0.765],
            "low": [0.88, 0.55, np.nan, 0.72],
            "high": [0.94, 0.69, np.nan, 0.81],
            "status": ["ok", "ok", "undefined", "ok"],
            "reason": ["", "", "not evaluable: no positives", "of 2 findings: finding 0, finding 1"],
        }
    )
    flow = pd.DataFrame(
        {"step": ["start", "left out"], "reason": ["listed", "no text"], "rows": [9, 2], "images": [9, 7]}
    ).astype({"rows": "Int64"})
    example = ExampleFilm(
        image=np.arange(64 * 64, dtype=np.uint8).reshape(64, 64),
        caption="PA, 64 years, F, White",
        report=HOSTILE,
        scores=(
            FindingScore(
                finding="Edema", positive=("edema",), negative=("no edema", "dry", "clear"), score=0.75, truth=True
            ),
            FindingScore(finding="Fracture", positive=("fracture",), negative=("no fracture",), score=0.1, truth=None),
        ),
    )
    return ReportPage(
        title=HOSTILE,
        subtitle="Simulated films.",
        headlines=[Headline(label="Mean AUROC", value="0.765", note="over 2 findings")],
        scores=scores,
        ceiling=scores.assign(auroc=scores["auroc"] + 0.02),
        subgroups=subgroups,
        sensitivity=sensitivity,
        flows={"Preprocessing": flow},
        curves={"reports": pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "mean_auroc": [np.nan, 0.7]})},
        examples=[example],
        caveats=["The films are simulated."],
        specification={"prompts": {"Edema": ["edema"]}},
        versions={"numpy": np.__version__},
    )


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("audit"), report)


def test_the_page_is_one_file_that_fetches_nothing(page):
    links = Page(page.read_text(encoding="utf-8")).links
    assert links
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    assert "@import" not in page.read_text(encoding="utf-8")
    assert "url(http" not in page.read_text(encoding="utf-8")


def test_every_element_is_closed_and_every_anchor_has_its_target(page):
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= targets


def test_text_of_reports_and_titles_is_escaped(page):
    parsed = Page(page.read_text(encoding="utf-8"))
    assert not {"script", "u"} & set(parsed.tags)
    assert NAME_OF_A_GROUP in "".join(parsed.text)
    assert "".join(parsed.text).count(HOSTILE) == 3, "title, heading and report"


def test_figures_and_numbers_of_every_part_are_on_the_page(page):
    text = page.read_text(encoding="utf-8")
    visible = " ".join("".join(Page(text).text).split())
    assert text.count("<svg") == 1 + 2 * 3 + 2 + 2
    for expected in ("0.910 0.880 to 0.940", "no positives", "of 2 findings", "differs", "present", "0.75", "no text"):
        assert expected in visible
    assert not re.search(r"\bnan\b", visible.lower())


def test_a_score_is_shown_with_a_phrase_of_each_side_and_how_many_more_there_are(page):
    visible = " ".join("".join(Page(page.read_text(encoding="utf-8")).text).split())
    assert "“edema” against “no edema” or 2 more" in visible
    assert "“fracture” against “no fracture” " in visible


def test_tables_figures_and_json_lie_beside_the_page_and_json_has_null_with_a_reason(page, report):
    audit = json.loads((page.parent / "audit.json").read_text())
    assert len(audit["subgroups"]) == len(report.subgroups)
    undefined = [row for row in audit["subgroups"] if row["value"] is None]
    assert undefined
    assert all(row["reason"] for row in undefined)
    again = pd.read_csv(page.parent / "tables" / "subgroups.csv")
    assert again["n"].tolist() == report.subgroups["n"].tolist()
    assert len(list((page.parent / "figures").glob("*.svg"))) == 11


def test_a_report_without_its_optional_parts_still_renders(report, tmp_path):
    bare = ReportPage(
        title="Bare",
        subtitle="Only scores.",
        headlines=[],
        scores=report.scores.drop(columns="low").assign(low=np.nan),
        subgroups=report.subgroups.assign(flagged=False),
    )
    text = write_report(tmp_path, bare).read_text(encoding="utf-8")
    assert "not evidence of equality" in text
    assert 'id="training"' not in text
    assert "Seen in training" not in text
    assert Page(text).open == []


@pytest.mark.parametrize(("stamp", "word"), [("clean", "no"), ("exposed", "yes"), ("unknown", "unknown")])
def test_the_page_says_whether_the_films_were_seen_in_training_and_why(report, tmp_path, stamp, word):
    exposure = {"stamp": stamp, "images": {"<b>a reason</b>": 1200, "another": 3}}
    exposure |= {"records": {"model": None}, "named_records": ["cohort.csv"]}
    shown = replace(report, specification={"exposure": exposure})
    text = write_report(tmp_path, shown).read_text(encoding="utf-8")
    visible = " ".join("".join(Page(text).text).split())
    assert f"Seen in training: {word}. " in visible
    assert "1,200 films: <b>a reason</b>3 films: another" in visible
    assert "Compared with: model: no training record beside it; named by the user: cohort.csv." in visible
    assert ('<strong class="flag">' + word in text) == (stamp != "clean")


def test_figures_are_the_same_bytes_for_the_same_data_and_take_the_page_s_colours(report):
    first, second = (forest_figure(report.subgroups, "sex", "fpr") for _ in range(2))
    assert first == second
    assert "var(--accent" in first
    assert not re.search(
        r"#1010\d\d", first + score_figure(report.scores) + curve_figure(report.curves, "loss", "loss")
    )


def test_figures_are_well_formed_whatever_attributes_and_reasons_are_called(report):
    plain = ET.fromstring(forest_figure(report.subgroups, NAME_OF_AN_ATTRIBUTE, "auroc"))
    assert NAME_OF_AN_ATTRIBUTE in plain.get("aria-label")
    hostile = report.subgroups.assign(difference_low=np.nan, reason='<b> & "why"')
    assert '<b> & "why"' in "".join(ET.fromstring(forest_figure(hostile, "sex", "auroc")).itertext())


def test_a_forest_shows_why_a_group_is_missing(report):
    empty = report.subgroups.assign(difference_low=np.nan, status="small", reason="3 positive images, fewer than 30")
    assert "not evaluable: 3 positive images" in forest_figure(empty, "sex", "auroc")
