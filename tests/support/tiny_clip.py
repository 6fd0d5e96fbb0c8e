"""Two nets of open_clip of a few thousand weights: one as CLIP is made, one as SigLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from croquis.files import write_json
from croquis.params.training_blocks import PooledBackbone

CLIP, SIGLIP = "tiny-clip", "tiny-siglip"
SIZE, DIM = 32, 16
IMAGES = {"image_size": SIZE, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    CLIP: {
        "embed_dim": DIM,
        "vision_cfg": IMAGES,
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    },
    SIGLIP: {
        "embed_dim": DIM,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": IMAGES,
        "text_cfg": {
            "context_length": 10, "vocab_size": 60, "hf_tokenizer_name": "nobody/nothing",
            "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 16, "heads": 2, "layers": 2, "no_causal_mask": True,
            "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
        },
    },
}  # fmt: skip
POOLING = {"levels": "last", "kind": "average", "cells": 1, "normalise": True, "histogram": 0.0, "flip": False}


def known_to_open_clip(folder: Path) -> Any:
    """The module open_clip, to which the nets are told; the test is skipped where it is not installed."""
    open_clip = pytest.importorskip("open_clip", reason="pip install 'croquis[clip]'")
    for name, config in CONFIGS.items():
        write_json(folder / "configs" / f"{name}.json", config)
    open_clip.add_model_config(folder / "configs")
    return open_clip


def backbone_of(name: str, weights: str = "none", **pooling: Any) -> PooledBackbone:
    values = {"weights": weights, "width": 8, "freeze_bn": False, "channels_last": False}
    return PooledBackbone(name=f"openclip/{name}", pooling=POOLING | pooling, **values)


def saved_weights(path: Path, name: str, seed: int = 1) -> Path:
    """A state dict of the net with random weights; `known_to_open_clip` comes before."""
    import open_clip
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.save(open_clip.create_model(name).state_dict(), path)
    return path


def save_siglip_tokenizer(folder: Path, pad: Any = "</s>") -> None:
    """A tokenizer.json of words between blanks with an end behind them, and tokenizer_config.json."""
    words = ["<unk>", "</s>", "red", "dress", "navy", "tshirt", "with", "stripes", "dont"]
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [text, end], "pair": [text, end],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(words)}, "unk_token": "<unk>"},
    }  # fmt: skip
    write_json(folder / "tokenizer.json", tokenizer)
    write_json(folder / "tokenizer_config.json", {"pad_token": pad})
