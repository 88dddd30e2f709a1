"""Training as a whole: it learns, it writes its run, it meets the reference's steps, it refuses bad input."""

import itertools
import json
import time
from dataclasses import replace

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch

import models
from cohort.image_reader import ArrayImages
from train.clock import Clock
from train.distributed import World
from train.fit_pairs import Run, fit, start_learner
from train.input.batches import PairBatches
from train.input.pairs import Pairs
from train.optimise import make_optimizer
from train.supervised import fit_supervised, label_targets, masked_cross_entropy, predict_supervised
from train.train_config import Augmentation, TrainConfig

SENTENCES = {  # finding -> present, absent
    "disc": ("There is a round opacity.", "No round opacity."),
    "band": ("Linear band across the base.", "No linear band."),
}

INFONCE = {"objective": "reports", "form": "softmax", "duplicates": "negatives"}

PROMPTS = (
    ("there is a round opacity", "no round opacity"),
    ("linear band across the base", "no linear band"),
)


def draw(present, rng):
    image = rng.integers(40, 80, (32, 32)).astype(np.uint8)
    if present[0]:
        image[6:13, 6:13] = 170
    if present[1]:
        image[24:27, :] = 170
    return image


@pytest.fixture(scope="module")
def toy():
    """240 films with two findings, and reports that mention each finding's presence or absence in random order."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (240, 2))
    images = np.stack([draw(present, rng) for present in labels])
    texts = []
    for present in labels:
        parts = [SENTENCES[name][1 - value] for name, value in zip(SENTENCES, present, strict=True)]
        texts.append(" ".join(parts[:: rng.choice([-1, 1])]))
    return images, texts, labels


@pytest.fixture(scope="module")
def pairs(toy):
    return Pairs(images=ArrayImages(toy[0][:200]), rows=np.arange(200), texts=toy[1][:200])


def config(tmp_path, **fields):
    usual = {
        "out_dir": tmp_path / "run",
        "pretrained": None,
        "model": "toy",
        "batch_size": 40,
        "epochs": 12,
        "lr": 1e-2,
        "init_scale": 10.0,
        "positive_weight": 2.0,
        "device": "cpu",
        "log_interval": 4,
        "augment": Augmentation(shift=0.03, brightness=0.1),
    }
    return TrainConfig(**{**usual, **fields})


def held_out_auroc(bundle, toy):
    """Area under the ROC curve of prompt against negated prompt, by counting pairs."""
    images = models.encode_images(bundle, torch.from_numpy(toy[0][200:]))
    areas = []
    for column, (present, absent) in enumerate(PROMPTS):
        texts = models.tokenize([present, absent], bundle.tokenizer, context_length=bundle.context_length)
        cosines = images @ models.encode_texts(bundle, texts).T
        score, truth = (cosines[:, 0] - cosines[:, 1]).numpy(), toy[2][200:, column]
        differences = score[truth == 1][:, None] - score[truth == 0][None, :]
        areas.append(float((np.sign(differences) + 1).mean() / 2))
    return {"mean_auroc": float(np.mean(areas))}


@pytest.mark.parametrize("fields", [{"form": "sigmoid"}, {"form": "softmax", "precision": "fp32"}])
def test_both_sentence_forms_learn_to_score_unseen_films_by_prompts(pairs, toy, tmp_path, fields):
    bundle = models.build("toy", seed=0)
    summary = fit(bundle, pairs, config(tmp_path, **fields), evaluate=lambda one: held_out_auroc(one, toy))
    assert summary.metrics["mean_auroc"] > 0.95
    assert (summary.steps, summary.epochs) == (60, 12.0)


def test_shuffled_reports_cannot_be_learnt_and_the_run_says_that_they_are(pairs, tmp_path):
    true = fit(models.build("toy", seed=0), pairs, config(tmp_path / "true", epochs=6))
    summary = fit(models.build("toy", seed=0), pairs, config(tmp_path, epochs=6, shuffle_reports=True))
    assert summary.loss > 1.5 * true.loss
    notes = json.loads((summary.folder / "environment.json").read_text())["notes"]
    assert "texts are shuffled" in notes


def test_infonce_on_whole_reports_runs_and_its_loss_falls(pairs, tmp_path):
    fit(models.build("toy", seed=0), pairs, config(tmp_path, **INFONCE, epochs=4, log_interval=1))
    losses = [line["loss"] for line in metric_lines(tmp_path / "run") if "loss" in line]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def metric_lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(pairs, tmp_path_factory):
    calls = []

    def evaluate(bundle):
        # batch norm counts the batches that it saw in training mode
        calls.append((bundle.model.training, int(bundle.model.visual.trunk.bn1.num_batches_tracked)))
        return {"mean_auroc": 0.5, "undefined": float("nan")}

    settings = config(tmp_path_factory.mktemp("finished"), epochs=2, save_interval=3, eval_interval=4, keep=2)
    bundle = models.build("toy", seed=0)
    return fit(bundle, pairs, settings, evaluate=evaluate), bundle, calls


def test_a_run_writes_its_folder(finished):
    summary, bundle, _ = finished
    names = {path.name for path in summary.folder.iterdir()}
    assert names == {
        "config.json", "environment.json", "metrics.jsonl", "metrics.csv", "tensorboard", "checkpoints", "latest", "best",
        "trained_on.csv.gz",
    }  # fmt: skip
    assert json.loads((summary.folder / "config.json").read_text())["batch_size"] == 40
    environment = json.loads((summary.folder / "environment.json").read_text())
    assert environment["n_pairs"] == 200
    assert torch.__version__.startswith(environment["versions"]["torch"])
    assert models.fingerprint(models.load(summary.checkpoint)) == models.fingerprint(bundle)
    assert list((summary.folder / "tensorboard").iterdir())


def test_checkpoints_follow_the_interval_and_the_newest_and_the_best_are_kept(finished):
    summary = finished[0]
    kept = sorted(path.name for path in (summary.folder / "checkpoints").iterdir())
    assert kept == ["step_000004", "step_000009", "step_000010"]
    assert (summary.checkpoint.name, summary.best.name) == ("step_000010", "step_000004")
    assert (summary.folder / "latest").read_text() == "checkpoints/step_000010\n"
    assert (summary.folder / "best").read_text() == "checkpoints/step_000004\n"


def test_a_run_says_where_its_best_checkpoint_is_and_how_to_score_it(finished):
    summary = finished[0]
    assert f"best by validation: {summary.best}; score it with --checkpoints {summary.folder}" in str(summary)
    assert "best" not in str(replace(summary, best=summary.checkpoint))


def test_only_the_newest_checkpoint_holds_what_a_resume_needs(finished):
    folders = (finished[0].folder / "checkpoints").iterdir()
    assert [path.name for path in folders if (path / "state.pt").is_file()] == ["step_000010"]


def test_the_table_has_one_row_per_step_with_the_validation_beside_the_loss(finished):
    table = pd.read_csv(finished[0].folder / "metrics.csv").set_index("step")
    assert table.index.tolist() == [3, 4, 6, 8, 9, 10]
    assert table["mean_auroc"].dropna().index.tolist() == [4, 8, 10]
    losses = {line["step"]: line["loss"] for line in metric_lines(finished[0].folder) if "loss" in line}
    assert table["loss"].to_dict() == losses


def test_metrics_are_one_finite_json_line_per_interval_with_the_validation_among_them(finished):
    lines = metric_lines(finished[0].folder)
    assert [line["step"] for line in lines if "loss" in line] == [3, 4, 6, 8, 9, 10]
    assert [line["step"] for line in lines if "mean_auroc" in line] == [4, 8, 10]
    assert not any("undefined" in line for line in lines)
    assert {"epoch", "seconds", "lr", "logit_scale", "logit_bias", "gradient_norm", "pairs_per_second"} <= set(lines[0])


def test_validation_sees_evaluation_mode_and_training_goes_on_afterwards(finished):
    assert finished[2] == [(False, 4), (False, 8), (False, 10)]


def test_the_learned_bias_is_saved_with_the_model(finished):
    loaded = models.load(finished[0].checkpoint)
    assert loaded.model.logit_bias.item() == finished[1].model.logit_bias.item() != -5.0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pairs, tmp_path):
    def weights(name, seed):
        settings = config(tmp_path / name, epochs=1, seed=seed)
        bundle = models.build("toy", seed=0)
        fit(bundle, pairs, settings)
        return models.fingerprint(bundle)

    assert weights("a", 1) == weights("b", 1) != weights("c", 2)


def test_a_run_bounded_by_minutes_stops_and_its_rate_ends_near_zero(pairs, tmp_path, monkeypatch):
    ticks = itertools.count()
    # a clock of its own, a hundredth of a second per look, so that a busy machine changes nothing
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 100)
    settings = config(tmp_path, max_minutes=0.01, epochs=1, log_interval=1)
    summary = fit(models.build("toy", seed=0), pairs, settings)
    assert 0.6 <= summary.seconds < 0.7
    assert summary.steps > 5
    rates = [line["lr"] for line in metric_lines(tmp_path / "run")]
    assert rates[-1] < 0.2 * max(rates)


def test_the_logit_scale_is_kept_at_100_or_below(pairs, tmp_path):
    bundle = models.build("toy", seed=0)
    fit(bundle, pairs, config(tmp_path, epochs=1, init_scale=99.9, **INFONCE, lr=0.5))
    assert bundle.model.logit_scale.exp().item() <= 100.001
    torch.nn.init.constant_(bundle.model.logit_scale, 5.0)
    optimizer = make_optimizer(bundle.model, config(tmp_path))
    assert not optimizer.state


def test_a_checkpoint_for_chexzero_lies_beside_ours_and_both_are_the_same_model(pairs, tmp_path):
    towers = {"image_size": 32, "layers": 1, "width": 64, "head_width": 64, "patch_size": 8}
    text = {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    architecture = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": towers, "text_cfg": text}
    (tmp_path / "toy-openai.json").write_text(json.dumps(architecture))
    open_clip.add_model_config(tmp_path / "toy-openai.json")
    bundle = models.build("toy-openai", antialias=False, seed=0)
    summary = fit(bundle, pairs, config(tmp_path, epochs=1, save_format="chexzero", form="softmax"))
    ours, theirs = models.load(summary.checkpoint), models.load(summary.checkpoint / "model.pt")
    assert models.fingerprint(ours) == models.fingerprint(theirs) == models.fingerprint(bundle)


@pytest.mark.golden
def test_six_steps_of_sgd_are_those_of_the_reference(golden):
    expected = np.load(golden / "model" / "expected.npz", allow_pickle=False)
    images = np.load(golden / "model" / "images.npz", allow_pickle=False)["images"]
    settings = TrainConfig(
        **INFONCE, optimizer="sgd", lr=1e-4, weight_decay=0.0, warmup=0.0, schedule="constant",
        grad_clip=None, clamp_scale=False, precision="fp32", batch_size=16, epochs=6, device="cpu",
    )  # fmt: skip
    texts = [str(text) for text in expected["pair_texts"]]
    pairs = Pairs(images=ArrayImages(images), rows=np.arange(16), texts=texts)
    bundle = models.load(golden / "model" / "tiny_clip.pt")
    learner, world = start_learner(bundle, settings), World()
    run = Run(
        learner=learner, batches=PairBatches(pairs, bundle, settings, world), config=settings, world=world,
        clock=Clock(settings, steps_per_epoch=1),
    )  # fmt: skip
    losses = [float(step.loss) for step in run.steps(should_end=lambda: False)]
    np.testing.assert_allclose(losses, expected["sgd_losses"], atol=1e-3, rtol=0)
    with torch.no_grad():
        after = bundle.model.encode_image(models.to_network_input(torch.from_numpy(images), bundle.preprocessing))
    np.testing.assert_allclose(after.numpy(), expected["image_features_after_sgd"], atol=5e-3, rtol=0)


def test_the_text_tower_learns_at_its_own_rate():
    bundle = models.build("toy", seed=0)
    optimizer = make_optimizer(bundle.model, TrainConfig(lr=0.1, text_rate=4.0))
    names = {id(parameter): name for name, parameter in bundle.model.named_parameters()}
    rates = {names[id(p)]: group["rate"] for group in optimizer.param_groups for p in group["params"]}
    assert {rate for name, rate in rates.items() if name.startswith("text.")} == {4.0}
    assert {rate for name, rate in rates.items() if not name.startswith("text.")} == {1.0}


def test_only_matrices_decay():
    bundle = models.build("toy", seed=0)
    optimizer = make_optimizer(bundle.model, TrainConfig(weight_decay=0.1))
    names = {id(parameter): name for name, parameter in bundle.model.named_parameters()}
    by_decay = {group["weight_decay"]: [names[id(p)] for p in group["params"]] for group in optimizer.param_groups}
    assert sorted(by_decay) == [0.0, 0.1]
    decayed, free = by_decay[0.1], by_decay[0.0]
    assert {"logit_scale", "text.positional_embedding", "text.ln_final.weight", "visual.trunk.bn1.bias"} <= set(free)
    assert {"text.text_projection", "visual.head.proj.weight", "text.token_embedding.weight"} <= set(decayed)
    assert len(decayed) + len(free) == len(names)


def test_a_run_is_not_overwritten_unasked(pairs, tmp_path):
    settings = config(tmp_path, epochs=1)
    fit(models.build("toy", seed=0), pairs, settings)
    with pytest.raises(ValueError, match=r"already holds a run .*--overwrite"):
        fit(models.build("toy", seed=0), pairs, settings)
    stranger = tmp_path / "run" / "notes.txt"
    stranger.write_text("mine")
    fit(models.build("toy", seed=0), pairs, replace(settings, overwrite=True))
    assert stranger.read_text() == "mine"


def test_gradients_that_stay_no_number_stop_the_run_before_its_weights_are_saved(pairs, tmp_path):
    bundle = models.build("toy", seed=0)
    torch.nn.init.constant_(bundle.model.visual.head.proj.weight, float("nan"))
    with pytest.raises(RuntimeError, match=r"the gradients of 10 steps in a row, up to step 10, are not finite"):
        fit(bundle, pairs, config(tmp_path, save_interval=4, log_interval=5))
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert [(line["skipped_steps"], "loss" in line) for line in metric_lines(tmp_path / "run")] == [
        (5, False),
        (10, False),
    ]


def test_the_floor_that_equal_reports_set_is_logged_beside_the_loss(toy, tmp_path):
    same = Pairs(images=ArrayImages(toy[0][:40]), rows=np.arange(40), texts=["One report."] * 20 + ["Other."] * 20)
    fit(models.build("toy", seed=0), same, config(tmp_path, **INFONCE, epochs=2, log_interval=1))
    lines = metric_lines(tmp_path / "run")
    assert [line["loss_floor"] for line in lines] == pytest.approx([np.log(20)] * 2)
    assert all(line["loss"] > line["loss_floor"] for line in lines)


def test_the_best_checkpoint_is_that_of_the_best_figure_and_a_loss_is_better_when_lower(pairs, tmp_path):
    figures = iter([3.0, 1.0, 2.0, 4.0, 5.0])
    settings = config(tmp_path, epochs=2, eval_interval=2, best_by="validation_loss", keep=1)
    summary = fit(models.build("toy", seed=0), pairs, settings, evaluate=lambda _: {"validation_loss": next(figures)})
    assert summary.best.name == "step_000004"
    assert models.load(summary.best).name == "toy"
    assert summary.stopped_by is None


def test_a_run_without_better_validations_ends_when_its_patience_does(pairs, tmp_path):
    figures = iter([0.5, 0.6, 0.6, 0.5, 0.4, 0.3])
    settings = config(tmp_path, epochs=3, eval_interval=2, patience=2)
    summary = fit(models.build("toy", seed=0), pairs, settings, evaluate=lambda _: {"mean_auroc": next(figures)})
    assert (summary.steps, summary.stopped_by, summary.best.name) == (8, "patience", "step_000004")


def test_patience_for_a_figure_that_no_validation_has_is_an_error_that_loses_no_step(pairs, tmp_path, capfd):
    settings = config(tmp_path, epochs=1, eval_interval=3, patience=2)
    with pytest.raises(
        ValueError, match=r"--best_by: wanted a figure of the validation, found mean_auroc, not among loss"
    ):
        fit(models.build("toy", seed=0), pairs, settings, evaluate=lambda _: {"loss": 1.0})
    assert (tmp_path / "run" / "latest").read_text() == "checkpoints/step_000003\n"
    patient = replace(settings, overwrite=True, patience=None)
    assert fit(models.build("toy", seed=0), pairs, patient, evaluate=lambda _: {"loss": 1.0}).best is None
    assert capfd.readouterr().out.count("no checkpoint is marked as the best") == 1


def test_a_better_validation_gives_patience_its_whole_length_again(pairs, tmp_path):
    figures = iter([0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.6])
    settings = config(tmp_path, epochs=3, eval_interval=2, patience=2)
    summary = fit(models.build("toy", seed=0), pairs, settings, evaluate=lambda _: {"mean_auroc": next(figures)})
    assert (summary.steps, summary.stopped_by, summary.best.name) == (14, "patience", "step_000010")


def test_a_validation_that_fails_on_an_image_is_counted_and_the_run_ends_with_its_checkpoint(pairs, tmp_path, capfd):
    calls = iter([0.5, None, 0.7])

    def evaluate(bundle):
        value = next(calls)
        if value is None:
            raise ValueError("1 images are all zero, first i7")
        return {"mean_auroc": value}

    settings = config(tmp_path, epochs=1, eval_interval=2)
    summary = fit(models.build("toy", seed=0), pairs, settings, evaluate=evaluate)
    assert (summary.steps, summary.stopped_by, summary.best.name) == (5, None, "step_000005")
    shown = capfd.readouterr()
    told = "note: the validation after step 4 failed, training continues: 1 images are all zero, first i7"
    assert told in shown.out + shown.err
    assert "note: 1 validations failed; their reasons are printed above" in str(summary)


@pytest.mark.parametrize(("needed", "is_told"), [(5, False), (6, True)])
def test_a_run_of_few_steps_says_that_it_is_under_trained(pairs, tmp_path, monkeypatch, needed, is_told):
    monkeypatch.setattr("train.saving.recorder.FEW_STEPS", needed)
    summary = fit(models.build("toy", seed=0), pairs, config(tmp_path, epochs=1))
    wanted = (
        f"note: under-trained: wanted {needed} steps or more and a whole pass over the pairs, found 5 steps and 1.0"
    )
    assert (wanted in str(summary)) is is_told
    # a whole epoch of 5 steps does not fit into this time
    short = config(tmp_path, max_minutes=1e-9, overwrite=True)
    assert "found 1 steps and 0.2 passes" in str(fit(models.build("toy", seed=0), pairs, short))


def test_the_moving_average_is_what_is_validated_and_saved(pairs, tmp_path):
    seen = []
    bundle = models.build("toy", seed=0)
    start = bundle.model.text.text_projection.detach().clone()
    trajectory = [start]

    class Watched(ArrayImages):
        def read(self, rows):
            trajectory.append(bundle.model.text.text_projection.detach().clone())
            return ArrayImages.read(self, rows)

    watched = replace(pairs, images=Watched(pairs.images.array))
    settings = config(tmp_path, epochs=1, ema=0.9, eval_interval=100)
    summary = fit(bundle, watched, settings, evaluate=lambda one: seen.append(models.fingerprint(one)) or {})
    expected = start.double()
    # the loop reads one batch ahead: weights after step t are there when batch t + 2 is read
    after = [*trajectory[3:], bundle.model.text.text_projection.detach()]
    assert len(after) == summary.steps == 5
    for step, weights in enumerate(after, start=1):
        decay = min(0.9, (step - 1) / (step + 9))
        expected = decay * expected + (1 - decay) * weights
    saved = models.load(summary.checkpoint)
    np.testing.assert_allclose(saved.model.text.text_projection.detach(), expected, atol=1e-6)
    assert seen == [models.fingerprint(saved)] != [models.fingerprint(bundle)]


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(pairs, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size 500 is larger than the data: 200"):
        fit(models.build("toy", seed=0), pairs, config(tmp_path, batch_size=500))
    assert not (tmp_path / "run").exists()


def test_the_supervised_ceiling_learns_from_labels_and_leaves_the_bundle_alone(toy, tmp_path):
    images, _, labels = toy
    bundle = models.build("toy", seed=0)
    before = models.fingerprint(bundle)
    reported = labels.astype(np.float64)
    reported[reported == 0] = np.where(np.arange((reported == 0).sum()) % 2, 0.0, np.nan)
    reported[:5, 1] = -1.0
    classifier = fit_supervised(bundle, images, reported[:200], config(tmp_path, epochs=8), rows=np.arange(200))
    scores = predict_supervised(classifier, images, rows=np.arange(200, 240), batch_size=16)
    assert scores.shape == (40, 2)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(predict_supervised(classifier, images[200:]), abs=1e-5)
    assert ((scores > 0.5) == labels[200:]).mean() > 0.95
    assert models.fingerprint(bundle) == before


def test_the_label_policy_is_blank_absent_and_uncertain_left_out():
    labels = np.array([[1.0, 0.0], [-1.0, np.nan]])
    targets, counts = label_targets(labels)
    assert targets.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert counts.tolist() == [[True, True], [False, True]]
    with pytest.raises(ValueError, match=r"labels must be 1, 0, -1 or blank, found 2"):
        label_targets(np.array([[2.0]]))


def test_masked_entries_have_no_part_in_the_cross_entropy():
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.1]], requires_grad=True)
    targets, counts = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    loss = masked_cross_entropy(logits, targets, counts)
    p = 1 / (1 + np.exp(-logits.detach().numpy().astype(np.float64)))
    assert loss.item() == pytest.approx(-(np.log(p[0, 0]) + np.log(1 - p[0, 1]) + np.log(p[1, 1])) / 3, abs=1e-6)
    loss.backward()
    assert logits.grad[1, 0] == 0


def test_labels_and_images_of_different_number_are_an_error(toy, tmp_path):
    with pytest.raises(ValueError, match=r"found 240 images and 10 rows"):
        fit_supervised(models.build("toy", seed=0), toy[0], np.zeros((10, 2)), config(tmp_path))


@pytest.mark.parametrize(("limit", "unit"), [({"epochs": 1}, "steps"), ({"max_minutes": 0.05}, "seconds")])
def test_without_a_terminal_progress_is_a_line_a_minute(pairs, tmp_path, monkeypatch, capfd, limit, unit):
    monkeypatch.setattr("common.progress.SECONDS_PER_LINE", 0.0)
    fit(models.build("toy", seed=0), pairs, config(tmp_path, log_interval=1, **limit))
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("train: ")]
    total = 5 if unit == "steps" else 3
    assert lines
    assert all(f" of {total} {unit}, " in line and "loss=" in line for line in lines)
