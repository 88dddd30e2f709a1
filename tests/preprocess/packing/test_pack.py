import errno
import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from PIL import Image as Picture

from cohort.store import open_images
from preprocess.packing import block as block_module
from preprocess.packing import pack
from preprocess.packing import store_layout as layout
from preprocess.packing.block import CRASHES, Block, JobFailedError, PackSpec, RowPlaces, pack_block
from preprocess.packing.engines import available_workers, in_processes
from preprocess.packing.journal import ImageToPack, Writer, read_finished, read_journal
from preprocess.packing.pack import pack_images
from preprocess.pixels.resize import RULE, fit_to_square

SPEC = PackSpec(resolution=32, exact=True)
DAMAGED = {0, 7, 8, 39}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return forty pictures of various shapes, of which numbers 0, 7, 8 and 39 are cut short, and the rows of all."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    images, pixels = [], []
    for number in range(40):
        picture = generator.integers(0, 256, generator.integers(20, 80, 2), dtype=np.uint8)
        path = folder / f"{number:02d}.png"
        Picture.fromarray(picture).save(path)
        if number in DAMAGED:
            path.write_bytes(path.read_bytes()[:-200])
        images.append(ImageToPack.of_file(f"image-{number:02d}é", path))
        pixels.append(fit_to_square(picture, 32))
    return images, np.stack(pixels)


def sound(images):
    return [image for number, image in enumerate(images) if number not in DAMAGED]


def pack_into(path, images, spec=SPEC, **keywords):
    with pack_images(path, images, spec=spec, **keywords) as packed:
        return packed


