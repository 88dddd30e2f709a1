"""Features of single places of an image, and the gradient of a score at each place: the basis of heatmaps.

A tower computes a map and pools it into its output. Both functions start at that pooling: average or maximum (timm),
attention (CLIP's ResNets, SigLIP), or the class token's attention in the last block (vision transformers of CLIP and
DINOv2). Places are assumed to tile the image evenly; padded strides can shift those of a timm network by up to half a
place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd, isqrt, log2
from typing import Any, NoReturn

import torch
from jaxtyping import Float, UInt8
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.vision_transformer import Block
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from models.bundle import Bundle, evaluation_mode, image_features
from models.network_input import Preprocessing, to_network_input

SINGLES = 4096
"""Places that go through a timm head together"""
FEWEST_ROWS = 7
"""Minimum number of rows of the map in `relevance`: those of CLIP's networks at 224 pixels"""


def encode_places(bundle: Bundle, images: UInt8[Tensor, "n s s"]) -> Float[Tensor, "n d h w"]:
    """Return the feature of each place: the image tower's output if its pooling saw that place alone; not normalised.

    After an average pool and a linear projection, the mean over places is the feature of the image. An attention pool
    that sees one place returns its value through the output projection. If a class token does the pooling, every patch
    attends only to itself in the last block, so the feature does not mix in other patches there.

    Args:
        bundle: The model; runs in evaluation mode on its device.
        images: Grey levels 0..255 as stored.

    Raises:
        ValueError: The pooling cannot be applied to one place (open_clip's CoCa; timm networks that return tokens but
            are not plain vision transformers).

    Source: Zhou et al., Extract Free Dense Labels from CLIP (MaskCLIP), ECCV 2022, section 3.2, for attention pools
    and class tokens; residual and MLP of the last block are kept here, as the projection was trained behind them.
    """
    visual: Any = bundle.model.visual
    with evaluation_mode(bundle.model, bf16=False):
        network_input = to_network_input(images.to(bundle.device), bundle.preprocessing)
        if isinstance(visual, ModifiedResNet):
            places = _over_whole_image(_through_attention_pool(visual, network_input), visual.image_size)
        elif isinstance(visual, TimmModel):
            places = _through_timm_head(visual, network_input)
        else:
            places = _through_last_norm(visual, network_input)
    return _with_what_was_cut_off(places.float(), bundle.preprocessing)


def relevance(
    bundle: Bundle, images: UInt8[Tensor, "n s s"], score: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n c"]]
) -> Float[Tensor, "n c h w"]:
    """Return the contribution of each place to each score, to first order: `sum_m A_m d(score)/d(A_m)`.

    A is the input of the last pooling at that place (m channels), so a value is the change of the score per relative
    change of A there: positive if the place raises the score, negative if it lowers it. Unlike in Grad-CAM, gradients
    are not averaged over places, because behind an attention pool they differ between places. If a class token does
    the pooling, A is the input of the last attention, after its norm; before a norm the sum would be 0 everywhere. If
    CLIP's ResNets end in fewer than 7 rows, as for images of 112 pixels, A is the map of the stage before.

    Args:
        bundle: The model; runs in evaluation mode on its device. Weights get no gradient.
        images: Grey levels 0..255 as stored.
        score: Function of L2-normalised image features on the model's device, image by image.

    Raises:
        ValueError: As `encode_places`, but any pooling of a square map is possible.

    Source: Draelos & Carin, Use HiResCAM instead of Grad-CAM, arXiv 2011.08891, equation of section 3.2.
    """
    with evaluation_mode(bundle.model, bf16=False), torch.enable_grad():
        features, places = features_and_places(bundle, to_network_input(images.to(bundle.device), bundle.preprocessing))
        scores = score(features)
        gradients = [torch.autograd.grad(column.sum(), places, retain_graph=True)[0] for column in scores.unbind(1)]

    # sum over channels, one map per score: c times (n, h, w) -> (n, c, h, w)
    visual: Any = bundle.model.visual
    products = [_channels_last(visual, places.detach() * gradient).sum(dim=-1) for gradient in gradients]
    maps = torch.stack(products, dim=1).float()
    maps = _over_whole_image(maps, visual.image_size) if isinstance(visual, ModifiedResNet) else maps
    return _with_what_was_cut_off(maps, bundle.preprocessing)


