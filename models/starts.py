"""How a network with random weights begins."""

import torch
from open_clip.transformer import TextTransformer

N_MARKS = 2
"""start and end mark, the last ids of CLIP's vocabulary"""


def start_as_bag_of_words(text: TextTransformer, *, seed: int) -> None:
    """Let a random text transformer begin as a bag of words, in place: every word counts, no order, no position.

    Exactly so with one layer; in a deeper tower, later layers average over what each prefix of the text has averaged.

    Keys are 0, so attention averages all words alike; queries have a random bias, because of two zeros neither would
    ever learn. Word embeddings have unit variance, which makes their relative change per step as slow as that of the
    other weights. Marks and positions are 0, so that texts begin far apart rather than sharing their end mark. All of
    it is trained on from there. Reports that share words then share features from the first step, which a few thousand
    reports do not otherwise teach.

    Args:
        text: open_clip's transformer with CLIP's tokenizer.
        seed: of the word embeddings; the global generator is left as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        text.token_embedding.weight.normal_(generator=generator)
        text.token_embedding.weight[-N_MARKS:] = 0
        text.positional_embedding.zero_()
        for block in text.transformer.resblocks:
            block.attn.in_proj_weight.chunk(3)[1].zero_()
            block.attn.in_proj_bias.chunk(3)[0].normal_(generator=generator)
