"""What a training run is asked to do. Light: imports neither torch nor pandas, so that `-h` is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AT_LEAST = {
    "batch_size": 2,
    "epochs": 1,
    "save_interval": 1,
    "keep": 1,
    "log_interval": 1,
    "eval_interval": 1,
    "accum_freq": 1,
    "views_per_study": 1,
    "max_bad_steps": 1,
}
ABOVE_ZERO = (
    "lr",
    "text_rate",
    "layer_decay",
    "positive_weight",
    "max_minutes",
    "grad_clip",
    "init_scale",
    "image_size",
    "context_length",
    "embed_dim",
    "sentences_per_report",
    "patience",
)
SHARES = {"second_share": 1, "label_similarity": 1, "warmup": 0, "patch_dropout": 0, "ema": 0}
"""Name -> the largest share where it may be reached, else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of the training images, drawn anew for each image on the device."""

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
    flip: float = 0.0
    """share of images mirrored left to right. Their texts get left and right swapped; an image whose text names a side
    in words that cannot be swapped ("lingula") is never mirrored. Hearts are on the wrong side then: off by default"""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} is a largest change, wanted at least 0, found {getattr(self, name)}")
        if self.shift >= 1:
            raise ValueError(f"augment.shift is a share of the image's side, wanted below 1, found {self.shift}")
        if self.flip > 1:
            raise ValueError(f"augment.flip is a share of the images, wanted at most 1, found {self.flip}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One contrastive (or supervised) training run. Defaults: OpenAI's ViT-B/32, sentence-level sigmoid loss."""

    cxr_filepath: Path = Path("data/cxr.h5")
    """image store that preprocess_train_data.py wrote, or CheXzero's"""
    txt_filepath: Path = Path("data/mimic_impressions.csv")
    """texts, one row per image"""
    second_txt_filepath: Path | None = None
    """other texts of the same images, such as the findings section; each step draws one of the two for each study"""
    second_share: float = 0.5
    """how often the second text is drawn, where an image has one"""
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
    image_tower: str | None = None
    """another image tower in place of `model`'s: "timm:NAME" (ConvNeXt, DenseNet, DINOv2, ...), or "hf:OWNER/NAME", or
    the folder of a downloaded one, for a DINOv2 of Hugging Face such as microsoft/rad-dino"""
    text_tower: str | None = None
    """another text tower in place of `model`'s: "hf:OWNER/NAME" or the folder of a downloaded one, such as
    microsoft/BiomedVLP-CXR-BERT-specialized or emilyalsentzer/Bio_ClinicalBERT"""
    embed_dim: int | None = None
    """width of the joint embedding; None is the architecture's own. Another one needs random weights, or both towers
    replaced"""
    grey_stem: bool = False
    """fold the image tower's first layer to one channel, which is exact for grey images and cheaper"""
    random_init: bool = False
    """start from random weights, whatever `pretrained` says"""
    text_start: Literal["architecture", "bag_of_words"] = "architecture"
    """random weights of the text tower: open_clip's own, or such that it begins as an average of its words, for a few
    thousand reports"""
    image_size: int | None = None
    """side of the network's input, pixels; None is the architecture's own"""
    context_length: int | None = None
    """most tokens of a text; None is the architecture's own. Positions beyond the trained ones are interpolated"""
    antialias: bool = True
    """antialias when the store's images are shrunk to `image_size`; CheXzero did not"""

    freeze: Literal["none", "image", "text"] = "none"
    """tower whose weights stay as they are; "image" is LiT. The projection behind a replaced tower still learns"""
    gradient_checkpointing: bool = False
    """keep no activations inside the towers and compute them again: less memory, a third more time"""
    patch_dropout: float = 0.0
    """vision transformers: share of patches left out at each step"""

    objective: Literal["sentences", "reports"] = "sentences"
    """what is compared with the images: the batch's sentences, all of its own report being an image's positives; or
    whole reports"""
    form: Literal["sigmoid", "softmax"] = "sigmoid"
    """how they are compared: each pair by itself (SigLIP), or against all others (InfoNCE)"""
    duplicates: Literal["positives", "negatives"] = "positives"
    """what an image is to a text that is word for word its own but came from another report: a partner (equal texts are
    one text), or a negative, as in CLIP. Without equal texts both are the same loss"""
    sentences_per_report: int | None = None
    """draw so many sentences of each report anew at each step; None takes all"""
    unmentioned: Literal["negative", "unknown"] = "negative"
    """what a text that speaks of some finding, by its words, is to an image whose own reports speak of none that it
    does: a negative, or nothing that the loss counts"""
    label_similarity: float = 0.0
    """soft targets: how much of a positive a text is whose study has the very same labels, 0 to 1"""
    views_per_study: int = 1
    """most images of a study in a batch, positives of the same texts"""
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
    layer_decay: float = 1.0
    """factor of the learning rate from each layer of a transformer to the one below it"""
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
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """of the forward pass; weights are always float32. auto is bf16 where the hardware multiplies in it; fp16 scales
    the loss"""
    compile: bool = False
    """let torch.compile fuse the towers: minutes at the start, faster steps on a GPU"""
    ema: float | None = None
    """decay of the moving average of the weights, such as 0.999, which is then what is validated and saved; smaller at
    the start. None is no average"""
    augment: Augmentation = Augmentation()
    """random changes of the images; all 0 is none"""

    batch_size: int = 64
    """pairs per step, over all processes; an epoch is cut into steps of nearly equal size, none larger than this"""
    accum_freq: int = 1
    """parts that a batch is computed in, one after the other, to fit into memory. Features are cached, so that the
    gradient is the whole batch's, all negatives included"""
    workers: int = 0
    """processes that read batches ahead; 0 reads in the training process, enough for our own stores on a CPU"""
    epochs: int = 4
    """passes over the pairs; with `max_minutes` there are as many as fit"""
    max_minutes: float | None = None
    """minutes of training steps; the schedule follows this clock, so that a resume is not exact to the bit. Validation
    and saving come on top"""
    seed: int = 1234
    """of weights, order, augmentation"""
    shuffle_reports: bool = False
    """negative control: give every image somebody's text; whatever is learnt then is a leak"""
    device: str = "auto"
    """torch device; auto is cuda where there is one"""
    record_pictures: bool = False
    """keep a hash of every picture with the record of what was trained on, so that an evaluation finds the same film
    under another name; reads all images once"""

    save_dir: Path = Path("runs")
    """where runs are kept"""
    model_name: str = "pt-imp"
    """name of this run below `save_dir`"""
    out_dir: Path | None = None
    """folder of this run; None is save_dir/model_name"""
    overwrite: bool = False
    """replace a run that is in the folder already"""
    resume: bool = False
    """go on from the last checkpoint of a run in the folder, exactly where it was; start where there is none"""
    save_interval: int = 1000
    """steps between checkpoints; the last is always saved"""
    keep: int = 2
    """checkpoints kept, the newest ones; the best stays as well"""
    save_format: Literal["open_clip", "chexzero"] = "open_clip"
    """chexzero writes model.pt beside the safetensors, as CheXzero's scripts read it"""
    best_by: str = "mean_auroc"
    """validation figure that chooses the best checkpoint: higher is better, but where its name has "loss" or "rank" """
    patience: int | None = None
    """stop after so many validations without a better figure; None never does"""
    max_bad_steps: int = 10
    """stop after so many steps in a row whose gradient is not finite; each is skipped and counted"""
    wandb: str | None = None
    """project of Weights & Biases to report to; needs `pip install wandb`"""
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
        self._refuse_out_of_range()
        if self.text_start == "bag_of_words" and self.pretrained is not None and not self.random_init:
            raise ValueError("text_start bag_of_words is a start from random weights: add --random_init")
        if self.objective == "sentences" and self.duplicates == "negatives":
            raise ValueError(
                "duplicates negatives compares each report with itself alone: it needs --objective reports; equal "
                "sentences are always one"
            )
        if self.duplicates == "negatives" and (self.views_per_study > 1 or self.label_similarity):
            raise ValueError(
                "duplicates negatives gives each image one partner, its own report: it cannot have views_per_study "
                f"{self.views_per_study} or label_similarity {self.label_similarity:g}"
            )
        if self.duplicates == "negatives" and self.unmentioned == "unknown":
            raise ValueError(
                "duplicates negatives takes every other report for a negative: leave out unmentioned unknown"
            )
        if self.batch_size < 2 * self.views_per_study:
            raise ValueError(
                f"batch_size {self.batch_size} does not hold two studies of {self.views_per_study} views: raise it"
            )
        if self.resume and self.overwrite:
            raise ValueError("resume goes on with the run that is there and overwrite deletes it: choose one")

    def _refuse_out_of_range(self) -> None:
        for name, least in AT_LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, found {getattr(self, name)}")
        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, found {value}")
        for name, greatest in SHARES.items():
            value = getattr(self, name)
            if value is not None and not (0 <= value < 1 or value == greatest):
                upper = "<= 1" if greatest == 1 else "< 1"
                raise ValueError(f"{name} is a share, wanted 0 <= {name} {upper}, found {value}")

    @property
    def folder(self) -> Path:
        """Folder that this run writes."""
        return self.save_dir / self.model_name if self.out_dir is None else self.out_dir
