"""Whether a candidate may become champion: scores of both on the same queries, the rules, the verdict. No MLflow."""
