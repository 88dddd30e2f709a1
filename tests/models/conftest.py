"""Every test here may build the models "toy" and "tiny-clip", on one thread and without a network."""

import json

import pytest
import torch

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
    "quick_gelu": True,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "edema", "no", "small", "effusion", "left", "right"]


@pytest.fixture(scope="session", autouse=True)
def _small(toy_architecture, one_thread, tmp_path_factory):
    """Register CLIP's own architecture in small, too, and forbid downloads."""
    import open_clip  # noqa: PLC0415

    path = tmp_path_factory.mktemp("configs") / "tiny-clip.json"
    path.write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="session")
def write_bert():
    """Return a function that writes a small random encoder with a tokenizer into a folder, and returns the network."""
    import transformers  # noqa: PLC0415

    def write(folder, kind="bert", **options):
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        if kind == "distilbert":
            sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
        fixed = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 32, "pad_token_id": 0}
        config = transformers.AutoConfig.for_model(kind, **sizes, **fixed, **options)
        torch.manual_seed(0)
        network = transformers.AutoModel.from_config(config).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        network.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
        transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
        return network

    return write


@pytest.fixture(scope="session")
def write_cxr_bert(write_bert):
    """Return a function that writes CXR-BERT's folder, and returns what its texts' features are by its paper.

    Network and head are small and random. It has a type, a tokenizer and keys of its own, and code that must not run: it
    would leave a file "ran".
    """

    def write(folder, *, width):
        network = write_bert(folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "cxr-bert", "projection_size": width, "architectures": ["CXRBertModel"]}
        config["auto_map"] = {"AutoConfig": "own_code.CXRBertConfig", "AutoModel": "own_code.CXRBertModel"}
        (folder / "config.json").write_text(json.dumps(config))
        settings = {"do_lower_case": True, "tokenizer_class": "CXRBertTokenizer"}
        settings["auto_map"] = {"AutoTokenizer": ["own_code.CXRBertTokenizer", None]}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        (folder / "own_code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
        generator = torch.Generator().manual_seed(5)
        vectors = ("dense_to_hidden.bias", "LayerNorm.weight", "LayerNorm.bias", "dense_to_output.bias")
        shapes = {"dense_to_hidden.weight": (width, 16), "dense_to_output.weight": (width, width)}
        shapes |= dict.fromkeys(vectors, (width,))
        head = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        state = {f"bert.{name}": tensor for name, tensor in network.state_dict().items() if "pooler" not in name}
        state |= {f"cls_projection_head.{name}": tensor for name, tensor in head.items()}
        torch.save(state | {"cls.predictions.bias": torch.zeros(11)}, folder / "pytorch_model.bin")
        for name in ("model.safetensors", "tokenizer.json"):
            (folder / name).unlink()

        def features(tokens):
            """Return the first token's hidden state behind linear, GELU, layer norm, linear, L2-normalised."""
            with torch.no_grad():
                first = network(input_ids=tokens, attention_mask=(tokens != 0).long()).last_hidden_state[:, 0]
                hidden = torch.nn.functional.gelu(
                    first @ head["dense_to_hidden.weight"].T + head["dense_to_hidden.bias"]
                )
                centred = hidden - hidden.mean(dim=1, keepdim=True)
                normed = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-12).sqrt()
                normed = normed * head["LayerNorm.weight"] + head["LayerNorm.bias"]
                said = normed @ head["dense_to_output.weight"].T + head["dense_to_output.bias"]
            return torch.nn.functional.normalize(said)

        return network, features

    return write


@pytest.fixture(scope="session")
def bert(write_bert, tmp_path_factory):
    """Return a folder with a small BERT, and the network."""
    folder = tmp_path_factory.mktemp("bert")
    return folder, write_bert(folder)


@pytest.fixture(scope="session")
def clip_weights(_small, tmp_path_factory):
    """Return a weights file of "tiny-clip", whose logit scale is a learnt one."""
    import models  # noqa: PLC0415

    path = tmp_path_factory.mktemp("weights") / "tiny-clip.pt"
    state = models.build("tiny-clip", seed=3).model.state_dict()
    torch.save({**state, "logit_scale": state["logit_scale"] + 1}, path)
    return str(path)


@pytest.fixture(scope="session")
def films():
    """Return five random films of 32 pixels."""
    return torch.randint(0, 256, (5, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))
