"""One module per retrieval method: its source, formulas, params block, training, and its entry `METHOD`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from croquis.settings import SearchSpace

if TYPE_CHECKING:
    from pathlib import Path

    from croquis.catalog.table import Catalog
    from croquis.nets.encoder import FixedEncoder
    from croquis.params import Params
    from croquis.params.block import Block
    from lightning_modules.bases.retrieval_module import RetrievalModule
    from lightning_modules.data.retrieval_data import RetrievalData
    from lightning_modules.nets.retrieval_net import RetrievalNet

Part = Literal["sketch", "attributes", "gan", "codes"]


WAYS = ("build", "fixed_net", "fixed_encoder", "fit_encoder")


@dataclass(frozen=True)
class Method:
    """One retrieval method, the constant `METHOD` of its module; of the four ways to an encoder it has one.

    Attributes:
        params: the class of its block in params.yaml, whose key is the method's name.
        build: a module to train on the images; reads its block by `params.method(NAME)`.
        fixed_net: a net that is used as it is.
        fixed_encoder: an encoder without a net.
        add_files: beside `fixed_encoder`: writes what it needs into a folder; returns the keys of encoder.json for it.
        fit_encoder: fits an encoder on the images in closed form and writes it into a folder; returns figures to record.
        add_drawings: for a method that learns from drawings besides the photos: the data with those of data/sketches; takes
            data, sketches and the side of the images in pixels.
        check: refuses params that do not fit each other by a ValueError with key, value and fix, before any training.
        needs: the keys of `parts` in params.yaml without which it is not trained.
        space: what the study `margin` or a study of one's own may search: key of the block -> range.
    """

    params: type[Block]
    build: Callable[[Params, RetrievalData], RetrievalModule] | None = None
    fixed_net: Callable[[Params], RetrievalNet] | None = None
    fixed_encoder: Callable[[Params], FixedEncoder] | None = None
    add_files: Callable[[Params, Path], dict[str, str]] | None = None
    fit_encoder: Callable[[Params, RetrievalData, Path], dict[str, float]] | None = None
    add_drawings: Callable[[RetrievalData, Catalog, int], RetrievalData] | None = None
    check: Callable[[Any], None] | None = None
    needs: tuple[Part, ...] = ()
    space: SearchSpace = field(default_factory=dict)

    def __post_init__(self) -> None:
        ways = [name for name in WAYS if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"a method offers one of {', '.join(WAYS)}; this one offers {ways or 'none'}")

    @property
    def learns(self) -> bool:
        """Whether there is anything to train."""
        return self.build is not None
