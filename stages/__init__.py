"""The DVC stages, one file each, named as in dvc.yaml. Nobody imports them."""
