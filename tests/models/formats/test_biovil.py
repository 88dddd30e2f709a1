"""BioViL's and BioViL-T's published folders on random weights under the real names, against torchvision and plain torch."""

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, interpolate, normalize, relu
from torchvision.models import resnet50
from torchvision.transforms import CenterCrop

import models
from models.places import relevance

FILES = {"biovil": "biovil_image_resnet50_proj_size_128.pt", "biovil-t": "biovil_t_image_model_proj_size_128.pt"}
CUT = {"biovil": 480, "biovil-t": 448}


def image_half(kind):
    """Return the state dict of the image half as it is published, and the ResNet-50 in it."""
    torch.manual_seed(3)
    network = resnet50().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    state = {f"encoder.encoder.{name}": tensor for name, tensor in network.state_dict().items()}
    width = 2048
    if kind == "biovil-t":
        state["encoder.backbone_to_vit.weight"] = torch.randn(256, 2048, 1, 1) / 45
        state["encoder.missing_previous_emb"] = torch.randn(1, 256, 1, 1)
        state["encoder.vit_pooler.type_embed"] = torch.randn(2, 1, 256)
        width = 512
    state |= {
        "projector.model.0.weight": torch.randn(128, width, 1, 1) / width**0.5,
        "projector.model.1.weight": torch.rand(128) + 0.5,
        "projector.model.1.bias": torch.randn(128),
        "projector.model.1.running_mean": torch.randn(128) / 10,
        "projector.model.1.running_var": torch.rand(128) + 0.5,
        "projector.model.1.num_batches_tracked": torch.tensor(7),
        "projector.model.3.weight": torch.randn(128, 128, 1, 1) / 11,
        "projector.model.3.bias": torch.randn(128),
    }
    return state, network


def places_of(state, network, films, cut):
    """Return the projected map of films, as the papers and hi-ml's code describe it."""
    grey = interpolate(films[:, None].float(), (512, 512), mode="bilinear", antialias=True)
    seen = CenterCrop(cut)(grey / 255).repeat(1, 3, 1, 1)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        seen = getattr(network, name)(seen)
    if "encoder.backbone_to_vit.weight" in state:
        seen = conv2d(seen, state["encoder.backbone_to_vit.weight"])
        without_prior = state["encoder.missing_previous_emb"].repeat(len(seen), 1, *seen.shape[2:])
        seen = torch.cat([seen, without_prior], dim=1)
    seen = conv2d(seen, state["projector.model.0.weight"])
    norm = [state[f"projector.model.1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    seen = relu(batch_norm(seen, *norm))
    return conv2d(seen, state["projector.model.3.weight"], state["projector.model.3.bias"])


@pytest.fixture(scope="module", params=list(FILES))
def published(request, write_cxr_bert, tmp_path_factory):
    """Return the kind, its folder, the image half's weights and its ResNet-50."""
    folder = tmp_path_factory.mktemp(request.param)
    write_cxr_bert(folder, width=128)
    state, network = image_half(request.param)
    torch.save(state, folder / FILES[request.param])
    return request.param, folder, state, network


@pytest.fixture(scope="module")
def films():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 600, 600), dtype=torch.uint8, generator=generator)


def test_the_logit_scale_that_the_files_lack_is_noted(published, capsys):
    models.load(published[1])
    assert "its files hold no logit scale; taken is open_clip's initial one, 14.3\n" in capsys.readouterr().err


def test_features_are_the_mean_of_projected_places_of_the_films_middle(published, films, tmp_path):
    kind, folder, state, network = published
    bundle = models.load(folder)
    with torch.no_grad():
        expected = places_of(state, network, films, CUT[kind]).mean(dim=(2, 3))
    ours = models.encode_images(bundle, films)
    torch.testing.assert_close(ours, normalize(expected), atol=1e-5, rtol=0)
    models.save(bundle, tmp_path / "saved")
    again = models.load(tmp_path / "saved")
    assert torch.equal(models.encode_images(again, films), ours)
    assert not (folder / "ran").exists()


def test_places_tile_the_whole_film_and_the_border_has_its_neighbours_values(published, films):
    kind, folder, state, network = published
    bundle = models.load(folder)
    # of 512 pixels 16 are cut off on each side, half a place; BioViL-T cuts off a whole one
    repeats = 2 if kind == "biovil" else 1
    with torch.no_grad():
        places = places_of(state, network, films, CUT[kind])
    inner = places.repeat_interleave(repeats, dim=2).repeat_interleave(repeats, dim=3)
    ours = models.encode_places(bundle, films)
    assert ours.shape[2:] == (512 // (32 // repeats),) * 2
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], inner, atol=1e-4, rtol=0)
    assert torch.equal(ours[..., 0, :], ours[..., 1, :])
    assert torch.equal(ours[..., -1], ours[..., -2])
    assert relevance(bundle, films[:1], lambda features: features[:, :1]).shape[2:] == ours.shape[2:]


def test_texts_are_cxr_berts_own_behind_its_head(write_cxr_bert, tmp_path):
    _, features = write_cxr_bert(tmp_path, width=128)
    torch.save(image_half("biovil")[0], tmp_path / FILES["biovil"])
    bundle = models.load(tmp_path)
    tokens = models.tokenize(["small left effusion", "edema"], bundle.tokenizer, context_length=bundle.context_length)
    torch.testing.assert_close(models.encode_texts(bundle, tokens), features(tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda state: None, FileNotFoundError, r"is CXR-BERT, a text tower.*put one of biovil_image_resnet50_proj"),
        (
            lambda state: {name: tensor for name, tensor in state.items() if "layer4.2.conv3" not in name},
            ValueError,
            r"BioViL's image half, lacks 1 weights .*: trunk.layer4.2.conv3.weight",
        ),
        (
            lambda state: state | {"projector.model.3.weight": torch.zeros(64, 128, 1, 1)},
            ValueError,
            r"other shapes than BioViL's image half: .*head.project.3.weight",
        ),
    ],
    ids=["absent", "incomplete", "narrower"],
)
def test_a_bad_folder_is_an_error_that_says_what_is_wrong(damage, error, message, write_cxr_bert, tmp_path):
    write_cxr_bert(tmp_path, width=128)
    state = damage(image_half("biovil")[0])
    if state is not None:
        torch.save(state, tmp_path / FILES["biovil"])
    with pytest.raises(error, match=message):
        models.load(tmp_path)
