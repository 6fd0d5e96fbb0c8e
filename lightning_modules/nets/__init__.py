"""Nets and their ONNX export. No losses, no optimisers."""
