"""Labelled image sets (Fashion-MNIST, CIFAR-10, IDX files) as catalogues. Downloads only where params.yaml says so."""
