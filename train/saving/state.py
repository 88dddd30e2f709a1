"""Exact resume: the state of a run, saved with each checkpoint, and the check that a resumed run is the same run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch.amp.grad_scaler import GradScaler

from common.atomic import write_whole
from models import Bundle
from train.input.pairs import Pairs
from train.train_config import TrainConfig

STATE_NAME = "state.pt"
MAY_DIFFER = frozenset(
    {
        *("cxr_filepath", "txt_filepath", "second_txt_filepath", "cohort_filepath", "no_cohort"),
        *("save_dir", "model_name", "out_dir", "overwrite", "resume", "save_interval", "keep", "save_format"),
        *("log_interval", "wandb", "eval_interval", "eval_split", "eval_images", "eval_prompts", "patience"),
        *("workers", "max_bad_steps", "record_pictures"),
    }
)
"""Options that do not change the steps. Files may have moved, because the pairs themselves are compared."""
CHANGES_ROUNDING = frozenset({"device", "compile", "gradient_checkpointing", "accum_freq", "threads"})
"""Options that compute the same step in another way: a resumed run may change them, but is then not bit-identical."""
MAY_GROW = frozenset({"epochs", "max_minutes"})
"""A resumed run may be longer; its learning rate then follows the longer schedule."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Progress of a run and its validation figures."""

    step: int = 0
    """Steps taken, skipped ones included"""
    seconds: float = 0.0
    """Seconds of training steps"""
    skipped: int = 0
    """Steps whose gradient was not finite"""
    best: float | None = None
    """Best validation figure"""
    best_step: int | None = None
    """Step of the best figure"""
    without_better: int = 0
    """Validations since the best one"""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures of the last validation"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """The model and everything else that changes from step to step."""

    bundle: Bundle
    """Model in training"""
    optimizer: torch.optim.Optimizer
    """Optimiser with its moments"""
    scaler: GradScaler
    """Scaler of float16 gradients"""
    average: ModelEmaV3 | None
    """Moving average of the weights; None: no average"""

    @property
    def bundle_to_save(self) -> Bundle:
        """The model that is validated and saved: the average if there is one."""
        if self.average is None:
            return self.bundle
        return replace(self.bundle, model=self.average.module)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Options and data of a run, which a resumed run must match."""

    config: dict[str, Any]
    """All options as JSON values; an option of a group is named "group.option" """
    pairs: str
    """Fingerprint of rows and texts"""
    world_size: int
    """Number of processes"""

    @classmethod
    def of(cls, config: TrainConfig, pairs: Pairs, *, world_size: int) -> "RunIdentity":
        """Return the identity of a run on these pairs."""
        return cls(config=flat_options(config), pairs=fingerprint_of(pairs, config), world_size=world_size)

    def compare(self, saved: "RunIdentity") -> list[str]:
        """Return notes for the user about a run that resumes from `saved`.

        Raises:
            ValueError: Options or pairs differ, so it is not the same run; the message names all of them.
        """
        refused: list[str] = []
        notes: list[str] = []
        for name in sorted(self.config.keys() | saved.config.keys()):
            there, here = (one.config.get(name, "no such option") for one in (saved, self))
            if there == here or name in MAY_DIFFER:
                continue
            longer = name in MAY_GROW and None not in (there, here) and here > there
            (notes if longer or name in CHANGES_ROUNDING else refused).append(f"{name}: {there} there, {here} here")

        if saved.pairs != self.pairs:
            refused.append(f"pairs: fingerprint {saved.pairs[:12]} there, {self.pairs[:12]} here (other texts or rows)")
        if refused:
            raise ValueError(
                "the folder holds a run with other settings, which cannot resume with this configuration:\n  "
                + "\n  ".join(refused)
                + "\nGive its own values, or start a new run from its weights: --model CHECKPOINT --out_dir OTHER"
            )

        if saved.world_size != self.world_size:
            notes.append(f"processes: {saved.world_size} there, {self.world_size} here")
        return [f"{note}: the run continues, but its results will not be bit-identical" for note in notes]


def flat_options(config: TrainConfig) -> dict[str, Any]:
    """Return all options as JSON values; an option of a group is named "group.option".

    >>> flat_options(TrainConfig())["augment.flip"]
    0.0
    """
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(asdict(config), default=str)).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def fingerprint_of(pairs: Pairs, config: TrainConfig) -> str:
    """Return the SHA-256 of the rows, texts, studies and labels that a run reads, 64 hexadecimal digits; no pixels."""
    digest = hashlib.sha256(pairs.rows.astype("<i8").tobytes())
    studies = pairs.study_numbers()
    for texts in (pairs.texts, pairs.second_texts, None if studies is None else studies.tolist()):
        digest.update(json.dumps(None if texts is None else list(texts)).encode())
    if config.label_similarity > 0 and pairs.labels is not None:
        digest.update(pairs.labels.astype("<f8").tobytes())
    return digest.hexdigest()


def save_state(folder: Path, learner: Learner, progress: Progress, identity: RunIdentity) -> None:
    """Write state.pt, with tensors and plain values only, beside the model that is saved in `folder`.

    It holds the training weights too, because the saved model can be their average or in another layout.
    """
    parts = {
        "progress": asdict(progress),
        "identity": asdict(identity),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "weights": learner.bundle.model.state_dict(),
        "average": None if learner.average is None else learner.average.module.state_dict(),
    }
    with write_whole(folder / STATE_NAME) as temporary:
        torch.save(parts, temporary)


def load_state(checkpoint: Path, learner: Learner, identity: RunIdentity) -> tuple[Progress, list[str]]:
    """Load a checkpoint's weights and state into the learner; return its progress and notes for the user.

    Raises:
        FileNotFoundError: The checkpoint has no state.
        ValueError: The checkpoint is of another run (see `RunIdentity.compare`).
    """
    path = checkpoint / STATE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{checkpoint} has no {STATE_NAME} to resume from: start a new run with --model {checkpoint}"
        )

    parts: Mapping[str, Any] = torch.load(path, map_location=learner.bundle.device, weights_only=True)
    notes = identity.compare(RunIdentity(**parts["identity"]))

    learner.bundle.model.load_state_dict(parts["weights"])
    if learner.average is not None:
        learner.average.module.load_state_dict(parts["average"])
    learner.optimizer.load_state_dict(parts["optimizer"])
    learner.scaler.load_state_dict(parts["scaler"])

    progress = Progress(**parts["progress"])
    return progress, [f"resumes after step {progress.step}, from {checkpoint}", *notes]
