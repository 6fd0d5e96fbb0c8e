"""The built-in re-rankers: one module each, its entry in the constant `RERANKER` (see `croquis.rerank.reranker.Reranker`).

A module's name is what `rerank.steps` in params.yaml calls it, and its settings stand there under `rerank.NAME`.
"""
