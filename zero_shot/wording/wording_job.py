"""`run_zero_shot.py wording`: how much a score depends on the prompt, and which of several names scores best."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.programs import Job

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from torch import Tensor

    import models
    from zero_shot.wording.sensitivity import Prompts, Sensitivity

ABOUT = """Measure how much the AUROC depends on the prompt, beside how much it depends on the patients.

Every prompt of every prompt set is scored on the same image features. Several models also get rank flips: prompts
under which the order of two models turns. Writes prompts.csv, prompt_sensitivity.csv and rank_flips.csv, and with
--alternatives alternatives.csv and alternatives_summary.csv.

python run_zero_shot.py wording --checkpoints runs/phantom --truth_filepath data/phantom/truth.csv
python run_zero_shot.py wording --checkpoints runs/a runs/b --prompt_sets radiologist cxr_clip sentence
python run_zero_shot.py wording --checkpoints runs/a --alternatives names.json
"""
HEADINGS = {
    "checkpoints": "models and images",
    "truth_filepath": "truth",
    "prompt_sets": "prompts",
    "alternatives": "alternative names",
    "n_replicates": "intervals",
    "batch_size": "computation",
    "out_dir": "output",
}
"""Field -> heading in `-h` of this field and the fields after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingConfig:
    """Which models, and which ways of asking."""

    checkpoints: tuple[str, ...]
    """Run folders, checkpoint folders, CheXzero .pt files or open_clip NAME:TAG; rank flips compare each pair"""
    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """Cohort table written with the images"""
    split: str = "test"
    """Split of the cohort whose frontal images are scored, or "all\""""
    truth_filepath: Path | None = None
    """CSV with image_id and columns of 0 and 1 named as the findings; without it, the cohort's own labels"""
    prompt_sets: tuple[str, ...] = ()
    """Prompt sets to compare, shipped ones or JSON files; without it, every shipped set that knows all --findings"""
    main_set: str = "radiologist"
    """Prompt set that the others are compared with; its phrases together are the prompt with the interval"""
    findings: tuple[str, ...] = ()
    """Findings to score; without it, all of --main_set but No Finding, which most sets cannot ask for"""
    alternatives: Path | None = None
    """JSON file of finding -> list of its names, such as {"Pleural Effusion": ["pleural effusion", "pleural fluid"]};
    each name is scored by itself"""
    pair_template: tuple[str, str] = ("{}", "no {}")
    """Positive and negative template that each alternative name is put into"""
    n_replicates: int = 1000
    """Bootstrap resamples of patients"""
    seed: int = 0
    """Seed of the bootstrap"""
    batch_size: int = 64
    """Images per forward pass"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""
    out_dir: Path = Path("predictions/wording")
    """Folder of the tables"""

    def __post_init__(self) -> None:
        if not self.checkpoints or len(set(self.checkpoints)) < len(self.checkpoints):
            raise ValueError(f"--checkpoints: wanted one path or more, each once, found {list(self.checkpoints)}")
        if self.prompt_sets and self.main_set not in self.prompt_sets:
            raise ValueError(f"--main_set: wanted one of --prompt_sets, found {self.main_set!r}")
        for flag, value, least in (("n_replicates", self.n_replicates, 40), ("batch_size", self.batch_size, 1)):
            if value < least:
                raise ValueError(f"--{flag}: wanted {least} or more, found {value}")

    @property
    def model_names(self) -> tuple[str, ...]:
        """What the models are called in tables: the last part of their path where these differ, else all of it."""
        short = tuple(Path(checkpoint).name for checkpoint in self.checkpoints)
        return short if len(set(short)) == len(short) else self.checkpoints


def main(config: WordingConfig) -> Sensitivity:
    """Write the tables, print what they say, and return the sensitivity.

    Raises:
        FileNotFoundError, ValueError: what the files do wrong, and what `prompt_sensitivity` and `alternative_table`
            refuse.
    """
    import pandas as pd  # noqa: PLC0415  (pandas and torch, which -h does not need)

    from zero_shot.features import image_features  # noqa: PLC0415
    from zero_shot.job_inputs import frontal_images, load_on, write_tables  # noqa: PLC0415
    from zero_shot.select import choose_labels  # noqa: PLC0415
    from zero_shot.wording.alternatives import summarise_alternatives  # noqa: PLC0415
    from zero_shot.wording.sensitivity import encode_prompts, prompt_sensitivity  # noqa: PLC0415

    prompts, default = _prompts(config)
    names = {} if config.alternatives is None else _read_names(config.alternatives)
    encoded, by_name = {}, []
    with frontal_images(config.cxr_filepath, config.cohort_filepath, split=config.split) as (chosen, images):
        wanted = list(dict.fromkeys([*prompts, *names]))
        truth = choose_labels(chosen, wanted, truth_filepath=config.truth_filepath)

        # one model at a time: features stay, weights go
        for model, checkpoint in zip(config.model_names, config.checkpoints, strict=True):
            bundle = load_on(checkpoint, config.device)
            features = image_features(bundle, images, batch_size=config.batch_size)
            encoded[model] = encode_prompts(bundle, features, images.ids, prompts)
            if names:
                by_name.append(_alternatives(config, bundle, features, truth, names).assign(model=model))

    patients = chosen["subject_id"].tolist()
    found = prompt_sensitivity(
        encoded, prompts, truth, patients, default=default, n_replicates=config.n_replicates, seed=config.seed
    )
    found.write(config.out_dir)
    if by_name:
        tables = [table[["model", *table.columns.drop("model")]] for table in by_name]
        best = [summarise_alternatives(table).assign(model=table["model"].iloc[0]) for table in tables]
        summary = pd.concat([table[["model", *table.columns.drop("model")]] for table in best], ignore_index=True)
        written = {"alternatives": pd.concat(tables, ignore_index=True), "alternatives_summary": summary}
        write_tables(config.out_dir, written)
    _say(config, found, summary if by_name else None)
    return found


def _prompts(config: WordingConfig) -> tuple[Prompts, str]:
    """Return every prompt of every set for each finding, and the name of the main set."""
    from zero_shot.prompts import NO_FINDING, shipped_names  # noqa: PLC0415
    from zero_shot.wording.families import load_family  # noqa: PLC0415
    from zero_shot.wording.sensitivity import all_prompts  # noqa: PLC0415

    main_set = load_family(config.main_set)
    findings = config.findings or tuple(name for name in main_set.wordings if name != NO_FINDING)
    sets = config.prompt_sets or tuple(dict.fromkeys([config.main_set, *shipped_names(findings)]))
    return all_prompts([load_family(name) for name in sets], findings), main_set.name


def _read_names(path: Path) -> dict[str, list[str]]:
    """Return finding -> its names, from a JSON file."""
    if not path.is_file():
        raise FileNotFoundError(f"--alternatives: wanted a JSON file, found none at {path}")
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--alternatives: wanted JSON in {path}, found {error}") from error
    if not isinstance(names, dict) or not names or not all(isinstance(own, list) for own in names.values()):
        raise ValueError(f"--alternatives: wanted finding -> list of names in {path}, found {names!r}")
    return names


def _alternatives(
    config: WordingConfig,
    bundle: models.Bundle,
    features: Float[Tensor, "n d"],
    truth: pd.DataFrame,
    names: dict[str, list[str]],
) -> pd.DataFrame:
    from zero_shot.wording.alternatives import alternative_table  # noqa: PLC0415

    ids = truth["image_id"].tolist()
    return alternative_table(bundle, features, ids, truth, names, pair_template=config.pair_template)


def _say(config: WordingConfig, found: Sensitivity, names: pd.DataFrame | None) -> None:
    """Print the range over prompts beside the interval over patients, the rank flips, and the best names."""
    from zero_shot.job_inputs import as_text  # noqa: PLC0415

    shown = ["model", "finding", "n_prompts", "min", "max", "auroc", "low", "high", "status", "larger", "worst_prompt"]
    print(as_text(found.summary[shown]))
    print(f"auroc, low, high: the prompt set {config.main_set} and its interval over patients; min, max: over prompts")
    if len(found.flips):
        columns = ["first", "second", "finding", "n_prompts", "share", "difference", "low", "high"]
        print(as_text(found.flips[columns]))
        print("share: prompts under which the order of the two models is the opposite of the majority's")
    if names is not None:
        print(as_text(names.drop(columns="reason")))
    print(f"tables in {config.out_dir}")


JOB = Job(about=ABOUT, config=WordingConfig, run=main, headings=HEADINGS)
