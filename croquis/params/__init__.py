"""Every knob of the project: params.yaml read once into frozen, strict, typed blocks.

The schema holds no defaults: a value that is not in params.yaml is an error, so the file is the whole truth and DVC sees
every change.
"""

from croquis.params.loader import Params, ParamsError, load_params

__all__ = ["Params", "ParamsError", "load_params"]
