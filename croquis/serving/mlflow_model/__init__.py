"""A bundle as an MLflow pyfunc model: the model, its packaging, a smoke test. No HTTP."""
