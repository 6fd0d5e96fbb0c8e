"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747) through torchvision.

60,000 train and 10,000 test pictures of 28 x 28 grey pixels in 10 classes. Test is asked, train is trained on and
searched (`base.protocol: category`); val is `val_share` of every class of train.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from croquis.formats.class_sets.class_rows import deal, query_quotas, rows_of, train_quotas
from croquis.formats.class_sets.class_set import ClassSet
from croquis.formats.class_sets.torchvision_sets import open_set
from croquis.sources import Source


class FashionMnist(ClassSet):
    """Fashion-MNIST through torchvision, the official split; `root` holds FashionMNIST/raw/."""

    download: bool


REMEDY = (
    "unpack the four files (train-images-idx3-ubyte and so on) into {root}/FashionMNIST/raw/, or set "
    "ingest.fashion_mnist.download: true in params.yaml"
)


def rows(block: FashionMnist, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows, official train then official test, in the files' order.

    Raises:
        SourceError: when the files are absent or damaged.
    """
    from torchvision.datasets import FashionMNIST

    official = open_set(FashionMNIST, block.root, block.download, REMEDY.format(root=block.root))
    parts = (
        (official.train, train_quotas(block.share, block.val_share)),
        (official.test, query_quotas(block.share)),
    )
    for images, quotas in parts:
        yield from rows_of(images, deal(images.ids, images.labels, quotas, seed), official.classes)


SOURCE = Source(params=FashionMnist, rows=rows, fitting_protocols=lambda block: block.fitting_protocols)
