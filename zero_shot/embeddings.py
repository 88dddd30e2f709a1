"""Image features on disk: encoded once, and found again by the model and images they came from, not by file name.

One HDF5 file holds the features of one list of images by any number of models:

    /image_id      (n,) text, in scoring order
    /KEY           (n, d) float32, L2-normalised; KEY is `ModelKey.digest`. Attributes: name, weights, architecture,
                   preprocessing (JSON), sha256 of ids and values
    attributes     format_version; images, the SHA-256 of ids and pixels (`Images.fingerprint`)

A run's own cache never makes it fail: if the cache does not match, the images are encoded again. A file that the user
named has to match.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import models
from common.atomic import write_whole
from zero_shot.features import image_features
from zero_shot.images import Images, refuse_repeated

FORMAT_VERSION = 1
IDS = "image_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """What features depend on, beside the images."""

    weights: str
    """SHA-256 of the weights"""
    architecture: str
    """SHA-256 of configuration and tokenizer: the same weights with another activation are another model"""
    preprocessing: Mapping[str, Any]
    """Input of the image tower"""

    @property
    def digest(self) -> str:
        """SHA-256 over all three."""
        return _sha256(asdict(self))


def model_key(bundle: models.Bundle) -> ModelKey:
    """Return the key of a model's features; hashing the weights takes about a second per gigabyte."""
    preprocessing = json.loads(json.dumps(asdict(bundle.preprocessing)))
    return ModelKey(
        weights=models.fingerprint(bundle),
        architecture=models.architecture_fingerprint(bundle),
        preprocessing=preprocessing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Features of a list of images by one model."""

    ids: tuple[str, ...]
    """Id of every image"""
    features: Float[Tensor, "n d"]
    """L2-normalised float32, on the CPU"""


def read_embeddings(path: Path | str, key: ModelKey, *, images: str | None = None) -> Embeddings:
    """Return the stored features of a model, bit for bit as they were encoded.

    Args:
        path: an `embeddings.h5`.
        key: the model, as from `model_key(bundle)`.
        images: `Images.fingerprint` that the file must have; None: any.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, of another format, of other images, or of other models only.
    """
    path = Path(path)
    with _opened(path, images) as file:
        if key.digest not in file:
            raise ValueError(f"the embeddings {path} are by other models: {_models_in(file)}. {_ADVICE}")
        stored = file[key.digest]
        ids: list[str] = file[IDS].asstr()[:].tolist()
        values: np.ndarray = stored[:]
        if stored.attrs.get("sha256") != _sha256_of(ids, values):
            raise ValueError(f"the embeddings {path} are damaged: their hash does not match. {_ADVICE}")
    return Embeddings(ids=tuple(ids), features=torch.from_numpy(values))


def write_embeddings(
    path: Path | str,
    key: ModelKey,
    features: Float[Tensor, "n d"],
    *,
    ids: Sequence[str],
    images: str,
    name: str = "",
) -> None:
    """Add a model's features to the file; the whole file is written again, so that it is complete at any time.

    Features of other images, and a file that cannot be read, are replaced.

    Args:
        path: an `embeddings.h5`; created if it does not exist.
        key: the model.
        features: L2-normalised float32.
        ids: id of every image.
        images: `Images.fingerprint` of the images.
        name: name of the model, for people who open the file.

    Raises:
        ValueError: an id is repeated, or there is not one feature per id.
    """
    refuse_repeated(ids, "the images to be stored")
    if len(ids) != len(features):
        raise ValueError(f"{len(features)} features for {len(ids)} images: wanted one each")

    values = np.ascontiguousarray(features.numpy())
    with write_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format_version": FORMAT_VERSION, "images": images})
        file.create_dataset(IDS, data=list(ids), dtype=h5py.string_dtype())
        _copy_others(Path(path), file, images=images, but=key.digest)
        stored = file.create_dataset(key.digest, data=values)
        about = asdict(key) | {"preprocessing": json.dumps(key.preprocessing), "sha256": _sha256_of(ids, values)}
        stored.attrs.update({"name": name, **about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where image features are looked up before they are encoded."""

    path: Path
    """An `embeddings.h5`"""
    images: str
    """`Images.fingerprint` of the images to be scored"""
    must_fit: bool = False
    """The user named this file: it is read, never written, and an error if it does not match"""

    def check(self) -> None:
        """Refuse a file that must match and holds other images, before a model is loaded.

        Raises:
            FileNotFoundError, ValueError: as `read_embeddings`.
        """
        if self.must_fit:
            with _opened(self.path, self.images):
                pass


def cached_features(
    bundle: models.Bundle,
    images: Images,
    *,
    key: ModelKey,
    cache: Cache | None,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
) -> Float[Tensor, "n d"]:
    """Return `image_features`, from the cache if it has them, else encoded and stored there.

    Stored features are returned bit for bit. Encoding again gives the same bits on the same device with the same batch
    size; another batch size rounds differently (about 1e-6).

    Raises:
        FileNotFoundError, ValueError: the cache must match and does not; see `read_embeddings`, `image_features`.
    """
    if cache is not None:
        try:
            found = read_embeddings(cache.path, key, images=cache.images).features
        except (FileNotFoundError, ValueError):
            if cache.must_fit:
                raise
        else:
            if progress is not None:
                progress(len(images))
            return found

    features = image_features(bundle, images, batch_size=batch_size, progress=progress)
    if cache is not None:
        try:
            write_embeddings(cache.path, key, features, ids=images.ids, images=cache.images, name=bundle.name)
        except OSError as error:
            warnings.warn(f"the features were not stored in {cache.path}: {error}", stacklevel=2)
    return features


_ADVICE = "Leave the file out and the images are encoded again"


@contextmanager
def _opened(path: Path, images: str | None) -> Iterator[h5py.File]:
    """Open an embeddings file, of these images if given; what h5py cannot read is reported as damage."""
    if not path.is_file():
        raise FileNotFoundError(f"no embeddings at {path}: wanted a file that an earlier run wrote. {_ADVICE}")

    try:
        with h5py.File(path, "r") as file:
            version, found = file.attrs.get("format_version"), file.attrs.get("images")
            if version != FORMAT_VERSION:
                raise ValueError(
                    f"{path} is not an embeddings file of format {FORMAT_VERSION}; found format {version}. {_ADVICE}"
                )
            if images is not None and found != images:
                raise ValueError(
                    f"{path} holds {len(file[IDS])} images whose ids or pixels are not those to be scored "
                    f"(fingerprint {str(found)[:12]}, wanted {images[:12]}). {_ADVICE}"
                )
            yield file
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"the embeddings {path} are damaged or not an HDF5 file ({error}). {_ADVICE}") from error


def _copy_others(path: Path, file: h5py.File, *, images: str, but: str) -> None:
    """Copy other models' features of the same images from an earlier file, if it can be read."""
    try:
        with _opened(path, images) as earlier:
            for digest in earlier:
                if digest not in (IDS, but):
                    earlier.copy(digest, file)
    except (FileNotFoundError, ValueError):
        return


def _models_in(file: h5py.File) -> str:
    """Return the names of the models in a file."""
    names = [f"{file[digest].attrs.get('name', '?')} ({digest[:12]})" for digest in file if digest != IDS]
    return ", ".join(names) or "none"


def _sha256(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256_of(ids: Sequence[str], values: np.ndarray) -> str:
    """Return the SHA-256 of ids and values."""
    digest = hashlib.sha256("\n".join([*ids, str(values.dtype), str(values.shape)]).encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
