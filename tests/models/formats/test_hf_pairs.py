"""CLIP and SigLIP as Hugging Face writes them: small random ones under the published names, against transformers."""

import gzip
import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as vocabularies
from torch.nn.functional import normalize

import models
from models.depths import layer_depths
from models.grey_stem import fold_stem

TEXTS = ["No edema.", "Small left effusion!", "left, LEFT & right"]
WORDS = ["no", "edema", "small", "left", "right", "effusion"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CLIP_PROCESSOR = {
    # as openai/clip-vit-base-patch32 has it: no word of rescaling, sizes as plain numbers
    "size": 32,
    "crop_size": 32,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "feature_extractor_type": "CLIPFeatureExtractor",
}
SIGLIP_PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 28, "width": 28},
}


def noisy(network):
    """Give every parameter a part in the output: biases and norms, too."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if not name.startswith("logit"):
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return network.eval()


def write_json(path, fields):
    path.write_text(json.dumps(fields))


def write_clip(folder, **text_options):
    """Write a CLIP under its published names with its tokenizer, and return the network."""
    act = text_options.get("hidden_act", "quick_gelu")
    image = {**SIZES, "intermediate_size": 128, "image_size": 32, "patch_size": 8, "hidden_act": act}
    text = {**SIZES, "intermediate_size": 128, "vocab_size": 49408, **text_options}
    config = transformers.CLIPConfig(vision_config=image, text_config=text, projection_dim=24)
    network = noisy(transformers.CLIPModel(config))
    network.logit_scale.data.fill_(3.5)
    network.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", CLIP_PROCESSOR)
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = open_clip.get_tokenizer("").encoder
    write_json(folder / "vocab.json", {names.get(word, word): number for word, number in vocabulary.items()})
    return network


def write_siglip_tokenizer(folder):
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(
        vocabularies.Unigram([*marks, *((f"▁{word}", -2.0) for word in WORDS), *pieces], unk_id=2, byte_fallback=False)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "model_max_length": 64}
    settings |= {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "model_input_names": ["input_ids"]}
    write_json(folder / "tokenizer_config.json", settings)


def write_siglip(folder, *, vision=None, text=None):
    """Write a SigLIP shaped as MedSigLIP, with its tokenizer, and return the network."""
    image = {**SIZES, "intermediate_size": 119, "image_size": 28, "patch_size": 14, **(vision or {})}
    words = {**SIZES, "intermediate_size": 119, "vocab_size": 64, "max_position_embeddings": 64, **(text or {})}
    network = noisy(transformers.SiglipModel(transformers.SiglipConfig(vision_config=image, text_config=words)))
    network.logit_scale.data.fill_(1.7)
    network.logit_bias.data.fill_(-2.5)
    network.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", SIGLIP_PROCESSOR)
    write_siglip_tokenizer(folder)
    return network


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, write_clip(folder)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    return folder, write_siglip(folder)


def tokens_of(bundle):
    return models.tokenize(TEXTS, bundle.tokenizer, context_length=bundle.context_length)


def assert_computes_what_transformers_does(bundle, network, films):
    tokens = tokens_of(bundle)
    seen = models.to_network_input(films, bundle.preprocessing)
    with torch.no_grad():
        pictures = network.get_image_features(pixel_values=seen).pooler_output
        words = network.get_text_features(input_ids=tokens).pooler_output
        expected = network(pixel_values=seen, input_ids=tokens).logits_per_image
        # of the model as anybody calls it, whatever our own faster paths do
        logits, _ = bundle.model.get_logits(seen, tokens)
    torch.testing.assert_close(models.encode_images(bundle, films), normalize(pictures), atol=1e-5, rtol=0)
    torch.testing.assert_close(models.encode_texts(bundle, tokens), normalize(words), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert (normalize(pictures)[0] - normalize(pictures)[1]).abs().max() > 1e-3
    assert (normalize(words)[0] - normalize(words)[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu", "eos_token_id": 2, "layer_norm_eps": 1e-3, "max_position_embeddings": 40},
    ],
)
def test_a_clip_computes_what_transformers_computes(options, films, tmp_path):
    network = write_clip(tmp_path, **options)
    bundle = models.load(tmp_path)
    assert_computes_what_transformers_does(bundle, network, films)
    assert bundle.context_length == options.get("max_position_embeddings", 77)
    assert bundle.model.logit_scale.item() == 3.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        # 115 / 56 * 56 is cut to 114
        {"hidden_act": "gelu", "hidden_size": 56, "intermediate_size": 115},
    ],
)
def test_a_siglip_computes_what_transformers_computes_bias_included(options, films, tmp_path):
    network = write_siglip(tmp_path, vision=options, text=options)
    bundle = models.load(tmp_path)
    assert_computes_what_transformers_does(bundle, network, films)
    assert bundle.model.logit_bias.item() == -2.5
    assert not bundle.trims_text


def test_the_full_sizes_of_medsiglip_are_the_very_ones_of_timm_and_open_clip():
    from models.formats.hf_pairs import siglip_cfg  # noqa: PLC0415  (private to the package)
    from models.towers.network import network  # noqa: PLC0415

    tower = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    theirs = transformers.SiglipConfig(
        vision_config={**tower, "image_size": 448, "patch_size": 14}, text_config={**tower, "projection_size": 1152}
    )
    with torch.device("meta"):
        ours = network(siglip_cfg(theirs, "medsiglip"))
        wanted = transformers.SiglipModel(theirs)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in wanted.parameters())
    assert ours.visual.trunk.pos_embed.shape == (1, 1024, 1152)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_saved_copy_has_the_same_features_to_the_bit_and_needs_the_folder_no_more(kind, films, tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    {"clip": write_clip, "siglip": write_siglip}[kind](folder)
    bundle = models.load(folder)
    models.save(bundle, tmp_path / "saved")
    folder.rename(tmp_path / "elsewhere")
    again = models.load(tmp_path / "saved")
    assert torch.equal(tokens_of(again), tokens_of(bundle))
    assert torch.equal(models.encode_images(again, films), models.encode_images(bundle, films))
    assert torch.equal(models.encode_texts(again, tokens_of(again)), models.encode_texts(bundle, tokens_of(bundle)))
    assert models.fingerprint(again) == models.fingerprint(bundle)
    assert (again.preprocessing, again.context_length) == (bundle.preprocessing, bundle.context_length)
    assert again.name == bundle.name == "hub"


def test_a_grey_stem_of_siglip_has_the_same_features_and_survives_saving(siglip, films, tmp_path):
    three = models.encode_images(models.load(siglip[0]), films)
    folded = fold_stem(models.load(siglip[0]))
    torch.testing.assert_close(models.encode_images(folded, films), three, atol=1e-5, rtol=0)
    models.save(folded, tmp_path)
    assert torch.equal(models.encode_images(models.load(tmp_path), films), models.encode_images(folded, films))


def test_layers_of_a_siglip_have_depths_for_layer_decay(siglip):
    depths = layer_depths(models.load(siglip[0]))
    assert depths["visual.trunk.patch_embed.proj.weight"] > depths["visual.trunk.blocks.0.norm1.weight"]
    assert depths["visual.trunk.blocks.0.norm1.weight"] > depths["visual.trunk.blocks.1.norm1.weight"]


def test_clips_ids_are_those_of_transformers_up_to_the_end_mark(clip):
    bundle = models.load(clip[0])
    packed = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    vocabulary = json.loads((clip[0] / "vocab.json").read_text())
    theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)
    for row, ids in zip(tokens_of(bundle).tolist(), theirs(TEXTS).input_ids, strict=True):
        assert row[: len(ids)] == ids
        assert set(row[len(ids) :]) <= {0}


def test_siglips_texts_lose_case_and_punctuation_and_are_filled_with_the_end_mark(siglip):
    bundle = models.load(siglip[0])
    ids = tokens_of(bundle)
    plain = transformers.PreTrainedTokenizerFast.from_pretrained(siglip[0])
    expected = plain(["no edema", "small left effusion", "left left right"], padding="max_length", max_length=64)
    assert ids.tolist() == expected.input_ids
    assert ids[0].tolist() == [3, 4] + [1] * 62


def test_siglip_2s_texts_lose_case_only(tmp_path):
    write_siglip(tmp_path)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *"ab.AB"]
    tokenizer = Tokenizer(vocabularies.BPE({word: number for number, word in enumerate(words)}, [], unk_token="<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "GemmaTokenizer", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(tmp_path / "tokenizer_config.json", settings)
    bundle = models.load(tmp_path)
    assert models.tokenize(["Ab."], bundle.tokenizer, context_length=64).tolist() == [[4, 5, 6, 1] + [0] * 60]


def test_a_prompt_that_siglip_would_cut_is_refused_and_one_that_just_fits_is_not(siglip):
    bundle = models.load(siglip[0])
    fits, too_long = "left " * 63, "left " * 64
    tokens = models.tokenize([fits, "no edema"], bundle.tokenizer, context_length=64, on_overflow="error")
    assert tokens[0].tolist() == [6] * 63 + [1]
    with pytest.raises(ValueError, match=r"does not fit into 64 tokens \(1 of 2 prompts"):
        models.tokenize([too_long, "no edema"], bundle.tokenizer, context_length=64, on_overflow="error")


def rewrite(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


def drop_weight(folder, *names, **extra):
    from safetensors.torch import load_file, save_file  # noqa: PLC0415  (next to its only use)

    state = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if name not in names}
    save_file(kept | extra, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_and_left_over_weights_are_named(tmp_path):
    write_siglip(tmp_path)
    drop_weight(tmp_path, "vision_model.post_layernorm.bias", **{"vision_model.adapter": torch.zeros(1)})
    wanted = r"lacks 1 weights.*vision_model.post_layernorm.bias; and has 1 that .*: vision_model.adapter"
    with pytest.raises(ValueError, match=wanted):
        models.load(tmp_path)


def test_numbers_of_positions_in_older_files_are_no_weights(tmp_path):
    write_siglip(tmp_path)
    drop_weight(tmp_path, **{"text_model.embeddings.position_ids": torch.arange(64).unsqueeze(0)})
    assert models.load(tmp_path).context_length == 64


def damage(folder, kind):
    if kind == "lfs":
        (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:6\nsize 3\n")
    elif kind.endswith(".json") or kind == "model.safetensors":
        (folder / kind).unlink()
    elif kind == "shapes":
        config = json.loads((folder / "config.json").read_text())
        config["vision_config"]["patch_size"] = 7
        write_json(folder / "config.json", config)
    else:
        rewrite(folder / "config.json", model_type=kind)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("lfs", ValueError, r"model.safetensors is a git-lfs pointer"),
        ("model.safetensors", FileNotFoundError, r"not a complete copy of a Hugging Face model; found config.json"),
        ("preprocessor_config.json", FileNotFoundError, r"lacks preprocessor_config.json.*download it"),
        ("tokenizer.json", FileNotFoundError, r"has no tokenizer.json.*sentencepiece"),
        ("shapes", ValueError, r"its weights do not fit its config.json"),
        ("siglip2", ValueError, r"type 'siglip2'; wanted .* clip or siglip: .*NaFlex"),
        ("cxr-bert", FileNotFoundError, r"is CXR-BERT, a text tower, for --text_tower"),
        ("bert", ValueError, r"type 'bert'; wanted .*--image_tower or --text_tower"),
    ],
)
def test_a_bad_folder_is_an_error_that_says_what_is_wrong(kind, error, message, tmp_path):
    write_siglip(tmp_path)
    damage(tmp_path, kind)
    with pytest.raises(error, match=message):
        models.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "tower", "options", "message"),
    [
        ("clip", "text", {"hidden_act": "relu"}, r"hidden_act relu is neither quick_gelu nor gelu"),
        ("clip", "vision", {"hidden_act": "gelu"}, r"hidden_act differ: gelu, quick_gelu"),
        ("clip", "text", {"eos_token_id": 7}, r"eos_token_id 7 is not the last of 49408 ids"),
        ("siglip", "vision", {"hidden_act": "relu"}, r"vision hidden_act is relu, not gelu, gelu_pytorch_tanh"),
        ("siglip", "vision", {"vision_use_head": False}, r"vision_use_head is false"),
        ("siglip", "vision", {"layer_norm_eps": 1e-5}, r"layer_norm_eps is 1e-05, not 1e-06"),
        ("siglip", "vision", {"num_channels": 1}, r"num_channels is 1, not 3"),
        ("siglip", "vision", {"image_size": [28, 42]}, r"image_size, patch_size are .*28, 42.*, not two numbers"),
        ("siglip", "text", {"projection_size": 16}, r"images have 32 dimensions and texts 16"),
        ("siglip", "text", {"vocab_size": 20}, r"tokenizer has 36 word pieces .*knows 20"),
    ],
)
def test_what_the_towers_do_not_have_is_refused_by_name(kind, tower, options, message, clip, siglip, tmp_path):
    folder = shutil.copytree({"clip": clip, "siglip": siglip}[kind][0], tmp_path / "copy")
    fields = json.loads((folder / "config.json").read_text())
    fields[f"{tower}_config"] |= options
    write_json(folder / "config.json", fields)
    with pytest.raises(ValueError, match=message):
        models.load(folder)


def test_another_vocabulary_than_clips_is_refused(clip, tmp_path):
    folder = shutil.copytree(clip[0], tmp_path / "copy")
    words = json.loads((folder / "vocab.json").read_text())
    words["left</w>"], words["right</w>"] = words["right</w>"], words["left</w>"]
    write_json(folder / "vocab.json", words)
    with pytest.raises(ValueError, match=r"vocab.json holds another vocabulary .* than CLIP's"):
        models.load(folder)
    (folder / "vocab.json").unlink()
    write_json(folder / "tokenizer.json", {"model": {"vocab": words}})
    with pytest.raises(ValueError, match=r"tokenizer.json holds another vocabulary"):
        models.load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither vocab.json nor tokenizer.json"):
        models.load(folder)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    import pickle  # noqa: PLC0415  (next to its only use)

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    write_siglip(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Bomb()}))
    with pytest.raises(ValueError, match=r"could run code: refused"):
        models.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_hub_id_that_is_not_here_says_what_to_download():
    with pytest.raises(FileNotFoundError, match=r"hf download nobody/medsiglip --local-dir FOLDER"):
        models.load("hf:nobody/medsiglip")
