"""Alternative labels: judged against the main finding, wherever its column stands."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from zero_shot.features import prompt_features
from zero_shot.scoring import probabilities
from zero_shot.wording.alternatives import alternative_table, summarise_alternatives

ALTERNATIVES = {
    "Pleural Effusion": ["Pleural Effusion", "pleural fluid", "opacity"],
    "Edema": ["fluid overload"],
    "Lung Opacity": ["opacity", "infiltrate"],
}
N = 60
IDS = [f"i{k:02d}" for k in range(N)]


@pytest.fixture(scope="module")
def images(bundle):
    width = len(prompt_features(bundle, [["edema"]])[0])
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(N, width, generator=generator), dim=-1)


def make_truth(seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((N, 4)) < 0.5).astype(float)
    labels[:5, 1] = np.nan
    truth = pd.DataFrame(labels, columns=["Fracture", "Lung Opacity", "Edema", "Pleural Effusion"])
    truth.insert(0, "image_id", IDS)
    return truth


def by_hand(bundle, images, name, labels):
    """Score one name by itself and let scikit-learn judge it."""
    sides = (prompt_features(bundle, [[text]]) for text in (name, f"no {name}"))
    scores = probabilities(images, *sides, scoring="chexzero").numpy()[:, 0]
    known = labels.notna().to_numpy()
    return roc_auc_score(labels[known], scores[known])


def test_every_name_is_judged_against_its_own_finding(bundle, images):
    truth = make_truth()
    table = alternative_table(bundle, images, IDS, truth, ALTERNATIVES, scoring="chexzero")
    assert list(zip(table["finding"], table["alternative"], strict=True)) == [
        (finding, name) for finding, names in ALTERNATIVES.items() for name in names
    ]
    for row in table.itertuples():
        expected = by_hand(bundle, images, row.alternative, truth[row.finding])
        assert row.auroc == pytest.approx(expected, abs=2 / (row.n_pos * row.n_neg))
        assert row.n_pos + row.n_neg == truth[row.finding].notna().sum()
    shared = table.set_index(["finding", "alternative"])["auroc"]
    assert shared["Pleural Effusion", "opacity"] != shared["Lung Opacity", "opacity"]


def test_the_order_of_rows_and_columns_means_nothing(bundle, images):
    truth = make_truth()
    turned = truth[truth.columns[::-1]].sample(frac=1, random_state=1)
    expected, found = (alternative_table(bundle, images, IDS, frame, ALTERNATIVES) for frame in (truth, turned))
    pd.testing.assert_frame_equal(found, expected)


def test_the_summary_names_best_and_worst():
    table = pd.DataFrame(
        {
            "finding": ["Edema", "Edema", "Edema", "Fracture"],
            "alternative": ["a", "b", "c", "d"],
            "auroc": [0.5, 0.9, 0.7, np.nan],
            "reason": ["", "", "", "not evaluable: no positives"],
        }
    )
    edema, fracture = summarise_alternatives(table).to_dict("records")
    assert (edema["best"], edema["min"], edema["alternatives"]) == (0.9, 0.5, 3)
    assert edema["mean"] == pytest.approx(0.7)
    assert (edema["best_alternative"], edema["worst_alternative"]) == ("b", "a")
    assert np.isnan([fracture["best"], fracture["mean"], fracture["min"]]).all()
    assert (fracture["best_alternative"], fracture["reason"]) == ("", "not evaluable: no positives")


def test_a_finding_without_positives_is_not_evaluable(bundle, images):
    truth = make_truth().assign(Edema=0.0)
    row = alternative_table(bundle, images, IDS, truth, {"Edema": ["fluid overload"]}).iloc[0]
    assert np.isnan(row["auroc"])
    assert row["reason"] == "not evaluable: no positives"


@pytest.mark.parametrize(
    ("alternatives", "options", "message"),
    [
        ({}, {}, "alt_labels_dict is empty"),
        ({"Oedema": ["edema"]}, {}, "the truth has no column Oedema; it has image_id, Fracture, Lung"),
        ({"Edema": []}, {}, r"'Edema' wants a list of names, found \[\]"),
        ({"Edema": "edema"}, {}, "'Edema' wants a list of names, found 'edema'"),
        ({"Edema": ["wet", "wet"]}, {}, "a name of 'Edema' is listed twice: wet, wet"),
        ({"Edema": [" "]}, {}, "a term is empty text"),
        ({"Edema": ["No Finding"]}, {}, "negates twice"),
        ({"Edema": ["edema"]}, {"scoring": "single"}, "scoring 'single' compares the findings of an image"),
        ({"Edema": ["edema"]}, {"image_ids": ["x", *IDS[1:]]}, "1 of 60 images have no features, first i00"),
        ({"Edema": ["edema"]}, {"image_ids": [*IDS, "extra"]}, "1 of 61 images have no labels, first extra"),
        ({"Edema": ["edema"]}, {"image_ids": [IDS[1], *IDS[1:]]}, "the image i01 is twice among the features"),
    ],
)
def test_what_cannot_be_judged_is_refused(bundle, images, alternatives, options, message):
    options = {"image_ids": IDS} | options
    with pytest.raises(ValueError, match=message):
        alternative_table(
            bundle,
            images,
            truth=make_truth(),
            alt_labels_dict=alternatives,
            **options,
        )
