"""Every setting of params.yaml, read once into frozen, strict, typed blocks.

No defaults: a value that is not in params.yaml is an error, so DVC sees every change.
"""

from croquis.params.loader import Params, ParamsError, load_params

__all__ = ["Params", "ParamsError", "load_params"]
