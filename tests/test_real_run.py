"""docs/real_run.md, run as it stands on the real images where ../shared/real is present, but for a few steps only."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

import run_train
from cohort import FINDINGS, open_images, read_cohort
from train.command_line import read_command_line

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/real_run.md"
FULL, SHORT = "--epochs 60", "--epochs 1"
NIH_NAMES = {
    "Atelectasis": ["Atelectasis"],
    "Cardiomegaly": ["Cardiomegaly"],
    "Consolidation": ["Consolidation"],
    "Edema": ["Edema"],
    "Lung Lesion": ["Mass", "Nodule"],
    "No Finding": ["No Finding"],
    "Pleural Effusion": ["Effusion"],
    "Pleural Other": ["Pleural_Thickening"],
    "Pneumonia": ["Pneumonia"],
    "Pneumothorax": ["Pneumothorax"],
}
OTHER_NAMES = ["Emphysema", "Fibrosis", "Hernia", "Infiltration"]


def commands() -> list[str]:
    """Return the bash blocks of the document's section "The run", in order."""
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## The run\n")[1].split("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Walk:
    """What the document's commands left behind, and the truth about the images by a way of its own."""

    folder: Path
    metadata: pd.DataFrame
    nih: pd.DataFrame

    def training(self, name: str, **changes):
        """Return the document's training command as a configuration, shortened, for another run folder."""
        line = next(line for block in commands() for line in joined(block) if "run_train.py" in line)
        config = read_command_line(line.replace(FULL, SHORT).split()[2:]).config
        paths = {key: self.folder / getattr(config, key) for key in ("cxr_filepath", "txt_filepath", "cohort_filepath")}
        return replace(config, **paths | {"out_dir": self.folder / "runs" / name} | changes)


def joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def walk(real, tmp_path_factory) -> Walk:
    folder = tmp_path_factory.mktemp("walk") / "clone"
    folder.mkdir()
    (folder.parent / "shared").symlink_to(real.parent)
    blocks = commands()
    assert sum(FULL in block for block in blocks) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for block in blocks:
            lines = joined(block.replace(FULL, SHORT))
            ours = [line for line in lines if line.startswith("python ") and ".py " in line]
            subprocess.run(
                ["bash", "-euc", "\n".join(line for line in lines if line not in ours)], check=True, timeout=60
            )
            for line in ours:
                # In this process, which has torch already.
                patch.setattr(sys, "argv", shlex.split(line)[1:])
                assert importlib.import_module(sys.argv[0].removesuffix(".py")).cli() == 0, line
    metadata = pd.read_csv(real / "metadata.csv", dtype=str, keep_default_na=False)
    metadata.index = pd.Index([Path(image).name for image in metadata["image"]])
    nih = metadata[metadata["patient_id"].str.startswith("nih-")]
    return Walk(folder=folder, metadata=metadata, nih=nih)


def truth_of(walk: Walk, names: list[str]) -> pd.Series:
    """Return 1 where an NIH image carries one of the label names."""
    pattern = "|".join(rf"(?:^|\|){re.escape(name)}(?:\||$)" for name in names)
    return walk.nih["labels"].str.contains(pattern).astype(int)


def groups_of(walk: Walk) -> dict[str, pd.Series]:
    edges, names = [0, 18, 40, 60, 80, 1000], ["0-18", "18-40", "40-60", "60-80", "80+"]
    ages = pd.cut(walk.nih["age"].astype(int), edges, right=False, labels=names).astype(str)
    return {"sex": walk.nih["sex"], "age": ages, "overall": pd.Series("overall", index=walk.nih.index)}


def test_all_255_images_are_packed_each_under_its_own_file_name(walk):
    cohort = read_cohort(walk.folder / "data/real/cohort.csv").set_index("image_id")
    assert sorted(cohort.index) == sorted(walk.metadata.index)
    assert set(cohort["status"]) == {"packed"}
    store = open_images(walk.folder / "data/real/cxr.h5")
    assert list(store.image_ids) == cohort.sort_values("h5_row").index.tolist()
    assert len(store) == 255
    known = walk.metadata.loc[cohort.index]
    assert cohort["subject_id"].tolist() == known["patient_id"].tolist()
    by_archive = cohort.groupby(known["source"].str.split().str[0])["split"].value_counts().to_dict()
    assert by_archive == {("Hannover", ""): 30, ("NIH", "test"): 79, ("ROCO", "train"): 142, ("ROCO", ""): 4}


def test_the_pairs_are_frontal_figures_of_roco_with_their_own_captions(walk):
    cohort = read_cohort(walk.folder / "data/real/cohort.csv").set_index("image_id")
    texts = pd.read_csv(walk.folder / "data/real/mimic_impressions.csv", dtype=str, keep_default_na=False)
    written = texts.set_index("image_id")["impression"]
    caption = walk.metadata["text"].map(lambda text: " ".join(text.split()))
    assert written.to_dict() == caption.loc[written.index].to_dict()
    trained = walk.metadata.loc[cohort.index[cohort["split"] == "train"]]
    assert set(trained["view"]) == {"frontal"}
    assert set(trained["text_kind"]) == {"figure caption"}
    assert set(trained["labels"]) == {""}
    run = walk.folder / "runs/real"
    assert json.loads((run / "config.json").read_text())["pretrained"] is None
    assert "142" in (run / "environment.json").read_text()
    assert (run / "latest").exists()


