"""What learns, as PyTorch Lightning modules: imports croquis, never stages."""
