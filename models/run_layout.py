"""How the folder of a run names its checkpoints: training writes it so, and `models.load` reads it."""

from pathlib import Path

CHECKPOINTS, LATEST, BEST = "checkpoints", "latest", "best"
"""the folder of the checkpoints, and the files beside it that name the newest and the best by validation"""


def checkpoint_named_by(pointer: Path) -> Path:
    """Return the checkpoint folder that the file `latest` or `best` of a run's folder names."""
    return pointer.parent / pointer.read_text(encoding="utf-8").strip()
