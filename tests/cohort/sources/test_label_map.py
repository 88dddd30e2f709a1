import itertools

import numpy as np
import pandas as pd
import pytest

from cohort.names import FINDINGS
from cohort.sources import label_map
from cohort.sources.label_map import LabelMap, add_findings, listed_labels, own_columns, read_label_map
from cohort.sources.nih import LABELS as NIH
from cohort.sources.rsna import CLASSES as RSNA
from cohort.sources.vindr import CXR_LABELS, PCXR_LABELS
from cohort.value_tables import TABLES

VALUES = (1.0, 0.0, -1.0, np.nan)
NAMES = sorted(path.name for path in (TABLES / "labels").glob("*.csv"))


def by_the_rule(whole, hints):
    """The rule at the top of label_map.py, said once more in plain Python."""
    if 1.0 in [*whole, *hints]:
        return 1.0
    if -1.0 in [*whole, *hints]:
        return -1.0
    return 0.0 if whole and all(value == 0.0 for value in whole) else np.nan


@pytest.mark.parametrize("relations", [("part", "part", "implies"), ("same", "implies", "implies"), ("implies",) * 3])
def test_a_finding_is_absent_only_if_everything_that_it_consists_of_is(relations):
    table = LabelMap(name="t", related={"Edema": dict(zip("abc", relations, strict=True))})
    own = pd.DataFrame(list(itertools.product(VALUES, repeat=3)), columns=list("abc"))
    found = add_findings(pd.DataFrame(index=own.index), own, table)
    expected = [
        by_the_rule(
            [v for v, r in zip(row, relations, strict=True) if r != "implies"],
            [v for v, r in zip(row, relations, strict=True) if r == "implies"],
        )
        for row in own.itertuples(index=False)
    ]
    np.testing.assert_array_equal(found["Edema"], expected)
    assert found.drop(columns="Edema").isna().all(axis=None)
    assert list(found) == list(FINDINGS)


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_map_can_be_read_and_names_no_label_twice_for_a_finding(name):
    table = read_label_map(name)
    lines = (TABLES / "labels" / name).read_text().splitlines()[1:]
    assert sum(len(labels) for labels in table.related.values()) == len(lines)


@pytest.mark.parametrize(
    ("name", "labels"),
    [("nih.csv", NIH), ("vindr_cxr.csv", CXR_LABELS), ("vindr_pcxr.csv", PCXR_LABELS), ("rsna.csv", RSNA)],
)
def test_maps_of_closed_vocabularies_use_the_archive_s_own_words(name, labels):
    assert set(read_label_map(name).labels) <= set(labels)


def test_lists_become_columns_and_a_qualified_term_counts_for_its_heading():
    lists = pd.Series([["Opacity/lung/base", "normal"], [], None, ["Opacity/ribs", "Opacity/lung"]], index=[5, 6, 7, 8])
    columns = listed_labels(lists, ["Opacity/lung", "Opacity", "lung"])
    np.testing.assert_array_equal(columns["Opacity/lung"], [1, 0, np.nan, 1])
    np.testing.assert_array_equal(columns["Opacity"], [1, 0, np.nan, 1])
    np.testing.assert_array_equal(columns["lung"], [0, 0, np.nan, 0])
    assert columns.index.tolist() == [5, 6, 7, 8]
    assert own_columns(columns)["own_lung"].tolist() == [0, 0, pd.NA, 0]


def test_a_map_that_means_nothing_is_refused(tmp_path, monkeypatch):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/mine.csv").write_text("raw,finding,relation\nMass,Lesion,same\nEdema,Edema,equal\n")
    monkeypatch.setattr(label_map, "TABLES", tmp_path)
    with pytest.raises(ValueError, match=r"label map mine.csv: wanted one of the 14 findings .* 'Mass', 'Edema'"):
        read_label_map("mine.csv")
