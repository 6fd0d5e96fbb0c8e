"""Parameters of addresses that several routes have, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from croquis.catalog.product import LARGEST_VERSION
from croquis.search.query import MOST_PER_ITEM, GroupBy
from croquis.serving.requests.request_models import MOST_RESULTS

LONGEST_FILTERS = 8000  # characters of filters in a URL

ModelLabel = Annotated[str, Query(description="Label of a loaded model; GET /version lists them.")]
ItemPath = Annotated[str, Path(description="Product, e.g. `SKU-17`; may hold slashes.")]
ImageQuery = Annotated[str | None, Query(description="Image of that product; by default its first one.")]
K = Annotated[
    int, Query(ge=1, le=MOST_RESULTS, description="Most results: images, or products with `group_by` = `item`.")
]
Group = Annotated[GroupBy, Query(description="What `k` counts: images (`none`), or products (`item`).")]
PerItem = Annotated[
    int, Query(ge=1, le=MOST_PER_ITEM, description="Most images of each product; with `group_by` = `item`.")
]
FilterText = Annotated[
    str,
    Query(
        max_length=LONGEST_FILTERS,
        description='Which images may be found, as JSON text of what a search takes, e.g. `{"category": ["dress"]}`.',
    ),
]
ChangeVersion = Annotated[
    int | None,
    Query(
        ge=1,
        le=LARGEST_VERSION,
        description="Number of this change, more than that of the product's last one; by default the server counts.",
    ),
]
