"""The search server, its client and its MLflow model. No training, no evaluation."""
