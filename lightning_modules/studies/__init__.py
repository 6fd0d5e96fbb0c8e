"""Studies that train: the objectives that croquis.tuning searches."""
