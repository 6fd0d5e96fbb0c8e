"""What may be asked: a model per request, which checks the fields of a form or of a JSON object and is what OpenAPI says.
The text below a field is its description there."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

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
from croquis.search.query import MOST_PER_ITEM, Combine, GroupBy, Mode, check_colour, check_without_picture
from croquis.serving.answers.problems import of_image
from croquis.serving.server_settings import Limits
from croquis.strict_json import check_values
from croquis.words.word_query import LONGEST_QUERY, check_query

DEFAULT_K = 20
MOST_RESULTS = 100
FARTHEST = 999_999  # pixels
NO_FILTERS = Filters()
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4IacBAALAAQ/aQIG5AAAAAElFTkSuQmCC"  # a PNG


def read_json(text: str | bytes) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: when it is none, nested too deeply, or holds too many values.
    """
    try:
        check_values(text)
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
    Field(max_length=MOST_COLUMNS),
]
ItemWords = Annotated[list[Word], Field(max_length=MOST_ATTRIBUTES)]
Crop = Annotated[
    list[Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]],
    Field(min_length=4, max_length=4),
    BeforeValidator(lambda value: value.strip("[]").split(",") if isinstance(value, str) else value),
]


Images = Annotated[
    list[Picture],
    Field(max_length=MOST_PICTURES),
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Picture | list[Picture]
    ),
]


class RequestFields(BaseModel):
    """Fields of a form are text or files, fields of JSON are values; what is empty or null counts as not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    example: ClassVar[dict[str, Any]]  # a JSON body

    crop: Crop | SkipJsonSchema[None] = None
    """Box of the garment, x1, y1, x2, y2 in pixels of the upright picture, e.g. `[40, 30, 360, 500]`; for a single
    picture."""

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
    """Picture files of the product, at most 10: JPEG, PNG, WEBP, BMP or GIF."""

    @model_validator(mode="after")
    def _one_picture_where_cropped(self) -> Self:
        if self.crop is not None and len(self.image) > 1:
            raise QueryError("crop", self.crop, f"is for one picture, {len(self.image)} were sent: send them cropped")
        return self


class SearchRequest(PicturesRequest):
    """One picture or several, words, or both; the fields are arguments of `Retriever.search`."""

    example = {"text": "red dress", "k": 5, "filters": {"category": ["dress"]}}
    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("image"))

    image: Annotated[Images, Field(min_length=0)]
    """Picture files of one product, at most 10: JPEG, PNG, WEBP, BMP or GIF. Needed where no `text` is sent."""
    text: Annotated[
        str | SkipJsonSchema[None],
        Field(max_length=LONGEST_QUERY),
        AfterValidator(lambda value: value if value is None else check_query(value)),
    ] = None
    """Words to look for, at most 20, e.g. `red dress`. Needed where no `image` is sent; beside one, both rankings are
    fused."""
    k: K = DEFAULT_K
    """Most results: images, or products with `group_by` = `item`."""
    mode: Mode = "photo"
    """How the picture is looked at: `photo`; `sketch`, where the generator paints a photo of the drawing first;
    `sketch-direct`, where the drawing itself is encoded."""
    filters: Annotated[
        Filters,
        PlainValidator(filters_of, json_schema_input_type=FilterWords),
        Field(json_schema_extra={"default": {}}),
    ] = NO_FILTERS
    """Which images may be found: any of the categories, colours and domains, all of the attributes, and what columns of the
    product must hold, e.g. `{"colour": ["red"], "product": {"price": {"max": 50}}}`. GET /catalogue/filters lists values."""
    rerank: bool | SkipJsonSchema[None] = None
    """Whether the head of the list is sorted again by the bundle's re-ranking steps; by default what the bundle says."""
    group_by: GroupBy = "none"
    """What `k` counts: images (`none`), or products (`item`), each at the rank of its best image."""
    max_per_item: Annotated[int, Field(ge=1, le=MOST_PER_ITEM), BeforeValidator(_no_flag)] = 1
    """Most images of each product, which stand together; with `group_by` = `item`."""
    combine: Combine = "max"
    """Several pictures: the best score that one of them gives an image (`max`), or the score by the centre of their vectors
    (`mean`)."""
    colour: Annotated[str, Field(max_length=LONGEST_WORD)] | SkipJsonSchema[None] = None
    """What the generator paints a drawn garment in, with `mode` = `sketch`: `#rrggbb`, one of the `colours` of the model in
    GET /version, or a colour name of CSS. For models that have `colours`."""
    timings: bool = False
    """Whether the answer holds the time of each step."""
    generated: bool = False
    """Whether the answer holds the photo that the generator painted; with `mode` = `sketch`."""
    describe: bool = False
    """Whether attributes of the query are predicted also where no re-ranking needs them."""

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
        check_colour(self.colour, self.mode)
        return self

    @property
    def form(self) -> AnswerForm:
        """What the answer consists of."""
        return AnswerForm(self.group_by, self.max_per_item, self.combine)


class ItemRequest(PicturesRequest):
    """A product."""

    example = {
        "category": "dress",
        "attributes": ["colour:red", "sleeve:long"],
        "product": {"title": "Linen dress", "price": 49.9},
        "image": ONE_PIXEL,
    }
    category: Annotated[Word, AfterValidator(check_category)]
    """Of the product, e.g. `dress`."""
    attributes: Annotated[tuple[str, ...], PlainValidator(_attributes, json_schema_input_type=ItemWords)] = ()
    """Of the product, e.g. `["colour:red", "sleeve:long"]`."""
    product: Annotated[dict[str, Value], PlainValidator(_product, json_schema_input_type=ProductValues)] = {}
    """Other columns of the product, such as title, price and link, e.g. `{"title": "Linen dress", "price": 49.9}`."""
    version: ProductVersion | SkipJsonSchema[None] = None
    """Number of this change, more than that of the last change of the product; by default the server counts."""

    def named(self, item_id: str) -> Product:
        """The product of that id, with each picture once, in the order given."""
        pictures = [ProductPicture.of(item_id, image, self.bbox) for image in self.image]
        distinct = tuple({each.image_id: each for each in pictures}.values())
        return Product(item_id, self.category, self.attributes, distinct, self.product)


class NewItemRequest(ItemRequest):
    """A product that is not there yet."""

    example = {"item_id": "SKU-17", **ItemRequest.example}
    item_id: ItemId
    """Of the product, unique within the catalogue, e.g. `SKU-17`."""
