"""Training: contrastive on image-text pairs (`fit`), and a supervised classifier of the same tower (`fit_supervised`).

Read the files of contrastive training in this order:

    train_config    all options of a run
    input/pairs     which image goes with which text
    input/texts     texts of a batch, positives and negatives
    input/batches   images and texts of each step
    step            from a batch to the gradient of its loss; losses: InfoNCE and SigLIP
    optimise        the loop: update, learning rate, bad steps
    saving/recorder log, validation and checkpoints between the steps; saving/state for an exact resume
    fit_pairs       puts all of these together

The public names are in `__init__.pyi` and load on first use, so that `-h` stays fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
