"""Networks and weights: build, load, save, encode.

Read the files in this order:

    bundle          a model with its tokenizer and preprocessing, and its features of images and texts
    network_input   from grey levels to the input of a network;  tokens: from texts to token ids
    architecture    builds any open_clip architecture by name;  towers/: other image and text towers in it
    checkpoint      loads from anywhere and saves;  formats/: CheXzero, Hugging Face, BioViL;  files/: reading safely
    identity        the hash of what features depend on beside weights and preprocessing
    grey_stem, positions, depths, end_mark, training_only: changes and shortcuts of a network, one per file
    places          features of single places of an image, for heatmaps

The public names are in `__init__.pyi` and load on first use, so that `-h` stays fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
