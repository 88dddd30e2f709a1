"""What it costs to draw an archive: the default one once, and a small one with one worker against all.

python benchmarks/drawing_speed.py --json runs/phantom.json
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import interleaved_seconds, median_ratio, parser, report

from phantom import default, write_archive
from phantom.phantom_config import PhantomConfig


def main() -> None:
    """Draw the archives and print seconds, films per second and what the workers gain."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    options = arguments.parse_args()
    whole, cores = PhantomConfig(), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        archive = write_archive(
            Path(folder) / "whole",
            scenario=default(),
            n_patients=whole.n_patients,
            seed=whole.seed,
            image_size=whole.image_size,
        )
        seconds = time.perf_counter() - started
        turn = iter(range(10_000))

        def draw(workers: int) -> None:
            root = Path(folder) / f"part_{next(turn)}"
            write_archive(
                root, scenario=default(), n_patients=200, seed=0, image_size=whole.image_size, workers=workers
            )

        parts = interleaved_seconds({"one": lambda: draw(1), "all": lambda: draw(cores)}, repeats=options.repeats)
    figures: dict[str, Any] = {
        f"seconds for {whole.n_patients:,} patients at {whole.image_size} pixels": seconds,
        "films": archive.n_images,
        "films per second": archive.n_images / seconds,
        "200 patients, one worker: seconds": statistics.median(parts["one"]),
        f"200 patients, {cores} workers: times faster": median_ratio(parts["one"], parts["all"]),
    }
    report(figures, title="Drawing a simulated archive", json_path=options.json)


if __name__ == "__main__":
    main()
