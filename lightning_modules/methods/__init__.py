"""Learning methods, one file each, named as in params.yaml. No method imports another but to extend it."""
