"""The text tower of a net of open_clip beside its exported encoder: a graph, and a tokenizer that needs no torch.

Exported where the vectors of photos are those of the joint space: nothing trained since, no layer, other level or histogram
beside it. A map behind it is another matter: see `croquis.nets.linear_map.LinearMap.apply_words`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.files import read_json, write_bytes, write_json
from croquis.nets.text_encoder import INPUT, NO_TOKENIZERS, OUTPUT, has_tokenizers
from lightning_modules.nets.joint.openclip_net import OpenClipNet
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.nets.weight_sources import HUB, online
from lightning_modules.nets.weights import WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from lightning_modules.nets.retrieval_net import RetrievalNet

GRAPH, TOKENIZER, TOKENIZER_CONFIG = "text.onnx", "tokenizer.json", "tokenizer_config.json"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP takes for one word (https://github.com/openai/CLIP, simple_tokenizer.py)."""
PUNCTUATION = r"[!-/:-@\[-`{-~]"  # of ASCII
CONTROLS = r"[\x00-\x08\x0b\x0e-\x1f\x7f]"
REPAIRED = (*range(0x01C4, 0x01CD), *range(0x2018, 0x2020), *range(0xFB00, 0xFB07), *range(0xFF01, 0xFFEF))
"""Digraphs, quotes, ligatures and characters of full width, most of which open_clip writes in another way."""
FINAL_SIGMA = r"(?<=\p{L})Σ(?!\p{L})"


class TextTower(nn.Module):
    """The text tower of a net of open_clip: tokens (B, L) to vectors (B, D) of length 1."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net: Any = net

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.net.encode_text(tokens), dim=1)


def export_tower(net: RetrievalNet, target: Path) -> float | None:
    """Writes text.onnx and tokenizer.json beside the encoder that `net` was exported to, and names them in its encoder.json.

    One line says why, where a net of open_clip gets none.

    Returns:
        The largest difference between PyTorch and ONNX Runtime; None where no text tower is written.

    Raises:
        WeightsError: when the tokenizer cannot be had.
    """
    features = net.backbone.features
    if not isinstance(features, OpenClipNet):
        return None
    if why := _apart(net):
        print(f"openclip/{features.name}: without its text tower, as {why}")
        return None
    tokenizer = tower_tokenizer(features)
    (length, words), tower = _sizes(features.both), TextTower(features.both)
    parity = export_onnx(tower, torch.full((2, length), words - 1), target / GRAPH, INPUT, OUTPUT)
    write_bytes(target / TOKENIZER, tokenizer.to_str().encode())
    write_json(target / "encoder.json", read_json(target / "encoder.json") | {"text": GRAPH, "tokenizer": TOKENIZER})
    return parity


def _apart(net: RetrievalNet) -> str | None:
    """Why the vectors of photos are not those of the joint space; None where they are."""
    if net.projection is not None:
        return "a layer of its own stands behind it"
    if net.pool.colours:
        return "a colour histogram stands beside it: set train_embedder.backbone.pooling.histogram: 0"
    if net.pool.dim != net.backbone.channels:
        return "it is pooled in cells: set train_embedder.backbone.pooling.cells: 1"
    return None


def _sizes(net: Any) -> tuple[int, int]:
    """Tokens of a text, and how many there are to choose from."""
    tower = getattr(net, "text", net)
    return int(tower.context_length), int(tower.vocab_size)


def tower_tokenizer(features: OpenClipNet) -> Tokenizer:
    """The tokenizer of the net's texts, which cuts and fills them to its length.

    That of CLIP is in open_clip. Others (SigLIP) are the tokenizer.json of their repository, with its
    tokenizer_config.json: beside the file of weights, or on Hugging Face's hub. Texts are cleaned as open_clip does, but for
    garbled letters and signs of HTML, which stay; special tokens that stand in a text are plain text.

    Raises:
        WeightsError: when files cannot be had, or the net has a tokenizer of a further kind.
    """
    import open_clip

    if not has_tokenizers():
        raise WeightsError(NO_TOKENIZERS)
    told = open_clip.get_model_config(features.name)["text_cfg"]
    length, repository = _sizes(features.both)[0], told.get("hf_tokenizer_name")
    options = dict(told.get("tokenizer_kwargs") or {})
    clean = options.pop("clean", "whitespace" if repository else "lower")
    if options or told.get("tokenizer_mode"):
        raise WeightsError(f"openclip/{features.name} cuts its texts in a way of its own; choose another net")
    tokenizer, padding = _stored(repository, features.weights) if repository else (_clip_tokenizer(), (0, "!"))
    tokenizer.normalizer = _cleaning(clean, tokenizer.normalizer)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=padding[0], pad_token=padding[1])
    return tokenizer


def _clip_tokenizer() -> Tokenizer:
    """The byte pairs of open_clip's SimpleTokenizer."""
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    known = SimpleTokenizer()
    tokenizer = Tokenizer(models.BPE(dict(known.encoder), list(known.bpe_ranks), end_of_word_suffix="</w>"))
    words = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    begin, end = (next(name for name, at in known.encoder.items() if at == number) for number in known.all_special_ids)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[begin, "$A", end], special_tokens=[(name, known.encoder[name]) for name in (begin, end)]
    )
    return tokenizer


def _cleaning(clean: str, further: Any) -> Any:
    """open_clip's cleaning of texts as steps of the tokenizer, `further` behind them."""
    from open_clip.tokenizer import basic_clean
    from tokenizers import Regex, normalizers

    odd = [(chr(code), basic_clean(chr(code))) for code in REPAIRED]
    steps: list[Any] = [normalizers.Replace(letter, plain) for letter, plain in odd if letter != plain]
    steps += [normalizers.Replace(Regex(CONTROLS), ""), normalizers.NFC()]
    if clean == "canonicalize":
        steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(PUNCTUATION), "")]
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if clean != "whitespace":
        steps += [normalizers.Replace(Regex(FINAL_SIGMA), "ς"), normalizers.Lowercase()]
    return normalizers.Sequence([*steps, *([further] if further is not None else [])])


def _stored(repository: str, weights: str) -> tuple[Tokenizer, tuple[int, str]]:
    """A tokenizer.json, and number and name of the token that fills texts up."""
    from tokenizers import Tokenizer

    source, config = (_file(name, repository, weights) for name in (TOKENIZER, TOKENIZER_CONFIG))
    try:
        tokenizer = Tokenizer.from_file(str(source))
        stated = read_json(config)["pad_token"]
        name = stated["content"] if isinstance(stated, dict) else stated
        number = tokenizer.token_to_id(name)
    except Exception as error:  # tokenizers raises bare ones
        raise WeightsError(f"{source} and {config.name} are no tokenizer with a pad_token: {error!r}") from error
    if number is None:
        raise WeightsError(f"{source} has no token {name!r}, the pad_token of {config.name}")
    return tokenizer, (number, name)


def _file(name: str, repository: str, weights: str) -> Path:
    """Beside the file of weights where that is a path, else from the hub."""
    if weights not in ("none", "pretrained") and not weights.startswith(HUB):
        path = Path(weights).parent / name
        if not path.is_file():
            raise WeightsError(f"{path} does not exist: put {TOKENIZER} and {TOKENIZER_CONFIG} of {repository} there")
        return path
    from huggingface_hub import hf_hub_download

    source = weights.removeprefix(HUB) if weights.startswith(HUB) else repository
    remedy = f"or name weights by a path, with {TOKENIZER} and {TOKENIZER_CONFIG} beside them"
    with online(f"{name} of {source}", remedy):
        return Path(hf_hub_download(source, name))
