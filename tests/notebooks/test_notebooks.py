"""Notebooks run from top to bottom on a small simulated archive, and are kept without their outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SMALL = {
    "CXRSCOPE_PATIENTS": "60",
    "CXRSCOPE_IMAGE_SIZE": "112",
    "CXRSCOPE_TRAIN_MINUTES": "0.05",
    "CXRSCOPE_REPLICATES": "60",
    # Several threads over a few small films only wait for each other where cores are shared.
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_zero_shot_notebook_runs_from_an_empty_folder_to_subgroups(tmp_path, monkeypatch):
    for name, value in {**SMALL, "CXRSCOPE_RUN": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOKS / "zero_shot.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute()
    shown = {
        cell.id: [output.get("data", {}) for output in cell.outputs] for cell in notebook.cells if "outputs" in cell
    }
    assert any("image/svg+xml" in data for data in shown["auc-figure"])
    assert any("image/png" in data for data in shown["roc"])
    assert len([data for data in shown["groups-figure"] if "image/svg+xml" in data]) == 3
    assert "Pleural Effusion" in shown["auc"][0]["text/plain"]
    assert "flagged" in shown["groups"][-1]["text/plain"]
    assert (tmp_path / "model" / "latest").is_file()
