"""Readers of labelled image sets: IDX and CIFAR files, torchvision sets, and how their images become rows."""
