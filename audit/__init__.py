"""Judge any table of scores: for whom they hold, with how much evidence, and what follows for everybody else.

The public names stand in `__init__.pyi` and load on first use, so that `-h` stays fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