def features_and_places(
    bundle: Bundle, network_input: Float[Tensor, "n c r r"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n ..."]]:
    """Return L2-normalised image features and the leaf of their graph: the map of `relevance`, in the tower's layout.

    Raises:
        ValueError: See `relevance`.
    """
    visual: Any = bundle.model.visual
    module = _read_by_pooling(visual)
    if module is None:
        places = visual.trunk.forward_features(network_input).detach().requires_grad_()
        pooled = visual.head(visual.trunk.forward_head(places))
        return normalize(pooled.float(), dim=-1), places
    with _as_leaf(module) as outputs:
        features = image_features(bundle, network_input)
    return features, outputs[0]


def _read_by_pooling(visual: Any) -> nn.Module | None:
    """Return the module whose output the last pooling reads; None for timm's, whose `forward_features` returns it."""
    by_class_token = _pools_by_class_token(visual)
    module: nn.Module | None
    if isinstance(visual, ModifiedResNet):
        module = visual.layer4 if visual.image_size // 32 >= FEWEST_ROWS else visual.layer3
    elif isinstance(visual, TimmModel):
        module = visual.trunk.blocks[-1].norm1 if by_class_token else None
    elif by_class_token:
        module = visual.transformer.resblocks[-1].ln_1
    else:
        module = visual.transformer if visual.final_ln_after_pool else visual.ln_post
    return module


def _pools_by_class_token(visual: Any) -> bool:
    """Whether the output is a class token, so that the last attention does the pooling.

    Raises:
        ValueError: A vision transformer pools or attends in another way.
    """
    trunk = getattr(visual, "trunk", visual)
    if isinstance(trunk, TimmVisionTransformer):
        fits = type(trunk) is TimmVisionTransformer and type(trunk.blocks[-1]) is Block
        by_class_token = trunk.attn_pool is None and trunk.global_pool == "token"
    elif isinstance(trunk, VisionTransformer):
        fits = trunk.attn_pool is None and trunk.pool_type in ("tok", "avg")
        by_class_token = trunk.pool_type == "tok"
    else:
        return False
    if not fits:
        _refuse(trunk)
    return by_class_token


def _refuse(trunk: nn.Module) -> NoReturn:
    raise ValueError(
        f"heatmaps are for CLIP's image towers, timm's convolutional networks and its plain vision transformers;"
        f" this {type(trunk).__name__} pools its tokens in another way"
    )


def _channels_last(visual: Any, places: Float[Tensor, "n ..."]) -> Float[Tensor, "n h w m"]:
    """Return a map of the tower (NCHW, NHWC, or tokens after a prefix) with places in rows and columns."""
    trunk = getattr(visual, "trunk", visual)
    if places.ndim == 4:
        return places if _is_nhwc(trunk) else places.permute(0, 2, 3, 1)
    if not isinstance(trunk, TimmVisionTransformer | VisionTransformer):
        _refuse(trunk)
    tokens = places[:, int(getattr(trunk, "num_prefix_tokens", 1)) :]
    side = isqrt(tokens.shape[1])
    return tokens.reshape(len(tokens), side, side, -1)


def _is_nhwc(trunk: nn.Module) -> bool:
    return str(getattr(trunk, "output_fmt", "NCHW")) == "NHWC"


def _through_attention_pool(
    visual: ModifiedResNet, network_input: Float[Tensor, "n c r r"]
) -> Float[Tensor, "n d h w"]:
    """Return the value and output projection of each place, with its position, in CLIP's attention pool."""
    pool = visual.attnpool
    last = visual.forward_intermediates(network_input, indices=1, intermediates_only=True)["image_intermediates"][0]
    places = last.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]  # (n, h*w, m); the first is the mean's
    projected: Tensor = pool.c_proj(pool.v_proj(places)).transpose(1, 2)
    return projected.reshape(len(last), -1, *last.shape[2:])


def _through_last_norm(visual: VisionTransformer, network_input: Float[Tensor, "n c r r"]) -> Float[Tensor, "n d h w"]:
    """Return final norm and projection of each patch in open_clip's vision transformer."""
    with _attending_to_itself(visual.transformer.resblocks[-1], wanted=_pools_by_class_token(visual)):
        kept = visual.forward_intermediates(
            network_input, indices=1, normalize_intermediates=True, intermediates_only=True
        )["image_intermediates"][0]
    return torch.einsum("nmhw,md->ndhw", kept, visual.proj)


def _through_timm_head(visual: Any, network_input: Float[Tensor, "n c r r"]) -> Float[Tensor, "n d h w"]:
    """Return the output of the tower's head for each place alone."""
    trunk = visual.trunk
    if hasattr(visual.head, "pool"):
        _refuse(visual.head.pool)
    by_class_token = _pools_by_class_token(visual)
    with _attending_to_itself(trunk.blocks[-1] if by_class_token else trunk, wanted=by_class_token):
        seen = trunk.forward_features(network_input)

    places = _channels_last(visual, seen)
    singles = places.flatten(0, 2)  # (n*h*w, m)
    if seen.ndim == 3:
        # the place in every role: as class token, in the average, as all tokens of an attention pool
        singles = singles.unsqueeze(1).expand(-1, trunk.num_prefix_tokens + 1, -1)
    else:
        singles = singles[:, None, None] if _is_nhwc(trunk) else singles[:, :, None, None]

    features: Tensor = torch.cat([visual.head(trunk.forward_head(part)) for part in torch.split(singles, SINGLES)])
    return features.reshape(*places.shape[:3], -1).permute(0, 3, 1, 2)  # (n*h*w, d) -> (n, d, h, w)


def _over_whole_image(maps: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n c height width"]:
    """Return a map that tiles the whole image; in CLIP's ResNets, places can leave a rim on the right and below.

    They halve the size and round down: of 112 pixels, 3 places of 32 cover 96. The rim gets the values of its
    neighbours, in places of the greatest common size, here 7 of 16.
    """
    stride = 2 ** int(log2(side // maps.shape[-1]))
    unit = gcd(stride, side)
    finer = maps.repeat_interleave(stride // unit, dim=2).repeat_interleave(stride // unit, dim=3)
    rim = side // unit - finer.shape[-1]
    return pad(finer, (0, rim, 0, rim), mode="replicate")


def _with_what_was_cut_off(
    maps: Float[Tensor, "n c h w"], preprocessing: Preprocessing
) -> Float[Tensor, "n c height width"]:
    """Return a map that tiles the whole image, if the network reads a centre crop.

    The border gets the values of its neighbours, in places of the greatest common size: 15 places of 32 pixels with 16
    cut off on each side become 32 places of 16.
    """
    border = (preprocessing.resized - preprocessing.image_size) // 2
    if not border:
        return maps
    stride = preprocessing.image_size // maps.shape[-1]
    unit = gcd(stride, border)
    finer = maps.repeat_interleave(stride // unit, dim=2).repeat_interleave(stride // unit, dim=3)
    return pad(finer, (border // unit,) * 4, mode="replicate")


@contextmanager
def _as_leaf(module: nn.Module) -> Iterator[list[Tensor]]:
    """Cut the graph before a module's output and yield that output, which the rest of the tower continues from."""
    outputs: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_())
        return outputs[-1]

    handle = module.register_forward_hook(cut)
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def _attending_to_itself(block: nn.Module, *, wanted: bool) -> Iterator[None]:
    """Let every token of a transformer block attend only to itself, if wanted."""

    def mask(
        _module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tokens = inputs[0]
        n_tokens = tokens.shape[1]
        alone = torch.full((n_tokens, n_tokens), -torch.inf, dtype=tokens.dtype, device=tokens.device)
        return (tokens,), {**options, "attn_mask": alone.fill_diagonal_(0.0)}

    if not wanted:
        yield
        return
    handle = block.register_forward_pre_hook(mask, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
