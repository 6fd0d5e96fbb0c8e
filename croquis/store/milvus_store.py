"""A store in Milvus. It finds candidates; scores and order are worked out here, from the vectors that come with them.

A version of a catalogue is two collections; aliases name the current one and the one before.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows, Vectors
from croquis.bundle.gallery_table import held_probabilities
from croquis.catalog.filters import Filters, QueryError
from croquis.index.exact import SPARE
from croquis.index.ranking import label_blind_keys
from croquis.store.image_rows import text_cell
from croquis.store.milvus_collections import (
    IMAGE_FIELDS,
    LEAST_LIKELY,
    NOTES,
    RECORD,
    image_of,
    likely_name,
    likely_place,
    make_images,
    make_notes,
    note,
    read_spec,
    row_of,
    token_key,
    vectors_of,
    words_of,
)
from croquis.store.milvus_link import AT_A_TIME, BUILDING, CONSISTENCY, KEY, MilvusLink, all_in, any_in, key_of, one_of
from croquis.store.store_words import StoreWords
from croquis.store.vector_store import (
    Match,
    StoreChange,
    Stored,
    StoredImage,
    StoreError,
    StoreSpec,
    VectorStore,
    conditions,
    ranked,
)
from croquis.store.versions import Stores
from croquis.words.token_scores import Cutter, phrase_counts, rareness, token_scores
from croquis.words.word_query import plain_terms, quoted_term
from croquis.words.word_scores import LEVELS, Vocabulary, best_rows

EXACT_ROWS = 16_384  # so many images that pass a filter are fetched and compared one by one
EF_SEARCH = 64  # candidates that a walk along the graph keeps
MOST_EF = 32_768  # Milvus allows no more
PART_ROWS = 4096  # in one answer
MOST_ROWS, WORD_BYTES = 12_288, 16_000_000  # likewise, where tokens come with the rows
COUNTS_SECONDS = 10.0  # a count of the words is as old as this before the next one begins
DIGITS = "0123456789abcdef"
BEFORE = "_previous"


class MilvusStore(VectorStore):
    """One version of a catalogue in Milvus.

    What decides whether a change is applied (`get`, `images_of`, `deletions_of`, `count`) is read with strong consistency:
    another process may have written it a moment ago. Searches read with `consistency`.

    Args:
        link: the connection, which the store does not close.
        name: of the collection of images.
        spec: its record.
        consistency: of searches: `session` sees what this process has written, `strong` what any process has (0.2 s slower),
            `bounded` and `eventually` may miss the last seconds.
        exact_rows: a filter that at most so many images pass is answered exactly by comparing them all.
        worded: whether its collection has the fields that words are searched by.
    """

    def __init__(
        self,
        link: MilvusLink,
        name: str,
        spec: StoreSpec,
        consistency: str = "session",
        exact_rows: int = EXACT_ROWS,
        worded: bool = True,
    ) -> None:
        super().__init__(name, spec)
        if consistency not in CONSISTENCY:
            raise StoreError(f"consistency = {consistency!r}, must be one of {', '.join(CONSISTENCY)}")
        self._link = link
        self._level = consistency
        self._exact_rows = exact_rows
        self._counting = threading.Lock()
        self._words: StoreWords | None = None
        self._counted = 0.0
        self._tokens = 0  # of all images that were counted
        self._worded = worded
        self._cutter = Cutter(spec.tokenizer)
        self._vocabularies = lru_cache(maxsize=1)(self._vocabulary)

    def count(self, filters: Filters | None = None) -> int:
        asked = filters or Filters()
        if not asked.product:
            return self._link.count(self.name, _expression(asked))
        everybody = self._link.count(self.name, _expression(asked))
        return sum(len(rows) for rows in self._passing(asked, everybody, "strong"))

    def get(self, image_ids: Sequence[str]) -> dict[str, StoredImage]:
        rows = self._rows(KEY, [key_of(image_id) for image_id in image_ids])
        return {image.image_id: image for image in map(image_of, rows)}

    def vectors(self, image_ids: Sequence[str]) -> dict[str, Vectors]:
        rows = self._rows(KEY, [key_of(image_id) for image_id in image_ids], fields=("image_id", "vector"))
        decoded = self.spec.decoded(vectors_of(rows, self.spec))
        return dict(zip((row["image_id"] for row in rows), decoded, strict=True))

    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._rows(KEY, [key_of(image_id) for image_id in image_ids], fields=("image_id", "thumbnail"))
        return {row["image_id"]: base64.b64decode(row["thumbnail"]) for row in rows}

    def words(self) -> StoreWords:
        """The first call counts; later ones get the last count, and a new one begins when it is old."""
        with self._counting:
            if self._words is None:
                self._count()
            elif time.monotonic() - self._counted > COUNTS_SECONDS:
                self._counted = time.monotonic()
                threading.Thread(target=self._count_again, daemon=True).start()
            assert self._words is not None
            return self._words

    def _count_again(self) -> None:
        """A count that fails, as the connection was closed meanwhile, leaves the one before."""
        with contextlib.suppress(StoreError):
            self._count()

    def _count(self) -> None:
        words, tokens = StoreWords(), 0
        fields = (*IMAGE_FIELDS, "length") if self._worded else IMAGE_FIELDS
        for rows in self._parts(self.name, "", fields, self.count()):
            words = words.changed([image_of(row) for row in rows])
            tokens += sum(int(row.get("length", 0)) for row in rows)
        self._words, self._tokens, self._counted = words, tokens, time.monotonic()

    def images_of(self, item_ids: Sequence[str]) -> list[StoredImage]:
        rows = self._rows("item_key", [key_of(item_id) for item_id in item_ids])
        return sorted((image_of(row) for row in rows), key=lambda image: image.image_id)

    def deletions_of(self, item_ids: Sequence[str]) -> dict[str, int]:
        keys = [key_of(item_id) for item_id in item_ids]
        rows = self._rows(KEY, keys, self.name + NOTES, ("text", "version"))
        return {json.loads(row["text"]): int(row["version"]) for row in rows}

    def deletions(self) -> dict[str, int]:
        notes = self.name + NOTES
        parts = self._parts(notes, "", ("text", "version"), self._link.count(notes, ""))
        return {json.loads(row["text"]): int(row["version"]) for rows in parts for row in rows if row[KEY] != RECORD}

    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        for rows in self._parts(self.name, "", (*IMAGE_FIELDS, "vector"), self.count()):
            yield [image_of(row) for row in rows], vectors_of(rows, self.spec)

    def close(self) -> None:
        """Nothing: the connection is that of all versions."""

    def _change(self, change: StoreChange, stored: Stored) -> None:
        notes = [note(key_of(item_id), version, json.dumps(item_id)) for item_id, version in change.deleted.items()]
        self._link.write(self.name + NOTES, notes)
        together = zip(change.images, stored, change.thumbnails, strict=True)
        rows = [row_of(image, vector, jpeg) for image, vector, jpeg in together]
        if self._worded:
            cut = self._cutter.tokens([text_cell(image) for image in change.images])
            found = map(words_of, change.images, cut)
            rows = [row | words for row, words in zip(rows, found, strict=True)]
        self._link.write(self.name, rows)
        keys = [key_of(image_id) for image_id in change.gone]
        self._link.remove(self.name, keys)
        if keys:
            # A session does not cover deletions (2.3.5, pymilvus 3.0): what a strong read has passed all later ones see.
            self._rows(KEY, keys[:1], fields=(KEY,))

    def _nearest(self, queries: Vectors, k: int, filters: Filters) -> list[list[Match]]:
        expression, ef = _expression(filters), max(EF_SEARCH, k + SPARE)
        if not filters.empty:
            passing = self._link.count(self.name, expression, self._level)
            if filters.product or passing <= self._exact_rows:
                return self._compared(queries, k, filters, passing)
            whole = self._link.count(self.name, "", self._level)
            ef = min(MOST_EF, math.ceil(ef * whole / passing))  # of what a walk meets, only a share passes
        options: dict[str, Any] = {"params": {"ef": ef}} if self.spec.kind == "hnsw" else {}
        data = [query.tobytes() if self.spec.head == "binary" else query for query in self.spec.stored(queries)]
        found = self._link.call(
            "search",
            self.name,
            data=data,
            limit=min(k + SPARE, EXACT_ROWS),
            filter=expression,
            output_fields=[*IMAGE_FIELDS, "vector"],
            search_params={"metric_type": "HAMMING" if self.spec.head == "binary" else "L2", **options},
            anns_field="vector",
            consistency_level=self._level.capitalize(),
        )
        # The key of a hit is called `key` by Lite and `id` by the server; the fields are called alike.
        lists = [[hit["entity"] for hit in hits] for hits in found]
        return [self._ranked(query, rows, k) for query, rows in zip(queries, lists, strict=True)]

    def search_words(self, text: str, k: int, filters: Filters, names: Sequence[str]) -> list[Match]:
        """See `WordedStore`. The images that hold a word, or an attribute with it that is likely, are read and scored here.

        Raises:
            QueryError: when the version was made before words were kept.
        """
        if not self._worded:
            why = f"cannot be searched: the store {self.name} was made without words; create the version again"
            raise QueryError("text", text, why)
        terms = plain_terms(text)
        cut = self._cutter.tokens(terms)
        holding = [self._vocabularies(tuple(names)).holding(quoted_term(term)) for term in terms]
        asked = [Term(tokens, places) for tokens, places in zip(cut, holding, strict=True) if tokens]
        if not asked:
            return []
        either = f"({' or '.join(term.expression(names) for term in asked)})"
        expression = " and ".join(filter(None, [_expression(filters), either]))
        passing = self._link.count(self.name, expression, self._level)
        fields, at_a_time = (*IMAGE_FIELDS, "tokens", "length"), self._word_rows()
        parts = self._passing(filters, passing, self._level, expression, fields, at_a_time)
        rows = [row for part in parts for row in part]
        total = self._word_scores(asked, rows, filters.empty, names)
        images = [image_of(row) for row in rows]
        best = best_rows(total, lambda places: label_blind_keys([images[place].image_id for place in places]), k)
        vectors = self.vectors([images[place].image_id for place in best])
        found = [(images[place], float(total[place])) for place in best if images[place].image_id in vectors]
        return [Match(image, score, vectors[image.image_id]) for image, score in found]

    def _word_scores(self, asked: Sequence[Term], rows: Sequence[Any], all_rows: bool, names: Sequence[str]) -> Floats:
        """`croquis.words.word_scores` of some images, (rows,), by the whole collection's counts.

        Args:
            all_rows: whether every image that holds a term is among the rows.
        """
        words = self.words()
        kept, lengths = [row["tokens"] for row in rows], np.array([row["length"] for row in rows], dtype=np.int64)
        held = (
            _held(rows, names) if any(len(term.places) for term in asked) else np.zeros((len(rows), 0), dtype=np.uint8)
        )
        expected = words.of_attributes("predicted", names).expected
        total = np.zeros(len(rows))
        for term in asked:
            counts = phrase_counts(kept, term.keys)
            holding = int((counts > 0).sum()) if all_rows else self._holding(term)
            images = max(words.images, holding)  # which were counted up to some seconds ago
            mean = self._tokens / max(1, words.images)
            scores = token_scores(counts, lengths, mean, holding, images)
            if len(term.places):
                likely = held[:, term.places].max(axis=1, initial=0).astype(np.float64)
                # Of several attributes the chance of any, as if they were independent; of one, its own.
                shares = [1.0 - expected[names[place]] / max(1, words.images) for place in term.places]
                weight = rareness(images * (1.0 - math.prod(shares)), images) / LEVELS
                scores = np.maximum(scores, weight * np.where(likely >= LEAST_LIKELY, likely, 0.0))
            total += scores
        return total

    def _holding(self, term: Term) -> int:
        """How many images hold a term, filters left out: of a phrase those that hold its parts are read."""
        expression = all_in("tokens", term.keys)
        count = self._link.count(self.name, expression, self._level)
        if len(term.keys) == 1:
            return count
        parts = self._parts(self.name, expression, ("tokens",), count, self._level, self._word_rows()) if count else ()
        return sum(int((phrase_counts([row["tokens"] for row in rows], term.keys) > 0).sum()) for rows in parts)

    def _word_rows(self) -> int:
        """How many rows with tokens are asked for at a time: an answer stays far below the 64 MB of a message."""
        mean = self._tokens / max(1, self.words().images)
        return int(min(MOST_ROWS, max(256, WORD_BYTES / (16 * mean + 1000))))

    def _vocabulary(self, names: tuple[str, ...]) -> Vocabulary:
        return Vocabulary(names, self.spec.tokenizer, lambda: (np.empty(0, np.int64), np.empty((0, 0), np.uint8)))

    def _compared(self, queries: Vectors, k: int, filters: Filters, passing: int) -> list[list[Match]]:
        """All that pass a filter, compared one by one."""
        rows = [row for part in self._passing(filters, passing, self._level) for row in part]
        return [self._ranked(query, rows, k) for query in queries]

    def _passing(
        self,
        filters: Filters,
        count: int,
        level: str,
        expression: str | None = None,
        fields: Sequence[str] = (*IMAGE_FIELDS, "vector"),
        at_a_time: int = PART_ROWS,
    ) -> Iterator[list[Any]]:
        """The rows that pass, of `count` that pass all but the filters by the product's own columns: Milvus keeps those as
        text, and they are looked at here.

        Args:
            expression: of all but those filters; None for the filters' own.
            at_a_time: see `_parts`.
        """
        asked = _expression(filters) if expression is None else expression
        for rows in self._parts(self.name, asked, fields, count, level, at_a_time) if count else ():
            yield [row for row in rows if all(each.passes(image_of(row).product) for each in filters.product)]

    def _ranked(self, query: Vectors, rows: Sequence[Mapping[str, Any]], k: int) -> list[Match]:
        images = [image_of(row) for row in rows]
        return ranked(self.spec, query, images, vectors_of(rows, self.spec), k) if rows else []

    def _rows(
        self, field: str, keys: Sequence[str], collection: str | None = None, fields: Sequence[str] = IMAGE_FIELDS
    ) -> list[Any]:
        rows: list[Any] = []
        for start in range(0, len(keys), AT_A_TIME):
            rows += self._link.rows(collection or self.name, one_of(field, keys[start : start + AT_A_TIME]), fields)
        return rows

    def _parts(
        self,
        collection: str,
        expression: str,
        fields: Sequence[str],
        count: int,
        level: str = "strong",
        at_a_time: int = PART_ROWS,
    ) -> Iterator[list[Any]]:
        """The rows that meet an expression, about `at_a_time` of them at most, by the first digits of their keys, which are
        spread evenly."""
        prefixes, expected = [""], count
        while expected > at_a_time:
            prefixes, expected = [prefix + digit for prefix in prefixes for digit in DIGITS], expected // len(DIGITS)
        for prefix in prefixes:
            part = f'{KEY} >= "{prefix}" and {KEY} < "{prefix}z"'
            yield self._link.rows(
                collection, f"({expression}) and {part}" if expression else part, (KEY, *fields), level
            )


class Term:
    """A term of a query: the keys of its tokens, which stand side by side, and the places of the attributes that hold it."""

    def __init__(self, tokens: Sequence[str], places: Rows) -> None:
        self.keys = [token_key(token) for token in tokens]
        self.places = places

    def expression(self, names: Sequence[str]) -> str:
        """That an image holds its tokens, or that one of its attributes is likely."""
        likely = [likely_place(place) for place in self.places] + [likely_name(names[place]) for place in self.places]
        found = all_in("tokens", self.keys)
        return f"{found} or {any_in('likely', likely)}" if likely else found


def _held(rows: Sequence[Any], names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """What the classifier of `names` gave each image, (rows, names) in steps of 1 / 255."""
    seen = [image_of(row) for row in rows]
    return held_probabilities([each.predicted for each in seen], [each.probabilities for each in seen], names)


def _expression(filters: Filters) -> str:
    parts = [(any_in if field == "attributes" else one_of)(field, words) for field, words in conditions(filters)]
    return " and ".join(parts)


class MilvusStores(Stores):
    """Collections whose names begin with that of the catalogue; the alias of its name is the current version."""

    def __init__(self, uri: str, name: str, address: str, token: str, consistency: str) -> None:
        super().__init__(uri, name)
        self._consistency = consistency
        self._link = MilvusLink(address, token)

    @property
    def current(self) -> str | None:
        return self._target(self.name)

    @property
    def previous(self) -> str | None:
        return self._target(self.name + BEFORE)

    def versions(self) -> list[str]:
        names = self._link.call("list_collections")
        return sorted(name for name in names if name.startswith(f"{self.name}_") and not name.endswith(NOTES))

    def close(self) -> None:
        """Closes the opened versions, then the connection."""
        super().close()
        self._link.close()

    def _create(self, version: str, spec: StoreSpec) -> MilvusStore:
        make_images(self._link, version, spec)
        make_notes(self._link, version, spec)
        return MilvusStore(self._link, version, spec, self._consistency)

    def _load(self, version: str) -> MilvusStore:
        for collection in (version, version + NOTES):
            if self._link.call("has_collection", collection):
                self._link.call("load_collection", collection, timeout=BUILDING)
        spec, worded = read_spec(self._link, version)
        return MilvusStore(self._link, version, spec, self._consistency, worded=worded)

    def _drop(self, version: str) -> None:
        for collection in (version, version + NOTES):
            self._link.call("drop_collection", collection)

    def _point(self, current: str, previous: str | None) -> None:
        """The alias of the version before is moved first: a stop between the two leaves the old version current."""
        if previous is not None:
            self._alias(self.name + BEFORE, previous)
        self._alias(self.name, current)

    def _alias(self, alias: str, version: str) -> None:
        known = self._target(alias) is not None
        self._link.call("alter_alias" if known else "create_alias", version, alias)

    def _target(self, alias: str) -> str | None:
        """The version that an alias names, in one answer: asking version by version may miss an alias that moves meanwhile.

        That it is there is asked before: an alias that is not there is an error to Milvus, and logged.
        """
        if alias not in self._link.call("list_aliases")["aliases"]:
            return None
        return str(self._link.call("describe_alias", alias)["collection_name"])
