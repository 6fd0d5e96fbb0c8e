"""The bodies of the API's answers, as the server writes them and the client reads them. The text below a field is its
description in OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ModelName(_Body):
    """Which model answered."""

    name: str
    """In the registry; the method's name for a bundle from no registry."""
    version: str
    """Number in the registry; `local` for a bundle from no registry."""
    bundle: str
    """SHA-256 of the bundle, 64 hexadecimal digits."""
    store: str | None = None
    """Version of the store that the model searches; null when it searches the images of its bundle."""

    def __str__(self) -> str:
        where = "" if self.store is None else f", store {self.store}"
        return f"{self.name} {self.version} (bundle {self.bundle[:12]}{where})"


Columns = dict[str, str | bool | FiniteFloat]


class Result(_Body):
    """One gallery image."""

    rank: int
    """From 1, the best result."""
    item_id: str
    """Product that the image shows."""
    image_id: str
    """Image of that product."""
    score: FiniteFloat
    """Of the first search, also after re-ranking; higher is better. Scores of different models, or of words and of pictures,
    cannot be compared."""
    category: str
    """Of the product, from the catalogue."""
    attributes: list[str]
    """Of the product, from the catalogue, e.g. `colour:red`."""
    shared_attributes: list[str]
    """Those of `attributes` that the classifier also sees in the query; empty when it did not look. Of similar products,
    those that both have in the catalogue."""
    product: Columns = {}
    """Other columns of the product's catalogue, such as title, price and link."""
    image: str
    """Path of the thumbnail on this server."""


class Timings(_Body):
    """How long each step took, in milliseconds."""

    decode_ms: FiniteFloat
    """From the picture file to pixels."""
    encode_ms: FiniteFloat
    """From pixels to a vector, with the sketch generator."""
    search_ms: FiniteFloat
    """Search of the index."""
    rerank_ms: FiniteFloat
    """Re-ranking, with the attribute classifier and the reading of the products."""


class SearchAnswer(_Body):
    """Results, best first."""

    model: ModelName
    """Model that answered."""
    mode: str
    """Mode of the search: `photo`, `sketch` or `sketch-direct`; `similar` for products like another product."""
    results: list[Result]
    """At most `k` images, or images of at most `k` products; fewer when fewer pass the filters."""
    query_attributes: list[str]
    """Attributes that the classifier sees in the query, sorted; empty when it did not look. Of similar products, those of
    the product in the catalogue."""
    generated: str | None = None
    """Photo that the generator painted from a sketch, as a data URL of a PNG; null unless `generated` was sent."""
    timings: Timings | None = None
    """Time of each step; null unless `timings` was sent."""


class ItemImage(_Body):
    """An image of a product."""

    image_id: str
    """Unique within the catalogue."""
    url: str
    """Path of the thumbnail on this server."""


class Item(_Body):
    """A product with its gallery images."""

    item_id: str
    """Unique within the catalogue."""
    category: str
    """Of the product's first image."""
    attributes: list[str]
    """Of the product's first image, e.g. `colour:red`."""
    product: Columns = {}
    """Other columns of the product's catalogue, such as title, price and link."""
    images: list[ItemImage]
    """In the order of the gallery."""


class ItemChange(_Body):
    """A product that was added, replaced or deleted."""

    item_id: str
    """Product that was changed."""
    version: int
    """Counts the product's changes, from 1 unless the client numbers them."""
    images: list[ItemImage]
    """Images that the product has now; none after a deletion."""


class Count(_Body):
    """A value that a filter takes, and how many gallery images have it."""

    name: str
    """The value, as a filter takes it."""
    count: int
    """Gallery images that have it."""


class ProductColumn(_Body):
    """A column of the products' own."""

    name: str
    """As a filter takes it, under `product`."""
    kind: str
    """`text`, `number` or `boolean`."""
    values: list[Count] = []
    """Values of the column where they are few, else empty."""
    min: FiniteFloat | None = None
    """Least number of the column; null for other kinds."""
    max: FiniteFloat | None = None
    """Greatest number of the column; null for other kinds."""


class FilterValues(_Body):
    """What can be filtered by."""

    category: list[Count]
    """Categories."""
    attributes: list[Count]
    """Attributes but for colours."""
    colour: list[Count]
    """Attributes of the colour group, without its name: `red` for `colour:red`."""
    product: list[ProductColumn] = []
    """Columns of the products' own; empty where a store is searched."""


class ModelInfo(_Body):
    """A loaded model."""

    label: str
    """Picks the model: `POST /search?model=LABEL`."""
    name: str
    """In the registry; the method's name for a bundle from no registry."""
    version: str
    """Number in the registry; `local` for a bundle from no registry."""
    bundle: str
    """SHA-256 of the bundle, 64 hexadecimal digits."""
    store: str | None = None
    """Version of the store that the model searches; null when it searches the images of its bundle."""
    method: str
    """Method that trained it, e.g. `siamese`."""
    metrics: dict[str, float]
    """Of its evaluation, by name; empty for a bundle from no registry."""
    colours: dict[str, str] | None = None
    """Words for the `colour` of a drawing, each with its `#rrggbb`; null where the model takes none."""


class LimitValues(_Body):
    """Limits of a request."""

    k: int
    """Most results of a search."""
    image_bytes: int
    """Most bytes of a picture file."""
    pixels: int
    """Most pixels of a picture."""
    formats: list[str]
    """Picture formats that are read."""


class Version(_Body):
    """What runs here."""

    models: list[ModelInfo]
    """Loaded models."""
    modes: list[str]
    """Modes of search that at least one model has; of those of a drawing the better one of the champion first."""
    limits: LimitValues
    """What a request may hold at most."""


class Swap(_Body):
    """What a reload did to one label."""

    label: str
    """Label of the model."""
    before: ModelName
    """Model that answered before the reload."""
    after: ModelName
    """Model that answers now."""
    changed: bool
    """Whether another model was loaded."""


class Stale(_Body):
    """Models that could not be looked up again."""

    since: str
    """Time of the first look-up that failed, UTC, e.g. `2026-11-29T14:38:00Z`."""
    reason: str
    """Why the last look-up failed."""


class TaskState(_Body):
    """A background task."""

    name: str
    """`watch`, `ingest` or `decoders`."""
    state: str
    """`running`, `failing` (it is started again) or `stalled`."""
    since: str
    """Time since which it is in this state, UTC, e.g. `2026-11-29T14:38:00Z`."""
    reason: str | None = None
    """Why it does not work."""
    connected: bool | None = None
    """Whether the stream that it reads answers; absent where it reads none."""


class Status(_Body):
    """State of the server; what is empty is absent."""

    status: str
    """`ok` of /healthz, `ready` of /readyz."""
    stores: dict[str, str] | None = None
    """Version of the store that each label searches."""
    stale: Stale | None = None
    """Present when the last look-up of the models failed; they go on answering."""
    tasks: list[TaskState] | None = None
    """Background tasks that do not work."""


class ProblemBody(_Body):
    """A problem, RFC 9457."""

    type: str
    """`urn:croquis:problem:` and the kind of problem, e.g. `urn:croquis:problem:invalid-field`."""
    title: str
    """Phrase of the status, e.g. `Not Found`."""
    status: int
    """HTTP status."""
    detail: str
    """What is wrong with this request, and what would be right."""
    field: str | None = None
    """Part of the request that is wrong."""
    limit: str | None = None
    """What is allowed there, in words."""
