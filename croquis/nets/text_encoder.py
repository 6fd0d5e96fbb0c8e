"""From words to vectors among those of photos: the text tower of a net such as CLIP or SigLIP, and its tokenizer.

Sources: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021; Zhai et al.,
"Sigmoid Loss for Language Image Pre-Training", ICCV 2023. Towers of images and of texts are trained so that the cosine of
their vectors tells how well a text describes an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap
from croquis.nets.session import ModelError, OnnxGraph, Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INPUT, OUTPUT = "tokens", "embeddings"
NO_TOKENIZERS = "the package tokenizers is not installed: pip install 'croquis[text]'"


def has_tokenizers() -> bool:
    """Whether the package is installed that cuts texts into tokens."""
    return find_spec("tokenizers") is not None


class TokenGraph(OnnxGraph):
    """A text tower: input `tokens`, int64 (B, L), output `embeddings`, float32 (B, D); only the batch is dynamic.

    Attributes:
        length: L, tokens of each text.
        dim: D.

    Raises:
        ModelError: as `OnnxGraph`, and when the graph leaves L or D open.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        super().__init__(path, input_name=INPUT, output_name=OUTPUT, size=0, threads=threads)
        length, dim = self.input_shape[-1], self.output_shape[-1]
        if not isinstance(length, int) or not isinstance(dim, int):
            raise ModelError(f"{path} leaves its tokens ({length}) or its output ({dim}) open: only the batch may be")
        self.length, self.dim = length, dim

    def run_tokens(self, tokens: npt.NDArray[np.int64]) -> Tensor:
        """Runs (B, L) through the graph.

        Raises:
            ModelError: when the graph fails, e.g. on a token that it does not know.
        """
        vectors = self._outputs(tokens, "tokens")
        if vectors.shape != (len(tokens), self.dim):
            raise ModelError(f"the text tower gave {vectors.shape}, expected {(len(tokens), self.dim)}")
        return vectors


class TextEncoder:
    """Vectors of texts, comparable with those that the encoder beside it gives for photos.

    Args:
        graph: a file as `TokenGraph` takes it.
        tokenizer: a tokenizer.json of the library `tokenizers`, which also cuts and fills texts to the graph's length.
        linear: the map of photos behind the encoder, if any; see `LinearMap.apply_words`.
        threads: threads of ONNX Runtime.

    Raises:
        ModelError: when a file is damaged or they do not fit each other. The tokenizer is opened where the package is
            installed; where it is not, `encode` raises.
    """

    def __init__(
        self, graph: str | Path, tokenizer: str | Path, linear: LinearMap | None = None, threads: int = 1
    ) -> None:
        self._graph = TokenGraph(graph, threads)
        if linear is not None and linear.inputs != self._graph.dim:
            raise ModelError(f"the map takes {linear.inputs} numbers, the text tower gives {self._graph.dim}")
        self._linear = linear
        self.dim = self._graph.dim if linear is None else linear.dim
        self._tokenizer: Tokenizer | None = None
        if has_tokenizers():
            self._tokenizer = _opened(Path(tokenizer))
            self.tokens([""])

    def tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """The numbers of the tokens of each text, (B, L); of a longer text the begin.

        Raises:
            ModelError: without the package `tokenizers`, or when the tokenizer gives another length than L.
        """
        if self._tokenizer is None:
            raise ModelError(NO_TOKENIZERS)
        found = [self._tokenizer.encode(text).ids for text in texts]
        length = self._graph.length
        if wrong := {len(ids) for ids in found} - {length}:
            raise ModelError(f"the tokenizer gives {min(wrong)} tokens of a text, the text tower takes {length}")
        return np.array(found, dtype=np.int64).reshape(-1, length)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (B, dim) of length 1; B may be 0.

        Raises:
            ModelError: as `tokens`, or when the graph fails.
        """
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = self._graph.run_tokens(self.tokens(texts))
        return vectors if self._linear is None else self._linear.apply_words(vectors)


def _opened(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare ones
        raise ModelError(f"{path} is no tokenizer that this version of tokenizers can open: {error}") from error
