"""Does the demo give the same model whatever else the machine does? The same seed, run again, allowed more, disturbed.

python benchmarks/demo_repeat.py --json runs/demo_repeat.json

Four demos: twice with one thread allowed, once with two, and once with one beside a loop that keeps a core busy. A demo
whose summary is in --work_dir is not run again, so an interrupted call can be repeated.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness import ROOT, parser, report

from models.checkpoint import LATEST, checkpoint_named_by
from wiring.demo_plan import DemoConfig


class Setting(NamedTuple):
    """How one demo is run."""

    name: str
    threads: int
    """Threads that OMP_NUM_THREADS allows"""
    busy: bool
    """Whether a loop keeps a core busy meanwhile"""


SETTINGS = (
    Setting("first", threads=1, busy=False),
    Setting("again", threads=1, busy=False),
    Setting("two_threads", threads=2, busy=False),
    Setting("busy", threads=1, busy=True),
)


@contextmanager
def a_busy_core() -> Iterator[None]:
    """Keep one core busy inside."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def run_demo(setting: Setting, folder: Path, arguments: list[str]) -> None:
    """Run the demo in a process of its own."""
    command = [sys.executable, str(ROOT / "run_demo.py"), "--out_dir", str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": str(setting.threads)}
    if setting.busy:
        with a_busy_core():
            subprocess.run(command, check=True, env=environment)
    else:
        subprocess.run(command, check=True, env=environment)


def main() -> None:
    """Run the demos and print their scores, steps and times."""
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, default=DemoConfig().seed)
    arguments.add_argument("--n_patients", type=int, default=DemoConfig().n_patients)
    arguments.add_argument("--epochs", type=int, default=DemoConfig().epochs)
    arguments.add_argument("--work_dir", type=Path, default=Path("runs/demo_repeat"), help="the demos are kept here")
    options = arguments.parse_args()
    of_the_demo = [
        *("--seed", str(options.seed)),
        *("--n_patients", str(options.n_patients)),
        *("--epochs", str(options.epochs)),
    ]

    runs: list[dict[str, Any]] = []
    for setting in SETTINGS:
        folder = options.work_dir / setting.name
        if not (folder / "summary.json").is_file():
            run_demo(setting, folder, of_the_demo)

        summary = json.loads((folder / "summary.json").read_text())
        steps = int(checkpoint_named_by(folder / "model" / LATEST).name.removeprefix("step_"))
        scores = {name: summary[name] for name in ("mean_auroc", "supervised_mean_auroc", "seconds")}
        runs.append({**setting._asdict(), **scores, "steps": steps})
        print(runs[-1], flush=True)

    means = [run["mean_auroc"] for run in runs]
    quiet, busy = runs[0]["seconds"], runs[-1]["seconds"]
    figures = {
        "runs": runs,
        "largest difference of mean AUROC": max(means) - min(means),
        "share of supervised, first run": runs[0]["mean_auroc"] / runs[0]["supervised_mean_auroc"],
        "seconds beside a busy core, times those of the first run": busy / quiet,
    }
    report(figures, title="The same demo four times", json_path=options.json)


if __name__ == "__main__":
    main()
