"""The settings of a training run, with their headings in `-h`. Light: imports neither torch nor pandas."""

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
    "threads": 1,
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
INIT_BIAS = -5.0
SHARES = {"second_share": 1, "label_similarity": 1, "warmup": 0, "patch_dropout": 0, "ema": 0}
"""Name -> the largest share where it may be reached, else 0."""
HEADINGS = {
    "cxr_filepath": "data",
    "model": "model",
    "objective": "what is compared",
    "optimizer": "optimiser",
    "augment": "augmentation",
    "batch_size": "batch",
    "epochs": "time and saving",
    "best_by": "validation",
    "max_bad_steps": "time and saving",
    "eval_interval": "validation",
}
"""Field -> heading in `-h` of this field and the fields after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of the training images, drawn anew for each image on the device."""

    rotation_degrees: float = 0.0
    """Maximum rotation to either side, degrees"""
    shift: float = 0.0
    """Maximum shift in x and in y, as a share of the image side"""
    scale: float = 0.0
    """Maximum change of size: 0.1 draws factors from 1/1.1 to 1.1"""
    brightness: float = 0.0
    """Maximum change of gain: 0.2 draws factors from 1/1.2 to 1.2; black stays black"""
    contrast: float = 0.0
    """Maximum change of gamma: 0.2 draws exponents from 1/1.2 to 1.2; black and white stay"""
    flip: float = 0.0
    """Share of images mirrored left to right, with left and right swapped in their texts; an image whose text names a
    side in words that cannot be swapped ("lingula") is never mirrored. Mirroring puts the heart on the wrong side"""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"--augment.{name}: wanted 0 or more, found {getattr(self, name)}")
        if self.shift >= 1:
            raise ValueError(f"--augment.shift: wanted a share of the image side below 1, found {self.shift}")
        if self.flip > 1:
            raise ValueError(f"--augment.flip: wanted a share of the images, at most 1, found {self.flip}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One contrastive (or supervised) training run. Defaults: OpenAI's ViT-B/32, sentence-level sigmoid loss."""

    cxr_filepath: Path = Path("data/cxr.h5")
    """Image store written by preprocess_train_data.py, or CheXzero's"""
    txt_filepath: Path = Path("data/mimic_impressions.csv")
    """Texts, one row per image"""
    second_txt_filepath: Path | None = None
    """Other texts of the same images, such as the findings section; each step draws one of the two per study"""
    second_share: float = 0.5
    """Probability of drawing the second text, where an image has one"""
    cohort_filepath: Path = Path("data/cohort.csv")
    """Cohort table with patient, split and view of every image"""
    no_cohort: bool = False
    """Train without a cohort table: on every image of the store, whatever its patient, split and view"""
    train_split: str = "train"
    """Split of the cohort to train on"""
    views: Literal["frontal", "all"] = "frontal"
    """Views to train on; frontal: PA and AP"""

    model: str = "ViT-B-32"
    """open_clip architecture, "phantom-tiny", or trained: a run folder, checkpoint, CheXzero .pt file or NAME:FILE"""
    pretrained: str | None = "openai"
    """Published tag or weights file of the architecture; None: random weights. Not with a trained --model"""
    image_tower: str | None = None
    """Image tower in place of the model's: "timm:NAME" (ConvNeXt, DenseNet, DINOv2, ...), "hf:OWNER/NAME", or a
    downloaded folder, for a DINOv2 of Hugging Face such as microsoft/rad-dino"""
    text_tower: str | None = None
    """Text tower in place of the model's: "hf:OWNER/NAME" or a downloaded folder, such as
    microsoft/BiomedVLP-CXR-BERT-specialized or emilyalsentzer/Bio_ClinicalBERT"""
    embed_dim: int | None = None
    """Width of the joint embedding; without it, the architecture's own. Another width needs random weights, or both
    towers replaced"""
    grey_stem: bool = False
    """Fold the image tower's first layer to one channel: exact for grey images, and cheaper"""
    random_init: bool = False
    """Start from random weights, whatever --pretrained says; not with a trained --model"""
    text_start: Literal["architecture", "bag_of_words"] = "architecture"
    """Random weights of the text tower: open_clip's own, or weights that start as an average of the words, for archives
    of a few thousand reports"""
    image_size: int | None = None
    """Input side of the network, pixels; without it, the architecture's own"""
    context_length: int | None = None
    """Maximum number of tokens per text; without it, the architecture's own. Longer contexts interpolate the position
    embeddings"""
    antialias: bool = True
    """Antialias when images are downscaled to --image_size; CheXzero did not, and its checkpoints stay without"""

    freeze: Literal["none", "image", "text"] = "none"
    """Tower whose weights are frozen; image: LiT. The projection of a replaced tower is still trained"""
    gradient_checkpointing: bool = False
    """Recompute the towers' activations instead of storing them: less memory, a third more time"""
    patch_dropout: float = 0.0
    """Share of patches left out at each step; vision transformers only"""

    objective: Literal["sentences", "reports"] = "sentences"
    """Texts to compare with the images: the sentences of the batch, where all sentences of its own report are an
    image's positives; or whole reports"""
    form: Literal["sigmoid", "softmax"] = "sigmoid"
    """Loss: each pair by itself (sigmoid, SigLIP), or against all others (softmax, InfoNCE)"""
    duplicates: Literal["positives", "negatives"] = "positives"
    """Identical texts from different reports: merged and positive for all their images, or negatives of each other as
    in CLIP"""
    sentences_per_report: int | None = None
    """Number of sentences drawn anew from each report at each step; without it, all"""
    unmentioned: Literal["negative", "unknown"] = "negative"
    """How to treat a text about a finding that the image's own reports do not mention: as a negative, or ignored by the
    loss"""
    label_similarity: float = 0.0
    """Soft targets: weight, 0 to 1, as a positive of a text whose study has identical labels"""
    views_per_study: int = 1
    """Maximum number of views per study in a batch; all share the study's texts as positives"""
    positive_weight: float = 1.0
    """Weight of a positive pair relative to a negative one; sigmoid loss only"""
    init_scale: float | None = None
    """Initial logit scale; without it, the model's own (14.3 for random weights)"""
    init_bias: float = INIT_BIAS
    """Initial logit bias, for models without one; about the log-odds that a sentence belongs to an image; sigmoid loss
    only"""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimiser; adam is CheXzero's word for adamw"""
    lr: float = 1e-4
    """Peak learning rate"""
    text_rate: float = 1.0
    """Learning rate of the text tower, as a multiple of --lr; above 1 for a small tower with random weights"""
    layer_decay: float = 1.0
    """Learning rate of each transformer layer, as a multiple of the layer above it"""
    momentum: float = 0.9
    """Momentum; sgd only"""
    beta2: float = 0.98
    """Decay of the second moment; adamw only"""
    weight_decay: float = 0.05
    """Weight decay of matrices; never of norms, biases, positions, logit scale and logit bias"""
    warmup: float = 0.05
    """Share of the run over which the learning rate rises linearly"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up"""
    grad_clip: float | None = 1.0
    """Clip the global gradient norm to this value; None: no clipping"""
    clamp_scale: bool = True
    """Keep the logit scale at or below 100, as OpenAI did and CheXzero did not"""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Precision of the forward pass; weights are always float32. auto: bf16 where the hardware multiplies in it; fp16:
    with loss scaling"""
    compile: bool = False
    """Compile the towers with torch.compile: minutes at the start, faster steps on a GPU"""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, such as 0.999; the average is then validated and saved.
    Without it, no average"""
    augment: Augmentation = Augmentation()
    """Random changes of the training images; all 0: none"""

    batch_size: int = 64
    """Pairs per step, over all processes; an epoch is split into steps of nearly equal size, at most this"""
    accum_freq: int = 1
    """Number of parts in which a batch is computed, to fit into memory; features are cached, so the gradient is the
    whole batch's, all negatives included"""
    workers: int = 0
    """Processes that read batches ahead; 0: the training process reads, fast enough for our own stores on a CPU"""
    threads: int | None = None
    """Threads on a CPU; without it, one per idle core. Two threads on two cores wait for each other as soon as another
    program runs; the same number gives the same weights, bit by bit"""
    epochs: int = 4
    """Passes over the pairs; ignored with --max_minutes"""
    max_minutes: float | None = None
    """Minutes of training steps, validation and saving excluded; the schedule follows this clock, so a resumed run is
    not bit-exact"""
    seed: int = 1234
    """Seed for initialisation, data order and augmentation"""
    shuffle_reports: bool = False
    """Negative control: pair every image with a random report; anything learnt is then a leak"""
    device: str = "auto"
    """Device, as torch names it; auto: cuda if available, else cpu"""
    record_pictures: bool = True
    """Store a hash of every training image, so that an evaluation recognises the same film under another name; reads
    all images once, a few minutes for 300,000"""

    save_dir: Path = Path("runs")
    """Folder of all runs"""
    model_name: str = "pt-imp"
    """Name of this run, a folder in --save_dir"""
    out_dir: Path | None = None
    """Folder of this run, in place of SAVE_DIR/MODEL_NAME"""
    overwrite: bool = False
    """Replace the run that is in the folder"""
    resume: bool = False
    """Continue the run in the folder exactly from its last checkpoint; start it if there is none"""
    save_interval: int = 1000
    """Steps between checkpoints; the last step is always saved"""
    keep: int = 2
    """Number of newest checkpoints to keep; the best is kept as well"""
    save_format: Literal["open_clip", "chexzero"] = "open_clip"
    """chexzero: also write model.pt, which CheXzero's scripts read"""
    best_by: str = "mean_auroc"
    """Validation metric that chooses the best checkpoint. Higher is better, unless its name contains "loss" or
    "rank\""""
    patience: int | None = None
    """Early stopping: stop after this many validations without improvement; without it, never"""
    max_bad_steps: int = 10
    """Stop after this many consecutive steps with a non-finite gradient; each is skipped and counted"""
    wandb: str | None = None
    """Weights & Biases project to report to; needs `pip install wandb`"""
    log_interval: int = 10
    """Steps between lines of metrics.jsonl"""
    eval_interval: int = 500
    """Steps between validations; the last step is always validated"""
    eval_split: str = "validate"
    """Split of the cohort that is scored by prompts during training; its report labels are used for evaluation only"""
    eval_images: int = 500
    """Maximum number of images per validation"""
    eval_prompts: str = "radiologist"
    """Prompt set of the validation"""

    def __post_init__(self) -> None:
        self._refuse_out_of_range()
        self._refuse_negatives()
        if self.text_start == "bag_of_words" and self.pretrained is not None and not self.random_init:
            raise ValueError("--text_start bag_of_words: wanted random weights, found --pretrained; add --random_init")
        if self.batch_size < 2 * self.views_per_study:
            raise ValueError(
                f"--batch_size: wanted room for two studies of {self.views_per_study} views, found {self.batch_size}"
            )
        if self.resume and self.overwrite:
            raise ValueError(
                "--resume, --overwrite: wanted one of them, found both; one continues what the other deletes"
            )

    def _refuse_out_of_range(self) -> None:
        for name, least in AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"--{name}: wanted {least} or more, found {value}")

        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"--{name}: wanted more than 0, found {value}")

        for name, greatest in SHARES.items():
            value = getattr(self, name)
            if value is not None and not (0 <= value < 1 or value == greatest):
                upper = "to 1" if greatest == 1 else "to below 1"
                raise ValueError(f"--{name}: wanted a share from 0 {upper}, found {value}")

    def _refuse_negatives(self) -> None:
        """Refuse settings that give an image more texts than the one that `duplicates` "negatives" leaves it."""
        if self.duplicates != "negatives":
            return
        if self.objective == "sentences":
            raise ValueError(
                "--duplicates negatives: wanted --objective reports, found sentences; it compares each report with its "
                "own image alone, and equal sentences are always merged"
            )
        if self.views_per_study > 1 or self.label_similarity:
            raise ValueError(
                "--duplicates negatives: wanted one positive per image, its own report, found "
                f"--views_per_study {self.views_per_study} and --label_similarity {self.label_similarity:g}"
            )
        if self.unmentioned == "unknown":
            raise ValueError(
                "--duplicates negatives: wanted every other report as a negative, found --unmentioned unknown"
            )

    @property
    def folder(self) -> Path:
        """Folder that this run writes."""
        return self.save_dir / self.model_name if self.out_dir is None else self.out_dir