def test_who_is_in_both_of_the_archives_tables_is_the_same_person_in_both(walk, real):
    table = pd.read_csv(real / "nih_demographics.csv", dtype=str, keep_default_na=False).set_index("image")
    cohort = read_cohort(walk.folder / "data/real/cohort.csv").set_index("image_id")
    both = cohort.index.intersection(table.index)
    assert len(both) == 7
    ours, theirs = cohort.loc[both], table.loc[both]
    assert ours["age_years"].tolist() == theirs["age"].astype(float).tolist()
    assert ours["sex"].tolist() == theirs["sex"].tolist()
    assert ours["view"].tolist() == theirs["view"].tolist()
    assert ours["subject_id"].str.removeprefix("nih-").tolist() == theirs["patient_id"].tolist()
    for finding, names in NIH_NAMES.items():
        listed = [bool(set(names) & set(labels.split("|"))) for labels in theirs["labels"]]
        assert (ours[finding] == 1).tolist() == listed, finding


def weights(summary) -> dict[str, bytes]:
    tensors = load_file(Path(summary.checkpoint) / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_training_gives_the_same_weights_whatever_the_labels_but_not_whatever_the_captions(walk):
    cohort = pd.read_csv(walk.folder / "data/real/cohort.csv", dtype=str, keep_default_na=False)
    rng = np.random.default_rng(0)
    cohort[list(FINDINGS)] = rng.choice(["1", "0", "-1", ""], size=(len(cohort), len(FINDINGS)))
    cohort.to_csv(walk.folder / "scrambled.csv", index=False)
    plain = weights(run_train.main(walk.training("plain")))
    scrambled = run_train.main(walk.training("scrambled", cohort_filepath=walk.folder / "scrambled.csv"))
    assert weights(scrambled) == plain
    shuffled = weights(run_train.main(walk.training("shuffled", shuffle_reports=True)))
    assert shuffled.keys() == plain.keys()
    assert shuffled != plain


def test_every_cell_of_the_subgroup_table_counts_as_pandas_does(walk):
    table = pd.read_csv(walk.folder / "predictions/real/subgroups.csv", dtype={"group": str}, keep_default_na=False)
    groups = groups_of(walk)
    expected = {}
    for attribute, values in groups.items():
        for group, members in walk.nih.groupby(values):
            for finding, names in NIH_NAMES.items():
                positives = int(truth_of(walk, names)[members.index].sum())
                counts = (len(members), positives, len(members) - positives, members["patient_id"].nunique())
                expected[finding, attribute, group] = counts
    rows = table[(table["metric"] == "auroc") & table["finding"].isin(NIH_NAMES)]
    found = {
        (row.finding, row.attribute, row.group): (row.n, row.n_pos, row.n_neg, row.patients)
        for row in rows.itertuples()
    }
    assert found == expected
    unlabelled = table[~table["finding"].isin([*NIH_NAMES, "mean"])]
    assert set(unlabelled["n"]) <= {0}


@pytest.mark.parametrize(("folder", "names"), [("real", NIH_NAMES), ("real-nih", {n: [n] for n in OTHER_NAMES})])
def test_every_auroc_is_the_one_that_sklearn_computes_from_the_predictions(walk, folder, names):
    predictions = pd.read_csv(walk.folder / f"predictions/{folder}/predictions.csv").set_index("image_id")
    assert sorted(predictions.index) == sorted(walk.nih.index)
    predictions = predictions.loc[walk.nih.index]
    overall = pd.read_csv(walk.folder / f"predictions/{folder}/metrics.csv").set_index("finding")
    table = pd.read_csv(walk.folder / f"predictions/{folder}/subgroups.csv", dtype={"group": str})
    table = table[table["metric"] == "auroc"].set_index(["finding", "attribute", "group"])
    compared = 0
    for finding, carried in names.items():
        truth = truth_of(walk, carried)
        area = roc_auc_score(truth, predictions[finding])
        np.testing.assert_allclose(overall.loc[finding, "auroc"], area, rtol=0, atol=1e-9)
        for attribute, values in groups_of(walk).items():
            for group in sorted(set(values)):
                inside = values == group
                row = table.loc[(finding, attribute, group)]
                if row["status"] == "suppressed" or truth[inside].nunique() < 2:
                    assert np.isnan(row["value"])
                    assert row["reason"]
                    continue
                area = roc_auc_score(truth[inside], predictions.loc[inside, finding])
                np.testing.assert_allclose(row["value"], area, rtol=0, atol=1e-9)
                compared += 1
    assert compared >= 3 * len(names)


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the document's table under a heading, without its two head lines."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_counts_in_the_document_are_those_of_the_images(walk):
    carried = NIH_NAMES | {name: [name] for name in OTHER_NAMES}
    groups = groups_of(walk)
    everybody = [(cells[0], "overall", "overall", cells[1:5]) for cells in rows_of("All patients")]
    by_group = [
        (cells[0], "age" if "-" in cells[1] else "sex", *cells[1:2], cells[2:6]) for cells in rows_of("By sex and age")
    ]
    assert [row[0] for row in everybody] == list(carried)
    assert by_group
    for finding, attribute, group, counts in everybody + by_group:
        members = walk.nih[groups[attribute] == group]
        positive = members[truth_of(walk, carried[finding])[members.index] == 1]
        expected = [len(members), len(positive), members["patient_id"].nunique(), positive["patient_id"].nunique()]
        assert [int(count) for count in counts] == expected, (finding, group)


def test_a_dark_film_alone_says_as_much_as_the_document_reports(walk):
    store = open_images(walk.folder / "data/real/cxr.h5")
    films = dict(zip(store.image_ids, store.read(np.arange(len(store))), strict=True))
    darkness = [-float(films[image_id].mean()) for image_id in walk.nih.index]
    said = {cells[0]: float(cells[1]) for cells in rows_of("The mean grey level alone")}
    assert sorted(said) == ["Infiltration", "Pleural Effusion", "Pneumonia"]
    for finding, area in said.items():
        truth = truth_of(walk, NIH_NAMES.get(finding, [finding]))
        assert round(roc_auc_score(truth, darkness), 2) == area, finding
