"""Packing and reading against CheXzero's recipe: CPU seconds per image, grey levels, bytes, memory.

python benchmarks/packing_speed.py --json out.json
python benchmarks/packing_speed.py --n_images 40 --rounds 1        # a quick look

Every contestant is a process of its own, takes its turn in every round, and packs the same files. The figures are
medians over rounds of processor time, which a busy machine disturbs least. The films are drawn: 2544 x 3056, grey, JPEG
quality 95, about 1.5 MB each, as MIMIC-CXR-JPG has them.
"""
# ruff: noqa: PLC0415  (every role imports what it needs and no more, because its memory is measured)

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness

WIDTH, HEIGHT, RESOLUTION = 2544, 3056, 320
MIMIC_IMAGES = 377_110
NOISE = 2.3  # grey levels; makes files of 1.5 MB
N_READS = 2_000


def draw_films(folder: Path, n_images: int, n_distinct: int) -> list[Path]:
    """Write the films; the same few under many names, because their content does not change the time."""
    import cv2
    import numpy as np
    from PIL import Image

    from phantom.body import Body
    from phantom.film import draw_film

    contents = []
    for seed in range(min(n_distinct, n_images)):
        rng = np.random.default_rng(seed)
        film = draw_film(Body(age_years=60, sex="FM"[seed % 2], seed=seed), image_size=1024, rng=rng).image
        large = cv2.resize(film, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        grain = cv2.GaussianBlur(rng.standard_normal(large.shape, dtype=np.float32), (0, 0), 0.7)
        noisy = np.clip(large + NOISE / grain.std() * grain, 0, 255).astype(np.uint8)
        path = folder / f"drawn-{seed}.jpg"
        Image.fromarray(noisy).save(path, quality=95)
        contents.append(path.read_bytes())
        path.unlink()
    paths = [folder / f"{number:05}.jpg" for number in range(n_images)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % len(contents)])
    return paths