def decodings(folder) -> Counter:
    """Return how often the decoding of each image began, as the journals of a job say."""
    lines = [json.loads(line) for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return Counter(line["started"] for line in lines if "started" in line)


def test_failed_images_get_no_row_and_the_others_keep_their_order_and_ids(tmp_path, pictures):
    images, pixels = pictures
    packed = pack_into(tmp_path / "cxr.h5", images, tolerated_failures=4)
    failed = [number for number, image in enumerate(images) if packed.entries[image.image_id].reason]
    assert failed == sorted(DAMAGED)
    assert {packed.entries[images[number].image_id].reason for number in failed} == {"image is damaged"}
    kept = [number for number in range(40) if number not in failed]
    store = open_images(tmp_path / "cxr.h5")
    assert store.image_ids == packed.rows == [f"image-{number:02d}é" for number in kept]
    np.testing.assert_array_equal(store.read(np.arange(36)), pixels[kept])
    assert store.attributes.pop("archive_fingerprint")
    assert store.attributes == {"format_version": 1, "resolution": 32, "resize_rule": RULE, "complete": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cxr.h5", "cxr.h5.journal"]


@pytest.mark.parametrize("with_failures", [False, True])
def test_two_workers_write_the_same_bytes_as_one(tmp_path, pictures, with_failures):
    images = pictures[0] if with_failures else sound(pictures[0])
    pack_into(tmp_path / "1.h5", images, tolerated_failures=4)
    pack_into(tmp_path / "2.h5", images, tolerated_failures=4, engine=in_processes(2))
    for suffix in ("", ".journal"):
        assert (tmp_path / f"1.h5{suffix}").read_bytes() == (tmp_path / f"2.h5{suffix}").read_bytes()


def test_pixels_are_contiguous_at_a_fixed_place_so_that_they_can_be_mapped(tmp_path, pictures):
    images, pixels = pictures
    pack_into(tmp_path / "cxr.h5", images[1:7])
    with h5py.File(tmp_path / "cxr.h5") as file:
        assert file["cxr"].chunks is None
        offset = file["cxr"].id.get_offset()
    mapped = np.memmap(tmp_path / "cxr.h5", np.uint8, "r", offset, (6, 32, 32))
    np.testing.assert_array_equal(mapped, pixels[1:7])


def test_float32_files_have_the_layout_that_the_reference_reads(tmp_path, pictures):
    images, pixels = pictures
    pack_into(tmp_path / "cxr.h5", images[1:7], PackSpec(resolution=32, exact=True, dtype="float32", with_ids=False))
    with h5py.File(tmp_path / "cxr.h5") as file:
        assert list(file) == ["cxr"]
        assert not file.attrs
        assert file["cxr"].dtype == np.dtype("<f4")
        assert file["cxr"].chunks is None
        np.testing.assert_array_equal(file["cxr"][:], pixels[1:7].astype(np.float32))
    np.testing.assert_array_equal(open_images(tmp_path / "cxr.h5").read(np.arange(6)), pixels[1:7])


def test_more_failures_than_tolerated_stop_the_job_and_do_so_again_without_decoding_anew(tmp_path, pictures):
    message = r"2 of 40 images could not be read, 1 are tolerated .*image is damaged: .*07.png"
    for _ in range(2):
        with pytest.raises(JobFailedError, match=message):
            pack_into(tmp_path / "cxr.h5", pictures[0], tolerated_failures=1)
    assert set(decodings(tmp_path).values()) == {1}
    assert pack_into(tmp_path / "cxr.h5", pictures[0], tolerated_failures=4).n_decoded == 32


def test_a_file_without_a_single_readable_image_is_never_written(tmp_path, pictures):
    with pytest.raises(JobFailedError, match="none of 1 images could be read"):
        pack_into(tmp_path / "cxr.h5", pictures[0][:1], tolerated_failures=9)
    assert not (tmp_path / "cxr.h5").exists()
    with pytest.raises(ValueError, match="no images to pack"):
        pack_into(tmp_path / "cxr.h5", [])


def test_rows_that_are_still_being_packed_are_refused_by_readers(tmp_path, pictures):
    def stop(work, blocks):
        yield work(blocks[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_into(tmp_path / "cxr.h5", sound(pictures[0]), engine=stop)
    with pytest.raises(ValueError, match="is incomplete"):
        open_images(tmp_path / "cxr.h5.partial/0/pixels.h5")


def test_a_stopped_job_is_continued_and_ends_in_the_same_bytes(tmp_path, pictures):
    images = sound(pictures[0])
    pack_into(tmp_path / "straight.h5", images)
    for n_blocks in (5, 0, 7):

        def stop(work, blocks, n_blocks=n_blocks):
            yield from map(work, blocks[:n_blocks])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pack_into(tmp_path / "stopped.h5", images, engine=stop)
    started = decodings(tmp_path)
    assert len(started) == 12
    packed = pack_into(tmp_path / "stopped.h5", images)
    assert packed.n_decoded == len(images) - 12
    for suffix in ("", ".journal"):
        assert (tmp_path / f"straight.h5{suffix}").read_bytes() == (tmp_path / f"stopped.h5{suffix}").read_bytes()
    assert not (tmp_path / "stopped.h5.partial").exists()


@pytest.mark.parametrize("moment", ["complete", "copy_rows", "create"])
def test_a_job_that_dies_while_it_finishes_the_file_is_continued_too(tmp_path, pictures, monkeypatch, moment):
    images = pictures[0] if moment == "copy_rows" else sound(pictures[0])
    pack_into(tmp_path / "straight.h5", images, tolerated_failures=4)
    done = getattr(layout, moment)

    def die(*arguments, **keywords):
        done(*arguments, **keywords)
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, moment, die)
    with pytest.raises(KeyboardInterrupt):
        pack_into(tmp_path / "stopped.h5", images, tolerated_failures=4)
    monkeypatch.undo()
    assert pack_into(tmp_path / "stopped.h5", images, tolerated_failures=4).n_decoded in {0, len(images)}
    assert (tmp_path / "straight.h5").read_bytes() == (tmp_path / "stopped.h5").read_bytes()


@pytest.mark.parametrize("n_renames", [0, 1, 2])
def test_a_job_that_dies_between_its_last_renames_is_settled_by_the_next(tmp_path, pictures, monkeypatch, n_renames):
    images = sound(pictures[0])
    pack_into(tmp_path / "straight.h5", images)
    rename, left = Path.replace, [n_renames]

    def replace(self, target):
        if "finished" in self.name or "finished" in Path(target).name:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= self.name.startswith("finished")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(pack.PartialStore, "settle", _settle_or_die(pack.PartialStore.settle, left))
    with pytest.raises(KeyboardInterrupt):
        pack_into(tmp_path / "stopped.h5", images)
    monkeypatch.undo()
    assert pack_into(tmp_path / "stopped.h5", images).n_decoded == 0
    for suffix in ("", ".journal"):
        assert (tmp_path / f"straight.h5{suffix}").read_bytes() == (tmp_path / f"stopped.h5{suffix}").read_bytes()
    assert not (tmp_path / "stopped.h5.partial").exists()


def _settle_or_die(settle, left):
    def wrapped(self):
        settle(self)
        if self.store.exists() and not left[0]:
            raise KeyboardInterrupt

    return wrapped


def test_images_added_later_are_appended_and_nothing_else_is_decoded(tmp_path, pictures):
    images, pixels = pictures
    first, added = images[10:20], [*images[9:25], images[30]]
    pack_into(tmp_path / "cxr.h5", first)
    before = open_images(tmp_path / "cxr.h5").read(np.arange(10))
    packed = pack_into(tmp_path / "cxr.h5", added)
    assert packed.n_decoded == 7
    assert packed.rows == [image.image_id for image in [*first, images[9], *images[20:25], images[30]]]
    store = open_images(tmp_path / "cxr.h5")
    np.testing.assert_array_equal(store.read(np.arange(10)), before)
    np.testing.assert_array_equal(store.read(np.arange(10, 17)), pixels[[9, *range(20, 25), 30]])
    header, entries = read_finished(tmp_path / "cxr.h5.journal")
    assert [entry.image_id for entry in entries] == store.image_ids
    assert header["archive_fingerprint"] == store.attributes["archive_fingerprint"]


def test_the_same_images_again_leave_the_file_alone_and_try_only_the_damaged_ones(tmp_path, pictures):
    pack_into(tmp_path / "cxr.h5", pictures[0], tolerated_failures=4)
    inode = (tmp_path / "cxr.h5").stat().st_ino
    assert pack_into(tmp_path / "cxr.h5", pictures[0], tolerated_failures=4).n_decoded == 4
    assert (tmp_path / "cxr.h5").stat().st_ino == inode
    assert pack_into(tmp_path / "cxr.h5", sound(pictures[0])).n_decoded == 0


def test_an_image_whose_file_changed_is_packed_anew_and_one_that_is_gone_loses_its_row(tmp_path, pictures):
    images, _ = pictures
    other = tmp_path / "other.png"
    Picture.fromarray(np.full((30, 30), 9, np.uint8)).save(other)
    pack_into(tmp_path / "cxr.h5", images[10:14])
    changed = ImageToPack.of_file(images[11].image_id, other)
    packed = pack_into(tmp_path / "cxr.h5", [images[10], changed, images[13]])
    assert packed.n_decoded == 1
    assert packed.rows == [images[10].image_id, images[13].image_id, changed.image_id]
    assert open_images(tmp_path / "cxr.h5").read([2])[0, 16, 16] == 9


def test_rows_made_by_another_rule_are_not_mixed_in(tmp_path, pictures):
    images = sound(pictures[0])
    pack_into(tmp_path / "cxr.h5", images)
    assert pack_into(tmp_path / "cxr.h5", images, PackSpec(resolution=16, exact=True)).n_decoded == len(images)
    (tmp_path / "stopped.h5.partial").mkdir()

    def stop(work, blocks):
        yield work(blocks[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_into(tmp_path / "stopped.h5", images, engine=stop)
    with pytest.raises(ValueError, match=r"had other settings: resolution 32, asked now 16; finish it with its own"):
        pack_into(tmp_path / "stopped.h5", images, PackSpec(resolution=16, exact=True))


def test_a_second_job_on_the_same_file_is_refused(tmp_path, pictures):
    def second(work, blocks):
        with pytest.raises(JobFailedError, match=r"another job is writing .*cxr.h5"):
            pack_into(tmp_path / "cxr.h5", pictures[0][1:7])
        yield from map(work, blocks)

    pack_into(tmp_path / "cxr.h5", pictures[0][1:7], engine=second)


def test_a_file_system_without_locks_is_noted_and_used(tmp_path, pictures, monkeypatch, capsys):
    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("preprocess.packing.partial.fcntl.flock", no_locks)
    assert pack_into(tmp_path / "cxr.h5", pictures[0][1:7]).n_decoded == 6
    assert capsys.readouterr().err == (
        f"note: {tmp_path}/cxr.h5.partial cannot be locked (No locks available), so see to it that no other job writes "
        f"{tmp_path}/cxr.h5; if HDF5 cannot lock it either, set HDF5_USE_FILE_LOCKING=FALSE\n"
    )


def test_a_store_that_hdf5_cannot_lock_names_the_variable_that_helps(tmp_path, pictures, monkeypatch):
    pack_into(tmp_path / "cxr.h5", pictures[0][1:7])

    def no_locks(*_):
        raise OSError("[Errno 37] Unable to synchronously open file (unable to lock file, errno = 37)")

    monkeypatch.setattr(h5py, "File", no_locks)
    with pytest.raises(ValueError, match=r"cxr\.h5 cannot be locked .*set the environment variable HDF5_USE_FILE_LOCK"):
        open_images(tmp_path / "cxr.h5")
    with pytest.raises(
        JobFailedError, match=r"pixels\.h5 cannot be written .*set the environment variable HDF5_USE_FI"
    ):
        pack_into(tmp_path / "other.h5", pictures[0][1:7])


def test_a_disk_that_is_too_small_is_noticed_before_the_work(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda _: SimpleNamespace(free=6 * 32 * 32 - 1))
    with pytest.raises(JobFailedError, match=r"has 0.0 GB free, the images need 0.0 GB"):
        pack_into(tmp_path / "cxr.h5", pictures[0][1:7])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_an_error_after_which_the_job_goes_on(tmp_path, pictures):
    images = sound(pictures[0])
    done = run_python(f"""
        import pathlib, resource
        from preprocess.packing.block import PackSpec
        from preprocess.packing.journal import ImageToPack
        from preprocess.packing.pack import pack_images

        def on_a_small_disk(work, blocks):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            yield from map(work, blocks)

        images = [ImageToPack(*image) for image in {[tuple(image) for image in images]!r}]
        spec = PackSpec(resolution=32, exact=True)
        with pack_images(pathlib.Path({str(tmp_path / "cxr.h5")!r}), images, spec=spec, engine=on_a_small_disk):
            pass
    """)
    assert done.returncode == 1
    assert f"OSError: [Errno 27] File too large: '{tmp_path}/cxr.h5.partial/0/pixels.h5'" in done.stderr
    assert not (tmp_path / "cxr.h5").exists()
    assert 0 < pack_into(tmp_path / "cxr.h5", images).n_decoded < len(images)
    pack_into(tmp_path / "straight.h5", images)
    assert (tmp_path / "straight.h5").read_bytes() == (tmp_path / "cxr.h5").read_bytes()


def run_python(program, **keywords) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, **keywords,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_cannot_be_written_is_an_error_and_not_a_failed_image(tmp_path, pictures, monkeypatch, workers):
    monkeypatch.setattr(layout, "create", lambda *_, **__: RowPlaces(0, None))
    engine = in_processes(2) if workers == 2 else pack.in_this_process
    with pytest.raises(FileNotFoundError, match=r"pixels\.h5"):
        pack_into(tmp_path / "cxr.h5", pictures[0], engine=engine, tolerated_failures=40)


def killing_worker(block: Block, *, spec: PackSpec, victim: str):
    """Pack a block, but let one image kill the process that decodes it, as a bug in C code does."""
    decode = block_module.make_row

    def make_row(path, spec):
        if victim in path:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(path, spec)

    block_module.make_row = make_row
    return pack_block(block, spec=spec)


def test_an_image_that_kills_its_worker_is_given_up_and_takes_no_other_with_it(tmp_path, pictures, monkeypatch):
    images = sound(pictures[0])
    victim = images[20]
    monkeypatch.setattr(pack, "partial", lambda _, **keywords: _Killing(victim.path, keywords))
    packed = pack_into(tmp_path / "cxr.h5", images, engine=in_processes(2), tolerated_failures=1)
    failed = {image_id: entry.reason for image_id, entry in packed.entries.items() if entry.reason}
    assert failed == {victim.image_id: CRASHES}


def one_block(folder, images) -> Block:
    """Return a block of all images in a new store."""
    places = layout.create(folder / "rows.h5", [image.image_id for image in images], spec=SPEC, archive="a")
    return Block(folder / "rows.h5", places, folder / "block.jsonl", tuple(enumerate(images)))


def test_the_start_of_an_image_is_noted_before_it_is_decoded(tmp_path, pictures, monkeypatch):
    def crash(path, spec):
        raise KeyboardInterrupt

    block = one_block(tmp_path, pictures[0][1:4])
    monkeypatch.setattr(block_module, "make_row", crash)
    for n_starts in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            pack_block(block, spec=SPEC)
        assert read_journal(block.journal).starts == {pictures[0][1].image_id: n_starts}


@pytest.mark.parametrize(("n_starts", "given_up"), [(0, False), (1, False), (2, True), (3, True)])
def test_an_image_that_was_begun_twice_and_never_finished_is_given_up_unopened(
    tmp_path, pictures, monkeypatch, n_starts, given_up
):
    images, opened = pictures[0][1:4], []
    block = one_block(tmp_path, images)
    writer = Writer(block.journal)
    for _ in range(n_starts):
        writer.started(images[1].image_id)
    writer.close()
    make_row = block_module.make_row
    monkeypatch.setattr(block_module, "make_row", lambda path, spec: (opened.append(path), make_row(path, spec))[1])
    entries = pack_block(block, spec=SPEC)
    assert [entry.reason for entry in entries] == ["", CRASHES if given_up else "", ""]
    assert opened == [image.path for image in images if not (given_up and image == images[1])]
    journal = read_journal(block.journal)
    assert not any(journal.starts.values())
    assert list(journal.entries.values()) == entries


class _Killing:
    """What `functools.partial` is, but importable by a fresh process under this file's path."""

    def __init__(self, victim, keywords):
        self.victim, self.keywords = victim, keywords

    def __call__(self, block):
        return killing_worker(block, victim=self.victim, **self.keywords)

    def __reduce__(self):
        return _load, (str(Path(__file__)), self.victim, self.keywords, "_Killing")


def _load(path, victim, keywords, kind):
    return runpy.run_path(path)[kind](victim, keywords)


class _Slow(_Killing):
    """Work that takes a tenth of a second per image and kills nothing."""

    def __call__(self, block):
        time.sleep(0.1)
        return pack_block(block, **self.keywords)

    def __reduce__(self):
        return _load, (str(Path(__file__)), self.victim, self.keywords, "_Slow")


def test_a_job_that_must_fail_ends_at_its_first_failure_and_not_after_all_images(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(pack, "partial", lambda _, **keywords: _Slow("", keywords))
    ends, shutdown = [], ProcessPoolExecutor.shutdown

    def noted(self, wait=True, *, cancel_futures=False):
        ends.append((wait, cancel_futures))
        shutdown(self, wait, cancel_futures=cancel_futures)

    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", noted)
    with pytest.raises(JobFailedError, match="1 of 40 images could not be read, 0 are tolerated"):
        pack_into(tmp_path / "cxr.h5", pictures[0], engine=in_processes(2))
    assert len(decodings(tmp_path)) <= 8
    assert ends == [(True, True)]  # a second call without cancel_futures takes the first one back, on a busy machine


def test_auto_means_the_cores_this_process_may_use():
    assert 1 <= available_workers() <= os.cpu_count()


def test_consecutive_rows_are_copied_in_one_go():
    assert list(layout.runs([0, 1, 2, 5, 7, 8])) == [(0, 2), (5, 5), (7, 8)]
    assert list(layout.runs([4])) == [(4, 4)]
