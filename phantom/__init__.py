"""A simulated archive: drawn chests, worded reports, and a population with planted disparities.

The public names stand in `__init__.pyi` and load on first use, so that `-h` stays fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
