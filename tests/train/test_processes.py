"""`fit` on two processes: the weights of one, one folder, and an end that both agree on."""

import multiprocessing
import os
import signal
import socket

import numpy as np
import open_clip
import pytest

import models
from cohort.image_reader import ArrayImages
from train.fit_pairs import fit
from train.input.pairs import Pairs
from train.saving.run_folder import read_lines
from train.train_config import TrainConfig

FORK = multiprocessing.get_context("fork")
"""image tower without batch norm, whose statistics each process takes from its own share"""
VIT = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module", autouse=True)
def _architecture(tmp_path_factory):
    import json  # noqa: PLC0415

    path = tmp_path_factory.mktemp("configs") / "toy-vit.json"
    path.write_text(json.dumps(VIT))
    open_clip.add_model_config(path)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    texts = [f"Finding {rng.integers(9)} is there. No finding {rng.integers(9)}. Same for all." for _ in range(30)]
    return Pairs(
        images=ArrayImages(rng.integers(0, 255, (30, 32, 32)).astype(np.uint8)), rows=np.arange(30), texts=texts
    )


def config(folder, **fields):
    usual = {"out_dir": folder, "device": "cpu", "precision": "fp32", "batch_size": 10, "epochs": 2, "log_interval": 1,
             "optimizer": "sgd", "lr": 0.05, "eval_interval": 4}  # fmt: skip
    return TrainConfig(**usual | fields)


def on_two_processes(function):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = FORK.Queue()

    def work(rank):
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in places.items()})
        results.put((rank, function(rank)))

    children = [FORK.Process(target=work, args=(rank,)) for rank in range(2)]
    for child in children:
        child.start()
    found = dict(results.get(timeout=60) for _ in children)
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
    return found


def test_two_processes_train_the_weights_that_one_does_and_write_once(pairs, tmp_path):
    def train(folder):
        bundle = models.build("toy-vit", seed=0)
        summary = fit(
            bundle, pairs, config(folder), evaluate=lambda _: {"mean_auroc": float(os.environ.get("RANK", "0"))}
        )
        return bundle.model.state_dict(), summary

    alone, _ = train(tmp_path / "one")
    found = on_two_processes(lambda _: {k: v.numpy() for k, v in train(tmp_path / "two")[0].items()})
    saved = models.load(tmp_path / "two" / "latest").model.state_dict()
    for name, weights in alone.items():
        np.testing.assert_allclose(found[0][name], weights, atol=1e-6)
        np.testing.assert_array_equal(found[0][name], found[1][name])
        np.testing.assert_array_equal(found[0][name], saved[name])
    losses = [[line["loss"] for line in read_lines(tmp_path / name) if "loss" in line] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert len(losses[1]) == 6
    assert {line["mean_auroc"] for line in read_lines(tmp_path / "two") if "mean_auroc" in line} == {0.0}


def test_a_signal_to_one_process_ends_both_after_the_same_step(pairs, tmp_path):
    class Alarming(ArrayImages):
        def read(self, rows):
            chosen = ArrayImages.read(self, rows)
            if os.environ["RANK"] == "1":
                os.kill(os.getpid(), signal.SIGTERM)
            return chosen

    alarmed = Pairs(images=Alarming(pairs.images.array), rows=pairs.rows, texts=pairs.texts)

    def train(rank):
        summary = fit(models.build("toy-vit", seed=0), alarmed, config(tmp_path))
        return summary.steps, summary.stopped_by, (tmp_path / "latest").exists() or rank

    found = on_two_processes(train)
    assert found[0][:2] == (0, "another process")
    assert found[1][:2] == (0, "SIGTERM")
    assert (tmp_path / "latest").read_text() == "checkpoints/step_000000\n"
