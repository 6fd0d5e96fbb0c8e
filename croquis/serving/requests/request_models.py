"""What may be asked: a model per request, which checks the fields of a form or of a JSON object and is what OpenAPI says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import from_json

from croquis.catalog.base64_text import read_base64
from croquis.catalog.filters import MOST_VALUES, Filters, QueryError
from croquis.catalog.images import OversizedImageError
from croquis.catalog.product import (
    LARGEST_VERSION,
    LONGEST_ID,
    LONGEST_WORD,
    MOST_ATTRIBUTES,
    MOST_PICTURES,
    Box,
    Product,
    ProductPicture,
    check_attributes,
    check_category,
    check_item_id,
    check_product,
)
from croquis.catalog.product_columns import LONGEST_NAME, LONGEST_TEXT, MOST_COLUMNS, Value
from croquis.search.grouping import AnswerForm
from croquis.search.query import MOST_PER_ITEM, Combine, GroupBy, Mode, check_without_picture
from croquis.serving.answers.problems import of_image
from croquis.serving.server_settings import Limits
from croquis.words.word_query import LONGEST_QUERY, MOST_TERMS, check_query

DEFAULT_K = 20
MOST_RESULTS = 100
FARTHEST = 999_999  # pixels
NO_FILTERS = Filters()


def read_json(text: str | bytes) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: when it is none, or nested too deeply.
    """
    try:
        return from_json(text)
    except (TypeError, ValueError) as error:  # TypeError for text that UTF-8 cannot hold
        raise ValueError(f"is not JSON: {error}") from None


def _picture_file(value: object, info: ValidationInfo) -> object:
    """Text is base64; the limits are the context."""
    if isinstance(value, str):
        try:
            value = read_base64(value)
        except ValueError as error:
            raise ValueError(f"{error} (in a form a file's part needs a filename)") from None
    assert isinstance(info.context, Limits)
    most = info.context.image_bytes
    if isinstance(value, bytes) and len(value) > most:
        raise of_image(OversizedImageError(f"the image has {len(value)} bytes, the limit is {most}"))
    return value


def _no_flag(value: object) -> object:
    if isinstance(value, bool):  # an int to Python
        raise ValueError("must be a whole number")
    return value


def filters_of(value: Any) -> Filters:
    """Filters from an object, or from its JSON text; empty text lets every image pass.

    Raises:
        QueryError: on an unknown key or a wrong value.
    """
    if value == "":
        return NO_FILTERS
    try:
        values = read_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise QueryError("filters", value, str(error)) from None
    return Filters.from_mapping(values)


def _attributes(value: object) -> tuple[str, ...]:
    return check_attributes(read_json(value) if isinstance(value, str) else value)


def _product(value: object) -> dict[str, Value]:
    return check_product(read_json(value) if isinstance(value, str) else value)


Picture = Annotated[bytes, Field(min_length=1), BeforeValidator(_picture_file)]
K = Annotated[int, Field(ge=1, le=MOST_RESULTS), BeforeValidator(_no_flag)]
ProductVersion = Annotated[int, Field(ge=1, le=LARGEST_VERSION), BeforeValidator(_no_flag)]
ItemId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(check_item_id)]
Word = Annotated[str, Field(min_length=1, max_length=LONGEST_WORD)]
Single = str | FiniteFloat | bool
Asked = (
    Single
    | Annotated[list[Single], Field(min_length=1, max_length=MOST_VALUES)]
    | Annotated[dict[Literal["min", "max"], FiniteFloat], Field(min_length=1)]
)
FilterWords = dict[
    Literal["category", "attributes", "colour", "domain", "product"],
    str | Annotated[list[str], Field(max_length=MOST_VALUES)] | dict[str, Asked],
]
ProductValues = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)],
        Annotated[str, Field(max_length=LONGEST_TEXT)] | FiniteFloat | bool,
    ],
    Field(max_length=MOST_COLUMNS, description="columns of the product such as title, price and link"),
]
ItemWords = Annotated[list[Word], Field(max_length=MOST_ATTRIBUTES)]
Crop = Annotated[
    list[Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]],
    Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels of the upright picture"),
    BeforeValidator(lambda value: value.strip("[]").split(",") if isinstance(value, str) else value),
]


