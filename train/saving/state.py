"""What a run needs to go on exactly where it was, and what it must find again to do so."""

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
        *("cxr_filepath", "txt_filepath", "second_txt_filepath", "cohort_filepath"),
        *("save_dir", "model_name", "out_dir", "overwrite", "resume", "save_interval", "keep", "save_format"),
        *("log_interval", "wandb", "eval_interval", "eval_split", "eval_images", "eval_prompts", "patience"),
        *("workers", "max_bad_steps", "record_pictures"),
    }
)
"""Options that leave the steps as they are. Files may have moved: the pairs themselves are compared."""
CHANGES_ROUNDING = frozenset({"device", "compile", "gradient_checkpointing", "accum_freq"})
"""Options of how the same step is computed: a run may go on with others, but not bit by bit."""
MAY_GROW = frozenset({"epochs", "max_minutes"})
"""A run may be made longer; its learning rate then follows the longer schedule from here on."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is and what it found out on its way."""

    step: int = 0
    """updates made, skipped ones included"""
    seconds: float = 0.0
    """of training steps"""
    skipped: int = 0
    """steps whose gradient was not finite"""
    best: float | None = None
    """best figure of the validations"""
    best_step: int | None = None
    """where that was"""
    without_better: int = 0
    """validations since then"""
    metrics: dict[str, float] = field(default_factory=dict)
    """of the last validation"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """All that changes from step to step."""

    bundle: Bundle
    """the model that trains"""
    optimizer: torch.optim.Optimizer
    """with its moments"""
    scaler: GradScaler
    """of float16 gradients"""
    average: ModelEmaV3 | None
    """moving average of the weights"""

    @property
    def judged(self) -> Bundle:
        """What is validated and saved: the average where there is one."""
        if self.average is None:
            return self.bundle
        return replace(self.bundle, model=self.average.module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a run is a run of: to be found again when it goes on."""

    config: dict[str, Any]
    """every option, as JSON has it, those of a group as "group.option" """
    pairs: str
    """fingerprint of rows and texts"""
    world_size: int
    """processes"""

    @classmethod
    def of(cls, config: TrainConfig, pairs: Pairs, *, world_size: int) -> "Identity":
        """Return the identity of a run on these pairs."""
        return cls(config=flat_options(config), pairs=fingerprint_of(pairs, config), world_size=world_size)

    def compare(self, saved: "Identity") -> list[str]:
        """Return what a run that goes on from `saved` should be told.

        Raises:
            ValueError: an option or the pairs are others, so that it would not be the same run; all are named.
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
                "the run in the folder is another one and cannot go on with this configuration:\n  "
                + "\n  ".join(refused)
                + "\nGive the values it had, or start a new run from its weights: --model CHECKPOINT --out_dir OTHER"
            )
        if saved.world_size != self.world_size:
            notes.append(f"processes: {saved.world_size} there, {self.world_size} here")
        return [f"{note}: the run goes on, but not bit by bit as it would have" for note in notes]


def flat_options(config: TrainConfig) -> dict[str, Any]:
    """Return every option as JSON has it; those of a group are called "group.option".

    >>> flat_options(TrainConfig())["augment.flip"]
    0.0
    """
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(asdict(config), default=str)).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def fingerprint_of(pairs: Pairs, config: TrainConfig) -> str:
    """Return the SHA-256 of what a run reads of its pairs, 64 hexadecimal digits; pixels are left out."""
    digest = hashlib.sha256(pairs.rows.astype("<i8").tobytes())
    studies = pairs.study_ids if config.views_per_study > 1 else None
    for texts in (pairs.texts, pairs.second_texts, studies):
        digest.update(json.dumps(None if texts is None else list(texts)).encode())
    if config.label_similarity > 0 and pairs.labels is not None:
        digest.update(pairs.labels.astype("<f8").tobytes())
    return digest.hexdigest()


def save_state(folder: Path, learner: Learner, progress: Progress, identity: Identity) -> None:
    """Write state.pt, tensors and plain values only, beside the model that is saved in `folder`.

    It holds the weights once more: as they train, where the saved model is their average or in another layout.
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


def load_state(checkpoint: Path, learner: Learner, identity: Identity) -> tuple[Progress, list[str]]:
    """Put a checkpoint's weights and state into the learner; return how far it was and what the user should know.

    Raises:
        FileNotFoundError: a checkpoint without state.
        ValueError: the checkpoint is of another run (see `Identity.compare`).
    """
    path = checkpoint / STATE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{checkpoint} has no {STATE_NAME} to go on from: start anew with --model {checkpoint}")
    parts: Mapping[str, Any] = torch.load(path, map_location=learner.bundle.device, weights_only=True)
    notes = identity.compare(Identity(**parts["identity"]))
    learner.bundle.model.load_state_dict(parts["weights"])
    if learner.average is not None:
        learner.average.module.load_state_dict(parts["average"])
    learner.optimizer.load_state_dict(parts["optimizer"])
    learner.scaler.load_state_dict(parts["scaler"])
    progress = Progress(**parts["progress"])
    return progress, [f"goes on after step {progress.step}, from {checkpoint}", *notes]
