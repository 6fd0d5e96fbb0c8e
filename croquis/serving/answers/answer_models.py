"""The bodies of the API's answers, as the server writes them and the client reads them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelName(_Body):
    """Which model answered: `version` is the registry's number, `local` for a bundle from no registry; `store` is the
    version of the store that it searches, null when it searches its own images."""

    name: str
    version: str
    bundle: str
    store: str | None = None

    def __str__(self) -> str:
        where = "" if self.store is None else f", store {self.store}"
        return f"{self.name} {self.version} (bundle {self.bundle[:12]}{where})"


Columns = dict[str, str | bool | FiniteFloat]


class Result(_Body):
    """One gallery image; `shared_attributes` are those of `attributes` that the classifier also sees in the query. `product`
    are the columns that its catalogue has beside ours, such as title, price and link."""

    rank: int
    item_id: str
    image_id: str
    score: FiniteFloat
    category: str
    attributes: list[str]
    shared_attributes: list[str]
    product: Columns = {}
    image: str


class Timings(_Body):
    """Milliseconds: `encode_ms` with the sketch generator, `rerank_ms` with the classifier and the reading of the items."""

    decode_ms: FiniteFloat
    encode_ms: FiniteFloat
    search_ms: FiniteFloat
    rerank_ms: FiniteFloat


class SearchAnswer(_Body):
    """Results, best first. `generated` is a data URL of what the generator painted, on request."""

    model: ModelName
    mode: str
    results: list[Result]
    query_attributes: list[str]
    generated: str | None = None
    timings: Timings | None = None


class ItemImage(_Body):
    image_id: str
    url: str


class Item(_Body):
    """A product with its gallery images."""

    item_id: str
    category: str
    attributes: list[str]
    product: Columns = {}
    images: list[ItemImage]


class ItemChange(_Body):
    """A product that was added, replaced or deleted; `version` counts its changes. `images` are those that it has now."""

    item_id: str
    version: int
    images: list[ItemImage]


class Count(_Body):
    """A value that a filter takes, and how many gallery images have it."""

    name: str
    count: int


class ProductColumn(_Body):
    """A column of the products: `kind` is text, number or boolean; `values` where they are few; numbers have ends."""

    name: str
    kind: str
    values: list[Count] = []
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None


class FilterValues(_Body):
    """What can be filtered by; colours are the attributes of the colour group, without its name. A store does not list the
    products' own columns."""

    category: list[Count]
    attributes: list[Count]
    colour: list[Count]
    product: list[ProductColumn] = []


class ModelInfo(_Body):
    """A loaded model; `label` picks it: `POST /search?model=LABEL`."""

    label: str
    name: str
    version: str
    bundle: str
    store: str | None = None
    method: str
    metrics: dict[str, float]


class LimitValues(_Body):
    k: int
    image_bytes: int
    pixels: int
    formats: list[str]


class Version(_Body):
    """What runs here."""

    models: list[ModelInfo]
    modes: list[str]
    limits: LimitValues


class Swap(_Body):
    """What a reload did to one label."""

    label: str
    before: ModelName
    after: ModelName
    changed: bool


class Stale(_Body):
    """Models that could not be looked up again: since when (UTC), and why."""

    since: str
    reason: str


class TaskState(_Body):
    """A background task: `running`, `failing` (it is started again) or `stalled`, since when (UTC), and why; `connected`:
    whether the stream that it reads answers."""

    name: str
    state: str
    since: str
    reason: str | None = None
    connected: bool | None = None


class Status(_Body):
    """`stores`: label -> version of the store that is searched; `tasks`: those that do not work. What is empty is absent."""

    status: str
    stores: dict[str, str] | None = None
    stale: Stale | None = None
    tasks: list[TaskState] | None = None


class ProblemBody(_Body):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    limit: str | None = None
