"""Prompt sensitivity: planted amounts are found, brute force agrees, what is undefined says so."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

import metrics
from zero_shot import PromptSet, metrics_table, prompt_sensitivity
from zero_shot.features import phrase_features
from zero_shot.prompts import Wording
from zero_shot.scoring import score_features
from zero_shot.wording.families import PromptFamily, load_family
from zero_shot.wording.sensitivity import PromptFeatures, all_prompts, encode_prompts

FINDINGS = ["Edema", "Fracture"]
N = 120
IDS = [f"i{k:03d}" for k in range(N)]
PATIENTS = [f"p{k // 2}" for k in range(N)]
PLAIN, SIGNS = '"{}" / "no {}"', '"signs of {}" / "no {}"'
FAMILY = PromptFamily(
    name="mine",
    positive_templates=("{}", "signs of {}"),
    negative_templates=("no {}",),
    wordings={
        finding: Wording(
            terms=(finding.lower(), f"{finding.lower()}s"),
            positive_templates=("{}", "signs of {}"),
            negative_templates=("no {}",),
        )
        for finding in FINDINGS
    },
)
PROMPTS = all_prompts([FAMILY], FINDINGS)
PHRASES = tuple(
    dict.fromkeys(text for own in PROMPTS.values() for p in own for text in (*p.pair.positive, *p.pair.negative))
)


def make_truth():
    """Return half of the images with edema, the other half with a fracture."""
    labels = np.arange(N) % 4 < 2
    return pd.DataFrame({"image_id": IDS, "Edema": labels.astype(float), "Fracture": 1.0 - labels})


def scores_of_auroc(labels, lost):
    """Return distinct scores of which a share `lost` of the pairs of a positive and a negative is in the wrong order."""
    # All negatives lie between the positives that lose every pair and those that win every pair.
    positives = np.flatnonzero(labels == 1)
    scores = np.linspace(-0.01, 0.01, len(labels))
    below = round(lost * len(positives))
    scores[positives[:below]] -= 0.3
    scores[positives[below:]] += 0.3
    return scores


def planted(truth, lost):
    """Return a model whose AUROC of Edema under the phrase that begins with a key of `lost` is 1 - its value.

    Each phrase has an axis of its own in the space of features, along which every image stores that phrase's score.
    """
    space = np.zeros((N, len(PHRASES)), dtype=np.float32)
    for axis, phrase in enumerate(PHRASES):
        for finding in FINDINGS:
            if finding.lower() in phrase and not phrase.startswith("no "):
                own = next((lost[key] for key in sorted(lost, reverse=True) if phrase.startswith(key)), 0.0)
                space[:, axis] = scores_of_auroc(truth[finding].to_numpy(), own)
    texts = torch.eye(len(PHRASES))
    return PromptFeatures(image_ids=tuple(IDS), images=torch.from_numpy(space), phrases=PHRASES, texts=texts, scale=1.0)


def report(models, truth=None, **options):
    truth = make_truth() if truth is None else truth
    options = {"default": "mine", "n_replicates": 100} | options
    return prompt_sensitivity(models, PROMPTS, truth, PATIENTS, **options)


@pytest.fixture(scope="module")
def found():
    truth = make_truth()
    moved = {"edema": 0.0, "edemas": 0.1, "signs of edema": 0.3, "signs of edemas": 0.2}
    return report({"moved": planted(truth, moved), "still": planted(truth, {"edema": 0.1, "signs of edema": 0.1})})


def test_a_planted_dependence_on_the_template_is_found_with_its_amount(found):
    row = found.summary.set_index(["model", "finding"]).loc[("moved", "Edema")]
    own = found.prompts.query("model == 'moved' and finding == 'Edema'").set_index(["style", "term"])["auroc"]
    expected = {(PLAIN, "edema"): 1.0, (PLAIN, "edemas"): 0.9, (SIGNS, "edema"): 0.7, (SIGNS, "edemas"): 0.8}
    # The tenth of the positives that three of four phrases put too low is all that the pooled prompt loses.
    assert own.to_dict() == pytest.approx(expected | {("all phrases", ""): 0.9}, abs=1e-12)
    assert (row["min"], row["max"], row["spread"]) == pytest.approx((0.7, 1.0, 0.3), abs=1e-12)
    assert row["median"] == pytest.approx(0.9, abs=1e-12)
    assert row["worst_prompt"] == f"mine: {SIGNS}, edema"
    assert row["best_prompt"] == f"mine: {PLAIN}, edema"
    assert row["n_prompts"] == 5


def test_a_model_that_hears_the_same_in_every_prompt_has_no_spread(found):
    rows = found.summary.query("model == 'still'")
    assert rows["spread"].tolist() == [0.0, 0.0, 0.0]
    assert rows["larger"].tolist()[0] == "sampling"


def test_the_larger_of_spread_and_interval_is_named(found):
    row = found.summary.set_index(["model", "finding"]).loc[("moved", "Edema")]
    assert row["width"] == row["high"] - row["low"]
    assert 0 < row["width"] < row["spread"]
    assert row["larger"] == "prompts"


def test_the_mean_is_of_one_style_at_a_time_and_its_bound_of_each_findings_worst(found):
    styles = found.prompts.query("model == 'moved' and finding == 'mean'").set_index("style")
    assert styles["auroc"][PLAIN] == pytest.approx((1.0 + 1.0) / 2, abs=1e-12)
    assert styles["auroc"][SIGNS] == pytest.approx((0.7 + 1.0) / 2, abs=1e-12)
    assert styles["is_default"].to_dict() == {PLAIN: False, SIGNS: False, "all phrases": True}
    row = found.summary.set_index(["model", "finding"]).loc[("moved", "mean")]
    assert row["n_prompts"] == 3
    assert row["min"] == row["bound"] == pytest.approx(0.85, abs=1e-12)
    truth = make_truth()
    both = planted(truth, {"signs of edema": 0.3, "fracture": 0.2})
    assert report({"both": both}).summary.set_index("finding").loc["mean", "bound"] == pytest.approx(0.75, abs=1e-12)


def test_two_models_change_places_with_the_prompt(found):
    row = found.flips.set_index("finding").loc["Edema"]
    assert row[["first", "second", "n_prompts"]].tolist() == ["moved", "still", 5]
    # 1.0, 0.9, 0.7, 0.8 and pooled 0.9 against 0.9 throughout.
    assert row[["first_better", "second_better", "equal"]].tolist() == [1, 2, 2]
    assert (row["share"], row["prompts"]) == (0.2, f"mine: {PLAIN}, edema")
    assert found.flips.set_index("finding").loc["Fracture", "share"] == 0.0


def test_the_default_prompt_has_the_interval_of_the_metrics_table(found):
    truth = make_truth()
    moved = planted(truth, {"edema": 0.0, "edemas": 0.1, "signs of edema": 0.3, "signs of edemas": 0.2})
    scores = {f: moved.score(PROMPTS[f][-1:])[:, 0] for f in FINDINGS}
    expected = metrics_table(
        pd.DataFrame({"image_id": IDS} | scores), truth, PATIENTS, findings=FINDINGS, n_replicates=100
    )
    own = found.summary.query("model == 'moved'").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        own[["finding", "auroc", "low", "high"]], expected[["finding", "auroc", "low", "high"]]
    )


def test_the_models_difference_is_paired_over_patients(found):
    truth = make_truth()
    counts = metrics.patient_weights(PATIENTS, 100, np.random.default_rng(0))
    aurocs = {}
    for name, lost in (
        ("moved", {"edema": 0.0, "edemas": 0.1, "signs of edema": 0.3, "signs of edemas": 0.2}),
        ("still", {"edema": 0.1, "signs of edema": 0.1}),
    ):
        scores = planted(truth, lost).score(PROMPTS["Edema"][-1:])[:, 0]
        copies = [np.repeat(np.arange(N), draw[counts.unit]) for draw in counts.counts]
        aurocs[name] = np.array([roc_auc_score(truth["Edema"].to_numpy()[rows], scores[rows]) for rows in copies])
    low, high = np.quantile(aurocs["moved"] - aurocs["still"], [0.025, 0.975])
    row = found.flips.set_index("finding").loc["Edema"]
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-12)
    default = found.summary.set_index(["model", "finding"])["auroc"]
    assert row["difference"] == pytest.approx(default["moved", "Edema"] - default["still", "Edema"], abs=1e-12)


def test_every_prompt_scores_as_if_it_were_scored_alone(bundle):
    families = [load_family(name) for name in ("cxr_clip", "sentence", "radiologist")]
    prompts = all_prompts(families, FINDINGS)
    width = phrase_features(bundle, [["edema"]])[0].shape[1]
    images = torch.nn.functional.normalize(torch.randn(N, width, generator=torch.Generator().manual_seed(1)), dim=-1)
    order = np.random.default_rng(0).permutation(N)
    encoded = encode_prompts(bundle, images[order], [IDS[k] for k in order], prompts)
    truth = make_truth()
    table = prompt_sensitivity({"m": encoded}, prompts, truth, PATIENTS, n_replicates=40).prompts
    assert len(set(encoded.phrases)) == len(encoded.phrases)
    for finding, own in prompts.items():
        rows = table[table["finding"] == finding]
        for prompt, auroc in zip(own, rows["auroc"], strict=True):
            alone = score_features(bundle, images, PromptSet(name="one", pairs={finding: prompt.pair}))[:, 0]
            # Two products of matrices round differently: a near tie may turn.
            assert auroc == pytest.approx(roc_auc_score(truth[finding], alone), abs=3 / 60**2)
        assert rows.loc[rows["is_default"], "family"].tolist() == ["radiologist"]


def test_a_finding_without_positives_is_undefined_and_stays_out_of_the_mean():
    truth = make_truth().assign(Fracture=0.0)
    result = report({"m": planted(make_truth(), {"edema": 0.1})}, truth)
    row = result.summary.set_index("finding").loc["Fracture"]
    assert row[["min", "median", "max", "spread", "bound"]].isna().all()
    assert (row["status"], row["larger"], row["worst_prompt"]) == ("undefined", "", "")
    assert row["reason"] == "not evaluable: no positives"
    assert result.summary.set_index("finding").loc["mean", "reason"] == "of 1 findings: Edema"


def test_nothing_evaluable_leaves_the_mean_undefined():
    truth = make_truth().assign(Fracture=0.0, Edema=1.0)
    moved = planted(make_truth(), {})
    result = report({"a": moved, "b": moved}, truth)
    assert result.summary["max"].isna().all()
    assert result.summary["finding"].tolist() == [*FINDINGS, "mean"] * 2
    assert (result.flips["n_prompts"] == 0).all()
    assert result.flips["share"].isna().all()


def test_the_tables_are_written_whole(found, tmp_path):
    found.write(tmp_path)
    names = {"prompts": found.prompts, "prompt_sensitivity": found.summary, "rank_flips": found.flips}
    for name, table in names.items():
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(table)


def test_one_model_has_no_flips():
    assert report({"m": planted(make_truth(), {})}).flips.empty


def test_what_does_not_fit_together_is_refused():
    truth = make_truth()
    model = planted(truth, {})
    with pytest.raises(ValueError, match="the default family 'radiologist' has no prompt for 'Edema'; families: mine"):
        report({"m": model}, default="radiologist")
    with pytest.raises(ValueError, match="found 0 models, 2 findings"):
        report({})
    with pytest.raises(ValueError, match="the truth has no column Fracture; it has image_id, Edema"):
        report({"m": model}, truth.drop(columns="Fracture"))
    other = load_family("sentence")
    with pytest.raises(ValueError, match=r"phrases have no feature, first 'There is edema\.': encode these prompts"):
        model.score(other.prompts("Edema"))
    with pytest.raises(ValueError, match=r"different names, found \['mine', 'mine'\]"):
        all_prompts([FAMILY, FAMILY], FINDINGS)
    with pytest.raises(ValueError, match="1 of 120 images have no features, first new"):
        report({"m": model}, truth.assign(image_id=[*IDS[:-1], "new"]))
