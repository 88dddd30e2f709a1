"""Training recipes (`--preset`): each is a function with its command, hardware, time and expected result."""

from train.train_config import Augmentation, TrainConfig


def default() -> TrainConfig:
    """Return the defaults: what we would start with on a real archive and one GPU.

    Command: `python run_train.py`. Hardware: one GPU of 24 GB. Result: not yet run.
    """
    return TrainConfig()


def phantom() -> TrainConfig:
    """Return the recipe of the demo: a small convolutional tower and a one-layer text tower from random weights.

    Command: `python run_train.py --preset phantom`. Hardware: 1 CPU core, 5 minutes with AMX, 10 without. Result: see
    docs/benchmarks.md.

    Longer: `--epochs 126 --patience 8`, then score `runs/NAME`: its best checkpoint is taken, because the last step of
    so long a run is worse. Result: 0.91 to 0.92, in the mean of three seeds 0.98 of the same tower with labels.
    """
    return TrainConfig(
        model="phantom-tiny",
        pretrained=None,
        text_start="bag_of_words",
        form="softmax",
        batch_size=32,
        lr=7e-4,
        text_rate=2.0,
        augment=Augmentation(rotation_degrees=5.0, shift=0.04, scale=0.06, brightness=0.15, contrast=0.15),
        epochs=24,
        eval_interval=300,
    )


def chexzero() -> TrainConfig:
    """Return the reference recipe: whole impressions, SGD without schedule, no clipping, no clamp, float32.

    Command: `python run_train.py --preset chexzero`, on every image of the archive. Its paper's best model used
    batch 64. Result: not yet run here.

    Source: rajpurkarlab/CheXzero run_train.py:68-130; Tiu et al., Nature Biomedical Engineering 2022.
    """
    return TrainConfig(
        objective="reports",
        form="softmax",
        duplicates="negatives",
        views="all",
        antialias=False,
        optimizer="sgd",
        lr=1e-4,
        weight_decay=0.0,
        warmup=0.0,
        schedule="constant",
        grad_clip=None,
        clamp_scale=False,
        precision="fp32",
        save_interval=100,
    )


def mimic_vit_b16() -> TrainConfig:
    """Return the recipe for MIMIC-CXR on several GPUs: OpenAI's ViT-B/16, sentences, batch 1,024.

    Command: `torchrun --nproc_per_node 4 run_train.py --preset mimic_vit_b16 --txt_filepath IMPRESSIONS
    --second_txt_filepath FINDINGS`. Hardware: 4 GPUs of 40 GB; on fewer or smaller ones raise `--accum_freq`, which
    keeps the gradient. Result: not yet run.
    """
    return TrainConfig(
        model="ViT-B-16",
        batch_size=1024,
        epochs=10,
        lr=2e-4,
        layer_decay=0.75,
        weight_decay=0.1,
        ema=0.999,
        augment=Augmentation(rotation_degrees=5.0, shift=0.04, scale=0.1, brightness=0.15, contrast=0.15),
        workers=4,
        save_interval=500,
        model_name="mimic-vit-b16",
    )


def mimic_dinov2() -> TrainConfig:
    """Return the recipe that starts from chest X-rays: RAD-DINO's image tower and CXR-BERT's text tower.

    Both are downloaded from the Hugging Face hub, or given as folders. Command: `torchrun --nproc_per_node 4
    run_train.py --preset mimic_dinov2`. Hardware: 4 GPUs of 80 GB. Result: not yet run.
    """
    return TrainConfig(
        image_tower="hf:microsoft/rad-dino",
        text_tower="hf:microsoft/BiomedVLP-CXR-BERT-specialized",
        embed_dim=512,
        image_size=224,
        grey_stem=True,
        gradient_checkpointing=True,
        batch_size=1024,
        epochs=10,
        lr=1e-4,
        layer_decay=0.8,
        weight_decay=0.1,
        ema=0.999,
        augment=Augmentation(rotation_degrees=5.0, shift=0.04, scale=0.1, brightness=0.15, contrast=0.15),
        workers=4,
        save_interval=500,
        model_name="mimic-dinov2",
    )


def small_gpu() -> TrainConfig:
    """Return the default recipe cut to one GPU of 8 GB: a batch of 256 in 8 parts, checkpointed activations.

    Command: `python run_train.py --preset small_gpu`. Result: not yet run.
    """
    return TrainConfig(
        batch_size=256,
        accum_freq=8,
        gradient_checkpointing=True,
        workers=2,
        model_name="small-gpu",
    )


PRESETS = {
    "default": default,
    "phantom": phantom,
    "chexzero": chexzero,
    "mimic_vit_b16": mimic_vit_b16,
    "mimic_dinov2": mimic_dinov2,
    "small_gpu": small_gpu,
}
