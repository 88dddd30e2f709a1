"""Writes miniatures: tiny simulated copies of public chest X-ray archives, with their files, columns and strings.

    from phantom.miniatures.writers import write_miniature
    write_miniature("padchest", "data/padchest-miniature", n_patients=8, seed=0)

A miniature has the names of files and columns that are published, the words for sex, race, view and labels, and the
oddities that break readers. Patients, films and findings come from `phantom.simulate`, so that the same seed gives the
same patients in every archive. `phantom.write_archive` writes MIMIC-CXR-JPG in full.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from common.atomic import write_json
from phantom.archive.physionet_layout import Draw
from phantom.film import draw_film
from phantom.miniatures.miniature_population import MiniaturePopulation
from phantom.miniatures.write_chexpert import write_chexpert, write_chexpert_plus, write_chexpert_test
from phantom.miniatures.write_mimic import write_mimic_dicom
from phantom.miniatures.write_nih import write_nih, write_rsna, write_siim
from phantom.miniatures.write_openi import write_openi
from phantom.miniatures.write_padchest import write_padchest
from phantom.miniatures.write_vindr import write_vindr_cxr, write_vindr_pcxr
from phantom.patients.population import simulate
from phantom.patients.scenario_presets import default

MARK = "scenario.json"
"""Readers recognise a simulated archive by this file"""

Writer = Callable[[Path, MiniaturePopulation], None]

MINIATURES: Mapping[str, Writer] = MappingProxyType(
    {
        "mimic-dicom": write_mimic_dicom,
        "chexpert": write_chexpert,
        "chexpert-plus": write_chexpert_plus,
        "chexpert-test": write_chexpert_test,
        "nih": write_nih,
        "padchest": write_padchest,
        "vindr-cxr": write_vindr_cxr,
        "vindr-pcxr": write_vindr_pcxr,
        "openi": write_openi,
        "rsna": write_rsna,
        "siim": write_siim,
    }
)
"""Name of the archive as in `--dataset_type` -> what writes its miniature"""


def write_miniature(
    archive: str,
    out_dir: Path | str,
    *,
    n_patients: int = 8,
    seed: int = 0,
    image_size: int = 64,
    draw: Draw = draw_film,
) -> MiniaturePopulation:
    """Write a miniature into a new or empty folder and return its patients; the same seed gives the same bytes.

    Args:
        archive: One of `MINIATURES`.
        out_dir: The folder; what the archive's distribution has at its top lies directly in it.
        n_patients: How many patients, 2 or more.
        seed: 0 or more.
        image_size: Longest side of the films, 32 pixels or more.
        draw: Draws one film; tests pass a faster stand-in.

    Raises:
        ValueError: If there is no such archive, fewer than 2 patients, or something in the folder.
    """
    root = Path(out_dir)
    if archive not in MINIATURES:
        raise ValueError(f"--archive must be one of {', '.join(MINIATURES)}, found {archive!r}")
    if n_patients < 2:
        raise ValueError(f"--n_patients must be 2 or more, so that both sides of a split have one; found {n_patients}")
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"--out_dir {root} is not empty: choose another folder")

    # VinDr-PCXR is an archive of children.
    scenario = default()
    if archive == "vindr-pcxr":
        scenario = replace(scenario, share_children=1.0)
    population = MiniaturePopulation(
        patients=simulate(scenario, n_patients=n_patients, seed=seed),
        scenario=scenario,
        seed=seed,
        image_size=image_size,
        draw=draw,
    )

    MINIATURES[archive](root, population)
    write_json(root / MARK, {"complete": True, "miniature": archive, "n_patients": n_patients, "seed": seed})
    return population