def pack_as_chexzero(paths: Sequence[Path], out: Path) -> None:
    """Pack by the reference recipe: OpenCV decodes in colour, Pillow resizes three channels (LANCZOS), float32 rows."""
    import cv2
    import h5py
    import numpy as np
    from PIL import Image

    cv2.setNumThreads(1)
    with h5py.File(out, "w") as file:
        rows = file.create_dataset("cxr", shape=(len(paths), RESOLUTION, RESOLUTION), dtype="f4")
        for row, path in enumerate(paths):
            picture = Image.fromarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
            ratio = float(RESOLUTION) / max(picture.size)
            size = (int(picture.width * ratio), int(picture.height * ratio))
            square = Image.new("L", (RESOLUTION, RESOLUTION))
            place = ((RESOLUTION - size[0]) // 2, (RESOLUTION - size[1]) // 2)
            square.paste(picture.resize(size, Image.Resampling.LANCZOS), place)
            rows[row] = np.asarray(square)


def decode_only(paths: Sequence[Path], _: Path) -> None:
    """Decode at 1/8, which hardly does more than undo the entropy coding: no packer of JPEGs can be faster."""
    import simplejpeg

    for path in paths:
        simplejpeg.decode_jpeg(path.read_bytes(), "GRAY", min_width=WIDTH // 8, min_height=HEIGHT // 8)


def pack_with(engine_name: str, *, exact: bool) -> Callable[[Sequence[Path], Path], None]:
    """Return the job of this project, all of it: decode, resize, rows, checksums, journal, synchronised to the disk."""

    def job(paths: Sequence[Path], out: Path) -> None:
        from preprocess.packing.block import PackSpec
        from preprocess.packing.engines import in_processes, in_this_process
        from preprocess.packing.journal import ImageToPack
        from preprocess.packing.pack import pack_images

        images = [ImageToPack.of_file(path.stem, path) for path in paths]
        engine = in_this_process if engine_name == "here" else in_processes(int(engine_name))
        timed = engine if engine_name == "here" else metered(engine, out.with_suffix(".meter"))
        with pack_images(out, images, spec=PackSpec(resolution=RESOLUTION, exact=exact), engine=timed):
            pass

    return job


@dataclass(frozen=True)
class Metered:
    """What a worker does, with its processor time, memory and hours noted in a file per worker."""

    work: Any
    folder: Path

    def __call__(self, block: Any) -> Any:
        """Do the work and note what it took."""
        start, began = time.process_time(), time.time()
        entries = self.work(block)
        usage = {
            "n": len(entries),
            "cpu": time.process_time() - start,
            "began": began,
            "ended": time.time(),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        with (self.folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(usage) + "\n")
        return entries


def metered(engine: Any, folder: Path) -> Any:
    """Return the engine with its work metered."""

    def run(work: Any, blocks: Any) -> Iterator[Any]:
        folder.mkdir()
        yield from engine(Metered(work, folder), blocks)

    return run


ROLES: dict[str, Callable[[Sequence[Path], Path], None]] = {
    "baseline": pack_as_chexzero,
    "default": pack_with("here", exact=False),
    "exact": pack_with("here", exact=True),
    "bound": decode_only,
    "one worker": pack_with("1", exact=False),
    "two workers": pack_with("2", exact=False),
}


def play(role: str, films: Path, out: Path) -> None:
    """Do one role's job in this process and print its processor seconds per image."""
    paths = sorted(films.glob("*.jpg"))
    job = ROLES[role]
    job(paths[:2], out.with_name("warm-up.h5"))  # Imports, and tables that are made once.
    start = time.process_time()
    job(paths, out)
    print(json.dumps({"cpu_ms": 1e3 * (time.process_time() - start) / len(paths)}))


def run_role(role: str, films: Path, out: Path) -> float:
    """Let a fresh process play a role; return its processor milliseconds per image."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, "--role", role, "--films", str(films), "--out", str(out)],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **one_thread},
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_ms"])


def meter_readings(out: Path) -> dict[str, float]:
    """Return what the workers of one job noted: CPU per image, wall-clock seconds, largest resident memory."""
    lines = [json.loads(line) for path in out.with_suffix(".meter").iterdir() for line in path.read_text().splitlines()]
    return {
        "cpu_ms": 1e3 * sum(line["cpu"] for line in lines) / sum(line["n"] for line in lines),
        "wall_s": max(line["ended"] for line in lines) - min(line["began"] for line in lines),
        "rss_mb": max(line["rss_mb"] for line in lines),
    }


def difference(default: Path, exact: Path) -> tuple[float, int]:
    """Return PSNR in dB and the largest difference in grey levels between two stores."""
    import numpy as np

    from cohort import open_images

    rows = np.arange(len(open_images(exact)))
    gaps = open_images(default).read(rows).astype(np.int64) - open_images(exact).read(rows)
    return float(10 * np.log10(255**2 / np.mean(gaps**2))), int(np.abs(gaps).max())


def refuse_other_pixels(exact: Path, baseline: Path) -> None:
    """Stop unless `--exact` gave the baseline's grey levels, every one."""
    import numpy as np

    from cohort import open_images

    rows = np.arange(len(open_images(exact)))
    if not np.array_equal(open_images(exact).read(rows), open_images(baseline).read(rows)):
        raise RuntimeError("--exact differs from the reference recipe: a benchmark of something else is worth nothing")


def read_ratio(store_path: Path, baseline: Path) -> float:
    """Return how many times less processor time a random row takes from our store than from the baseline's."""
    import h5py
    import numpy as np

    from cohort import open_images

    store = open_images(store_path)
    order = np.random.default_rng(0).integers(0, len(store), N_READS)
    with h5py.File(baseline) as file:
        rows = file["cxr"]
        contestants = {"baseline": lambda row: rows[row], "ours": lambda row: store.read([row])}
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(5):
            for name, read in contestants.items():
                start = time.process_time()
                for row in order:
                    read(row)
                seconds[name].append(time.process_time() - start)
    return harness.median_ratio(seconds["baseline"], seconds["ours"])


def measure(films: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Let every role play in every round and return the figures."""
    cpu: dict[str, list[float]] = {role: [] for role in ROLES}
    workers: dict[str, list[dict[str, float]]] = {"one worker": [], "two workers": []}
    outs: dict[str, Path] = {}

    # roles run in turns, so that slow changes of the machine affect all of them
    for turn in range(rounds):
        for role in ROLES:
            outs[role] = scratch / f"{turn}-{role.replace(' ', '-')}" / "cxr.h5"
            outs[role].parent.mkdir()
            cpu[role].append(run_role(role, films, outs[role]))
            if role in workers:
                workers[role].append(meter_readings(outs[role]))
            print(f"round {turn + 1}: {role}, {cpu[role][-1]:.1f} CPU ms an image in its main process", flush=True)

    refuse_other_pixels(outs["exact"], outs["baseline"])
    psnr_db, max_abs_diff = difference(outs["default"], outs["exact"])
    one, two = (medians(workers[role]) for role in ("one worker", "two workers"))
    return {
        **{f"cpu_ms_{role}": statistics.median(cpu[role]) for role in ("baseline", "default", "exact", "bound")},
        "ratio_default": harness.median_ratio(cpu["baseline"], cpu["default"]),
        "ratio_exact": harness.median_ratio(cpu["baseline"], cpu["exact"]),
        "ratio_bound": harness.median_ratio(cpu["baseline"], cpu["bound"]),
        "psnr_db": psnr_db,
        "max_abs_diff": max_abs_diff,
        "bytes_ratio": round(outs["default"].stat().st_size / outs["baseline"].stat().st_size, 3),
        "worker_rss_mb": max(one["rss_mb"], two["rss_mb"]),
        "cpu_growth_2": two["cpu_ms"] / one["cpu_ms"],
        "wall_ratio_2": one["wall_s"] / two["wall_s"],
        "read_ratio": read_ratio(outs["default"], outs["baseline"]),
    }


def medians(readings: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median over rounds of everything that was metered."""
    return {name: statistics.median(reading[name] for reading in readings) for name in readings[0]}


def extrapolate(cpu_ms: float, bytes_per_image: float) -> None:
    """Print what the measured milliseconds mean for all of MIMIC-CXR-JPG if nothing else limits the speed."""
    print(f"\nEXTRAPOLATED to the {MIMIC_IMAGES:,} images of MIMIC-CXR-JPG: cores scale perfectly, the disk keeps up")
    for cores in (2, 64):
        hours = MIMIC_IMAGES * cpu_ms / 1e3 / cores / 3600
        bandwidth = bytes_per_image * cores / (cpu_ms / 1e3) / 1e6
        print(f"  {cores:>2} cores  {hours:6.2f} h, if the archive can be read at {bandwidth:,.0f} MB/s")


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--n_images", type=int, default=200, help="films a role packs in a round")
    parser.add_argument("--n_distinct", type=int, default=20, help="different films among them")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every role")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--films", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    # this process is one contestant of a round
    if options.role is not None:
        play(options.role, options.films, options.out)
        return

    with tempfile.TemporaryDirectory() as scratch:
        films = Path(scratch) / "films"
        films.mkdir()
        paths = draw_films(films, options.n_images, options.n_distinct)
        bytes_per_image = statistics.mean(path.stat().st_size for path in paths)
        figures = {"n_images": len(paths), "rounds": options.rounds, "jpeg_mb": bytes_per_image / 1e6}
        figures |= measure(films, Path(scratch), options.rounds)

    harness.report(figures, title="packing against CheXzero's recipe", json_path=options.json)
    extrapolate(figures["cpu_ms_default"], bytes_per_image)


if __name__ == "__main__":
    main()