Images = Annotated[
    list[Picture],
    Field(max_length=MOST_PICTURES, description="of one product; together within the size of one body"),
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Picture | list[Picture]
    ),
]


class RequestFields(BaseModel):
    """Fields of a form are text or files, fields of JSON are values; what is empty or null counts as not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: Crop | SkipJsonSchema[None] = None

    @model_validator(mode="before")
    @classmethod
    def _sent(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None and value != ""}

    @property
    def bbox(self) -> Box | None:
        """The crop box; fractions of pixels are cut off. Whether it holds a pixel is known when the picture is decoded."""
        if self.crop is None:
            return None
        x1, y1, x2, y2 = map(int, self.crop)
        return x1, y1, x2, y2


class PicturesRequest(RequestFields):
    """A request with one picture or several, and a crop box for a single one."""

    image: Annotated[Images, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_picture_where_cropped(self) -> Self:
        if self.crop is not None and len(self.image) > 1:
            raise QueryError("crop", self.crop, f"is for one picture, {len(self.image)} were sent: send them cropped")
        return self


class SearchRequest(PicturesRequest):
    """One picture or several, words, or both.

    `k`, `mode`, `filters`, `rerank`, `bbox` and how the answer is grouped are those of `Retriever.search`.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("image"))

    image: Annotated[Images, Field(min_length=0)]
    text: Annotated[
        str | SkipJsonSchema[None],
        Field(max_length=LONGEST_QUERY, description=f"words, at most {MOST_TERMS}; needed where no image is sent"),
        AfterValidator(lambda value: value if value is None else check_query(value)),
    ] = None
    k: K = DEFAULT_K
    mode: Mode = "photo"
    filters: Annotated[Filters, PlainValidator(filters_of, json_schema_input_type=FilterWords)] = NO_FILTERS
    rerank: Annotated[bool | SkipJsonSchema[None], Field(description="by default what the bundle does")] = None
    group_by: Annotated[GroupBy, Field(description="what `k` counts: images (`none`) or products (`item`)")] = "none"
    max_per_item: Annotated[
        int, Field(ge=1, le=MOST_PER_ITEM, description="images of each product"), BeforeValidator(_no_flag)
    ] = 1
    combine: Annotated[Combine, Field(description="several pictures: the best score, or the centre of vectors")] = "max"
    timings: Annotated[bool, Field(description="whether the answer holds them")] = False
    generated: Annotated[bool, Field(description="whether the answer holds what the generator painted")] = False
    describe: Annotated[bool, Field(description="predict attributes of the query that nothing else asks for")] = False

    @model_validator(mode="before")
    @classmethod
    def _words_alone(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "image": fields.get("image") or []} if fields.get("text") else fields

    @model_validator(mode="after")
    def _picture_or_words(self) -> Self:
        if not self.image:
            if self.text is None:
                raise QueryError("image", None, "must be a picture file, or text must have words")
            check_without_picture(self.text, self.mode, self.rerank, self.crop)
        return self

    @property
    def form(self) -> AnswerForm:
        """What the answer consists of."""
        return AnswerForm(self.group_by, self.max_per_item, self.combine)


class ItemRequest(PicturesRequest):
    """A product; `version` is None when the server shall count."""

    category: Annotated[Word, AfterValidator(check_category)]
    attributes: Annotated[tuple[str, ...], PlainValidator(_attributes, json_schema_input_type=ItemWords)] = ()
    product: Annotated[dict[str, Value], PlainValidator(_product, json_schema_input_type=ProductValues)] = {}
    version: ProductVersion | SkipJsonSchema[None] = None

    def named(self, item_id: str) -> Product:
        """The product of that id, with each picture once, in the order given."""
        pictures = [ProductPicture.of(item_id, image, self.bbox) for image in self.image]
        distinct = tuple({each.image_id: each for each in pictures}.values())
        return Product(item_id, self.category, self.attributes, distinct, self.product)


class NewItemRequest(ItemRequest):
    """A product that is not there yet."""

    item_id: ItemId
