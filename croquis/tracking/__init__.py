"""MLflow runs of the stages: keys, records, mirror, restore. Figures and files only; versions are the registry's."""
