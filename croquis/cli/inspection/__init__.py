"""Sub-commands that only look: what is installed, what there is to choose, what params.yaml may hold."""
