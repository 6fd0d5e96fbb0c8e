"""How words are searched: the block `index.words` of params.yaml, and what a bundle's manifest keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

from croquis.settings import setting

TOKENIZERS = {
    "unicode": "unicode61 remove_diacritics 2",
    "trigram": "trigram",
}
"""Name -> the tokenizer of FTS5: whole words without case and accents; or any three letters, for parts of words."""


@dataclass(frozen=True)
class WordSettings:
    """What a term is, and how much words weigh beside a picture."""

    tokenizer: str = setting(
        "unicode: whole words; trigram: parts of words of 3 letters or more", choices=tuple(TOKENIZERS)
    )
    weight: float = setting("of the words beside a picture, which has the rest of 1", 0.0, 1.0)
    tower_weight: float = setting(
        "of what a text tower finds (CLIP, SigLIP) within the words' share; BM25 has the rest of 1",
        0.0,
        1.0,
        before=0.5,
    )


DEFAULT_WORDS = WordSettings("unicode", 0.5)
"""Of a store whose bundle was made before bundles held words."""
