"""kill -9 of the command line and of a cluster's worker, on an archive; the files that come out are compared as bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from cohort import open_images
from preprocess.packing.block import JobFailedError, PackSpec
from preprocess.packing.engines import on_cluster
from preprocess.packing.journal import ImageToPack
from preprocess.packing.pack import pack_images
from preprocess.packing.verify import VerifyConfig, verify
from preprocess.pipeline import run
from preprocess.preprocess_config import PreprocessConfig

pytestmark = pytest.mark.resume

ROOT = Path(__file__).resolve().parents[3]
FILES = [
    "cohort.csv",
    "contact_sheet.png",
    "cxr.h5",
    "cxr.h5.journal",
    "cxr_paths.csv",
    "flow.csv",
    "mimic_impressions.csv",
    "preprocess.json",
    "text_statistics.csv",
]
SLOW_ROWS = """
import sys, time
import preprocess.packing.block as block
make_row = block.make_row
block.make_row = lambda path, spec: (time.sleep(0.05), make_row(path, spec))[1]
from preprocess.preprocess_config import PreprocessConfig
from preprocess.pipeline import run
run(PreprocessConfig(archive_root=sys.argv[1], out_dir=__import__("pathlib").Path(sys.argv[2]), workers=1, resolution=40))
"""

CTRL_C = """
import sys, time
import preprocess.packing.block as block
make_row = block.make_row
block.make_row = lambda path, spec: (time.sleep(0.2), make_row(path, spec))[1]
if __name__ == "__main__":
    from preprocess_train_data import cli
    sys.exit(cli())
"""


def decodings(folder) -> Counter:
    lines = [json.loads(line) for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return Counter(line["started"] for line in lines if "started" in line)


def finished(folder) -> int:
    return sum('"sha256"' in line for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines())


def wait_for(condition, seconds=60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def test_a_run_that_is_killed_twice_ends_in_the_files_of_one_that_was_not(larger_mimic, tmp_path):
    straight = PreprocessConfig(archive_root=larger_mimic.root, out_dir=tmp_path / "straight", workers=1, resolution=40)
    n_packed = run(straight).n_packed
    out, seen = tmp_path / "killed", 0
    for _ in range(2):
        job = subprocess.Popen([sys.executable, "-c", SLOW_ROWS, str(larger_mimic.root), str(out)], cwd=ROOT)
        wait_for(lambda seen=seen: finished(out) >= seen + 5)
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        assert sorted(path.name for path in out.iterdir()) == ["cxr.h5.partial"]
        seen = finished(out)
        assert seen < n_packed
    torn = max(out.rglob("*.jsonl"))
    torn.write_bytes(torn.read_bytes() + b'{"image_id": "tor')
    again = run(PreprocessConfig(archive_root=larger_mimic.root, out_dir=out, workers=1, resolution=40))
    assert again.n_decoded == n_packed - seen
    assert not verify(VerifyConfig(cxr_filepath=out / "cxr.h5")).damaged
    assert sorted(path.name for path in out.iterdir()) == FILES
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name


def test_no_image_is_decoded_twice_but_the_one_at_which_the_job_was_killed(larger_mimic, tmp_path):
    job = subprocess.Popen([sys.executable, "-c", SLOW_ROWS, str(larger_mimic.root), str(tmp_path / "out")], cwd=ROOT)
    wait_for(lambda: finished(tmp_path / "out") >= 5)
    job.kill()
    job.wait()
    done, begun = finished(tmp_path / "out"), sum(decodings(tmp_path / "out").values())
    assert begun - done in {0, 1}


def test_workers_end_when_their_parent_is_killed(larger_mimic, tmp_path):
    program = SLOW_ROWS.replace("workers=1", "workers=2").replace("0.05", "0")
    program = f"if __name__ == '__main__':\n    {program.strip().replace(chr(10), chr(10) + '    ')}"
    (tmp_path / "job.py").write_text(program)
    job = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py"), str(larger_mimic.root), str(tmp_path / "out")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "out").exists() and finished(tmp_path / "out") >= 1)
    job.kill()
    job.wait()
    wait_for(lambda: not _alive_in_session(job.pid))


def test_ctrl_c_ends_the_command_in_one_line_and_the_next_one_continues(larger_mimic, tmp_path):
    (tmp_path / "job.py").write_text(CTRL_C)
    out = tmp_path / "out"
    job = subprocess.Popen(
        [sys.executable, "job.py", "--archive_root", str(larger_mimic.root), "--out_dir", str(out), "--workers", "2"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: out.exists() and finished(out) >= 3)
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: all processes get it
    _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (
        130,
        "interrupted: stopped by Ctrl-C; the same command continues where this one stopped\n",
    )
    done = finished(out)
    assert done < 24
    assert sum(decodings(out).values()) == done
    assert sorted(path.name for path in out.iterdir()) == ["cxr.h5.partial"]
    again = run(PreprocessConfig(archive_root=larger_mimic.root, out_dir=out, workers=1))
    assert again.n_decoded == 24 - done


def _alive_in_session(session: int) -> list[int]:
    alive = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                alive.append(int(folder.name))
    return alive


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster


def test_a_cluster_whose_worker_is_killed_writes_the_same_bytes(larger_mimic, tmp_path, cluster):
    images = [ImageToPack.of_file(name, path) for name, path in sorted(larger_mimic.images.items())]
    spec = PackSpec(resolution=40)
    with pack_images(tmp_path / "straight.h5", images, spec=spec):
        pass

    def with_an_accident(work, blocks):
        results = on_cluster(cluster.scheduler_address)(work, blocks)
        yield next(results)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        yield from results

    with pack_images(tmp_path / "cluster.h5", images, spec=spec, engine=with_an_accident) as packed:
        started = decodings(tmp_path / "cluster.h5.partial")
    assert packed.n_decoded == len(images)
    assert sum(started.values()) - len(images) <= 1
    for suffix in ("", ".journal"):
        assert (tmp_path / f"straight.h5{suffix}").read_bytes() == (tmp_path / f"cluster.h5{suffix}").read_bytes()
    assert len(open_images(tmp_path / "cluster.h5")) == len(images)


def test_the_command_line_s_scheduler_is_used(larger_mimic, tmp_path, cluster):
    settings = {"archive_root": larger_mimic.root, "resolution": 40}
    run(PreprocessConfig(out_dir=tmp_path / "cluster", scheduler=cluster.scheduler_address, **settings))
    run(PreprocessConfig(out_dir=tmp_path / "here", workers=1, **settings))
    for name in FILES:
        assert (tmp_path / "cluster" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


def test_a_scheduler_that_does_not_answer_is_an_error(larger_mimic, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("preprocess.packing.engines._SCHEDULER_ANSWERS_WITHIN", 0.5)
    config = PreprocessConfig(archive_root=larger_mimic.root, out_dir=tmp_path, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(JobFailedError, match=r"--scheduler: tcp://127\.0\.0\.1:1 does not answer"):
        run(config)
