"""Notebooks run from top to bottom on one small simulated archive, and are kept without their outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SMALL = {
    "CXRSCOPE_PATIENTS": "60",
    "CXRSCOPE_IMAGE_SIZE": "112",
    "CXRSCOPE_EPOCHS": "1",
    "CXRSCOPE_REPLICATES": "60",
    # Several threads over a few small films only wait for each other where cores are shared.
    "OMP_NUM_THREADS": "1",
}


def execute(name, run):
    """Run a notebook and return what each of its code cells shows: a list of MIME bundles by cell id."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    client.execute(env={**os.environ, **SMALL, "CXRSCOPE_RUN": str(run)})
    return {
        cell.id: [output.get("data", {}) for output in cell.outputs] for cell in notebook.cells if "outputs" in cell
    }


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Return the folder that the notebooks share."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session")
def zero_shot(run):
    """Run the first notebook from an empty folder; archive and model stay for the others."""
    return execute("zero_shot", run)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_zero_shot_notebook_runs_from_an_empty_folder_to_roc_curves(zero_shot, run):
    assert any("image/svg+xml" in data for data in zero_shot["auc-figure"])
    assert any("image/png" in data for data in zero_shot["roc"])
    for cell in ("auc", "reference"):
        assert "Pleural Effusion" in zero_shot[cell][-1]["text/plain"]
    assert "fitted-on-validation" in zero_shot["decisions-code"][-1]["text/html"]
    assert any("image/svg+xml" in data for data in zero_shot["calibration-code"])
    assert (run / "model" / "latest").is_file()
    assert (run / "predictions" / "embeddings.h5").is_file()


@pytest.mark.usefixtures("zero_shot")
def test_the_subgroups_notebook_shows_a_forest_for_each_attribute(run):
    before = (run / "model" / "latest").read_bytes()
    shown = execute("subgroups", run)
    assert len([data for data in shown["groups-figure"] if "image/svg+xml" in data]) == 3
    for cell in ("groups", "reports"):
        assert "flagged" in shown[cell][-1]["text/plain"]
    assert (run / "model" / "latest").read_bytes() == before


@pytest.mark.usefixtures("zero_shot")
def test_the_prompt_sensitivity_notebook_shows_spread_beside_the_interval(run):
    shown = execute("prompt_sensitivity", run)
    for column in ("spread", "width", "larger"):
        assert column in shown["report"][-1]["text/plain"]
    (figure,) = shown["figure"]
    assert "default prompt" in figure["image/svg+xml"]
    assert "first_better" in shown["flips"][-1]["text/plain"]
    assert "best_alternative" in shown["names"][-1]["text/plain"]
