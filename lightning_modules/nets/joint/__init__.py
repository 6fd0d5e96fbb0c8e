"""Nets with a tower of images and one of texts: the first is a backbone, the second is exported beside its encoder."""
