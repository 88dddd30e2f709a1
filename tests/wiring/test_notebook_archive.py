"""Where the notebooks find archive and model."""

from types import SimpleNamespace

import pytest

import wiring.notebook_archive as archive
from phantom import PRESETS, write_archive


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Let the notebooks' defaults lie below `tmp_path`, and archive and training cost nothing."""
    monkeypatch.delenv("CXRSCOPE_RUN", raising=False)
    monkeypatch.setattr(archive, "DEMO", tmp_path / "demo")
    monkeypatch.setattr(archive, "OWN", tmp_path / "notebooks")
    drawn = []
    monkeypatch.setattr(archive, "write_archive", lambda folder, **settings: drawn.append((folder, settings)))
    for name in ("preprocess", "load_pairs", "start_model", "fit"):
        monkeypatch.setattr(archive, name, lambda *_, **__: None)
    monkeypatch.setattr(archive, "validation", lambda _: SimpleNamespace(evaluate=None, images=None))
    return drawn


def test_notebooks_make_their_smaller_archive_in_a_folder_of_their_own(quick, tmp_path):
    paths = archive.notebook_paths()
    assert paths.run == tmp_path / "notebooks"
    assert [(folder, settings["n_patients"]) for folder, settings in quick] == [(tmp_path / "notebooks/phantom", 1200)]
    assert not (tmp_path / "demo").exists()


def test_notebooks_use_a_finished_demo_as_it_is(quick, tmp_path):
    for name in ("data/cxr.h5", "model/latest", "summary.json"):
        path = tmp_path / "demo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert archive.notebook_paths().images == tmp_path / "demo/data/cxr.h5"
    assert quick == []


def test_a_phantom_of_another_number_of_patients_is_refused_in_the_same_folder(tmp_path):
    settings = {"scenario": PRESETS["default"](), "seed": 0, "image_size": 32, "workers": 1}
    write_archive(tmp_path / "phantom", n_patients=2, **settings)
    with pytest.raises(ValueError, match="n_patients"):
        write_archive(tmp_path / "phantom", n_patients=3, **settings)
