"""What a training run is asked to do. Light: imports neither torch nor pandas, so that `-h` is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of the training images, drawn anew for each image on the device. Never a flip: side words."""

    rotation_degrees: float = 0.0
    """largest turn to either side, degrees"""
    shift: float = 0.0
    """largest move in x and in y, share of the side"""
    scale: float = 0.0
    """largest change of size, share: 0.1 draws from 1/1.1 to 1.1"""
    brightness: float = 0.0
    """largest change of gain, share: 0.2 draws from 1/1.2 to 1.2; black stays black"""
    contrast: float = 0.0
    """largest change of gamma, share: 0.2 draws from 1/1.2 to 1.2; black and white stay"""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} is a largest change, wanted at least 0, found {getattr(self, name)}")
        if self.shift >= 1:
            raise ValueError(f"augment.shift is a share of the image's side, wanted below 1, found {self.shift}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One contrastive (or supervised) training run. Defaults: OpenAI's ViT-B/32, sentence-level sigmoid loss."""

    cxr_filepath: Path = Path("data/cxr.h5")
    """image store that preprocess_train_data.py wrote, or CheXzero's"""
    txt_filepath: Path = Path("data/mimic_impressions.csv")
    """texts, one row per image"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """who was imaged; gives split and view. Without this file all images are used, and the run says so"""
    train_split: str = "train"
    """rows of the cohort to train on"""
    views: Literal["frontal", "all"] = "frontal"
    """frontal keeps PA and AP"""

    model: str = "ViT-B-32"
    """open_clip architecture, "phantom-tiny", or the path of a run, checkpoint or CheXzero .pt to start from"""
    pretrained: str | None = "openai"
    """published tag or weights file of the architecture; None is random weights"""
    random_init: bool = False
    """start from random weights, whatever `pretrained` says"""
    text_start: Literal["architecture", "bag_of_words"] = "architecture"
    """random weights of the text tower: open_clip's own, or such that it begins as an average of its words, for a few
    thousand reports"""
    image_size: int | None = None
    """side of the network's input, pixels; None is the architecture's own"""
    context_length: int | None = None
    """most tokens of a text; None is the architecture's own"""
    antialias: bool = True
    """antialias when the store's images are shrunk to `image_size`; CheXzero did not"""

    objective: Literal["sentences", "infonce"] = "sentences"
    """sentences: the batch's distinct sentences against images, all of its own report are positives;
    infonce: whole reports, each the only positive of its image"""
    form: Literal["sigmoid", "softmax"] = "sigmoid"
    """how the sentence objective compares: each pair by itself, or against all others"""
    positive_weight: float = 1.0
    """sigmoid form: weight of a positive pair against a negative one"""
    init_scale: float | None = None
    """logit scale to start from; None keeps the model's own (14.3 when random)"""
    init_bias: float = -5.0
    """sigmoid form: logit bias to start from, where the model has none of its own; about the logarithm of the odds
    that a sentence belongs to an image"""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """adam is CheXzero's word for adamw"""
    lr: float = 1e-4
    """highest learning rate"""
    text_rate: float = 1.0
    """learning rate of the text tower, as a multiple of `lr`; above 1 for a small tower that starts from nothing"""
    momentum: float = 0.9
    """sgd only"""
    beta2: float = 0.98
    """adamw's second moment"""
    weight_decay: float = 0.05
    """on matrices; never on norms, biases, positions, logit scale and bias"""
    warmup: float = 0.05
    """share of the run over which the rate rises linearly"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """after the warm-up"""
    grad_clip: float | None = 1.0
    """largest norm of the whole gradient; None leaves it"""
    clamp_scale: bool = True
    """keep the logit scale at 100 or below, as OpenAI did and CheXzero did not"""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """of the forward pass; weights are always float32. auto is bf16 where the hardware multiplies in it"""
    augment: Augmentation = Augmentation()
    """random changes of the images; all 0 is none"""

    batch_size: int = 64
    """pairs per step; an epoch is cut into steps of nearly equal size, none larger than this"""
    epochs: int = 4
    """passes over the pairs; with `max_minutes` there are as many as fit"""
    max_minutes: float | None = None
    """minutes of training steps; the schedule follows this clock. Validation and saving come on top"""
    seed: int = 1234
    """of weights, order, augmentation"""
    shuffle_reports: bool = False
    """negative control: give every image somebody's text; whatever is learnt then is a leak"""
    device: str = "auto"
    """torch device; auto is cuda where there is one"""

    save_dir: Path = Path("runs")
    """where runs are kept"""
    model_name: str = "pt-imp"
    """name of this run below `save_dir`"""
    out_dir: Path | None = None
    """folder of this run; None is save_dir/model_name"""
    overwrite: bool = False
    """replace a run that is in the folder already"""
    save_interval: int = 1000
    """steps between checkpoints; the last is always saved"""
    keep: int = 2
    """checkpoints kept, the newest ones"""
    log_interval: int = 10
    """steps between lines of metrics.jsonl"""
    eval_interval: int = 500
    """steps between validations; the end is always validated"""
    eval_split: str = "validate"
    """rows of the cohort that are scored by prompts during training; their report labels only judge"""
    eval_images: int = 500
    """most images scored at a validation"""
    eval_prompts: str = "radiologist"
    """prompt set of the validation"""

    def __post_init__(self) -> None:
        at_least = {
            "batch_size": 2,
            "epochs": 1,
            "save_interval": 1,
            "keep": 1,
            "log_interval": 1,
            "eval_interval": 1,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, found {getattr(self, name)}")
        above_zero = ("lr", "text_rate", "positive_weight", "max_minutes", "grad_clip", "init_scale", "image_size")
        for name in above_zero:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, found {value}")
        if self.text_start == "bag_of_words" and self.pretrained is not None and not self.random_init:
            raise ValueError("text_start bag_of_words is a start from random weights: add --random_init")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the run, wanted 0 <= warmup < 1, found {self.warmup}")

    @property
    def folder(self) -> Path:
        """Folder that this run writes."""
        return self.save_dir / self.model_name if self.out_dir is None else self.out_dir


def default() -> TrainConfig:
    """Return the defaults: what we would start with on a real archive and one GPU.

    Command: `python run_train.py`. Hardware: one GPU of 24 GB. Result: not yet run.
    """
    return TrainConfig()


def phantom() -> TrainConfig:
    """Return the recipe of the demo: a small convolutional tower and a two-layer text tower from random weights.

    Command: `python run_train.py --preset phantom`. Hardware: 2 CPU cores, 3 minutes. Result: mean zero-shot AUROC
    0.86 to 0.88 over 13 findings (docs/benchmarks.md).
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
        max_minutes=3.0,
        eval_interval=300,
        overwrite=True,
    )


def chexzero() -> TrainConfig:
    """Return the reference recipe: whole impressions, SGD without schedule, no clipping, no clamp, float32.

    Command: `python run_train.py --preset chexzero`, on every image of the archive. Its paper's best model used
    batch 64. Result: not yet run here.

    Source: rajpurkarlab/CheXzero run_train.py:68-130; Tiu et al., Nature Biomedical Engineering 2022.
    """
    return TrainConfig(
        objective="infonce",
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


PRESETS = {"default": default, "phantom": phantom, "chexzero": chexzero}
