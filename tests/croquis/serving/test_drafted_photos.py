"""A photo is prepared in the very same way by every part that looks at it, in draft mode too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from croquis.bundle import Bundle
from croquis.bundle.manifest import BundleError, Manifest
from croquis.catalog.decode_workers import SMALL
from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.images import DecodeLimits, from_batch, prepare_file
from croquis.catalog.prepared_photos import Preparation, PreparedError, find_photos, open_photos, place_of
from croquis.catalog.product import Product, ProductPicture
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.cli import main
from croquis.evaluation.protocol import open_gallery
from croquis.events.event import ProductEvent, event_body
from croquis.events.event_command import store_of
from croquis.events.handler import Handler
from croquis.files import read_json
from croquis.nets.encoder import OnnxEncoder, load_encoder
from croquis.params import load_params
from croquis.search.gallery_facts import gallery_vectors
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.changes.live_stores import encoded
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.requests import decoding
from croquis.serving.server_settings import Access, Settings
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.catalogues.drafted_photos import DRAFT, PHOTOS
from tests.support.serving.live_server import ADMIN, TOKEN

DRAFTED = Preparation(processes=1, draft=DRAFT)
SIDE = 32  # of the tiny bundle's thumbnails
SHOWN = {"domain": "shop", "split": "test", "role": "gallery", "category": "c", "attributes": []}


def squares(draft: int, boxed: bool = True) -> set[bytes]:
    """What a net should see of each photo; without boxes of those alone that have none."""
    chosen = [(data, box) for data, box, _ in PHOTOS.values() if boxed or box is None]
    return {prepare_file(data, tiny.SIZE, box, draft).tobytes() for data, box in chosen}


@dataclass
class World:
    """A catalogue of the photos, a bundle whose draft is set, and the squares that its encoder has seen."""

    catalog: Catalog
    bundle: Path
    scratch: Path
    seen: list[np.ndarray] = field(default_factory=list)

    @property
    def retriever(self) -> LocalRetriever:
        return LocalRetriever.load(self.bundle)

    def products(self) -> Iterator[Product]:
        for name, (data, box, _) in PHOTOS.items():
            bounds = None if box is None else (box[0], box[1], box[2], box[3])
            yield Product(name, "dress", (), (ProductPicture.of(name, data, bounds),))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    with CatalogWriter(tmp_path / "catalog", shard_rows=4) as writer:
        for name, (data, box, _) in PHOTOS.items():
            writer.write_all([SHOWN | {"image_id": name, "item_id": name, "image": data, "bbox": box}])
    made = World(Catalog.open(tmp_path / "catalog"), tiny.write_tiny_bundle(tmp_path / "bundle", draft=DRAFT), tmp_path)
    before = OnnxEncoder.encode

    def noted(self: OnnxEncoder, images: np.ndarray) -> np.ndarray:
        made.seen.extend(from_batch(images))
        return before(self, images)

    monkeypatch.setattr(OnnxEncoder, "encode", noted)
    return made


def kept(world: World) -> None:
    prepared(world, DRAFTED)


def decoded_at_use(world: World) -> None:
    prepared(world, Preparation(cache=False, draft=DRAFT))


def prepared(world: World, how: Preparation) -> None:
    rows = np.arange(len(world.catalog))
    encoder = load_encoder(world.scratch / "bundle-models/siamese")
    gallery_vectors(encoder, open_photos(world.catalog, tiny.SIZE, how=how), rows)


def indexed(world: World) -> None:
    to = world.scratch / "shop"
    assert main(["index", str(world.catalog.folder), "--to", str(to), "--encoder", str(world.bundle)]) == 0
    assert Bundle.load(to).manifest.preprocess.draft == DRAFT


def searched(world: World) -> None:
    for data, box, _ in PHOTOS.values():
        world.retriever.search(data, bbox=box)


def of_several(world: World) -> None:
    unboxed = [data for data, box, _ in PHOTOS.values() if box is None]
    world.retriever.search(unboxed[:8])
    world.retriever.embed(unboxed)


def over_http(world: World) -> None:
    with TestClient(create_app({"champion": BundleSource(world.bundle)}, Settings(threads=1))) as client:
        for data, box, _ in PHOTOS.values():
            form = {} if box is None else {"crop": json.dumps(box)}
            answer = client.post("/search", files={"image": data}, data=form)
            assert answer.status_code == 200, answer.text


def put(world: World) -> None:
    settings = Settings(threads=1, changes=world.scratch / "changes", access=Access(admin_token=TOKEN))
    with TestClient(create_app({"champion": BundleSource(world.bundle)}, settings)) as client:
        for name, (data, box, _) in PHOTOS.items():
            if box is None:
                answer = client.put(f"/items/{name}", files={"image": data}, data={"category": "c"}, headers=ADMIN)
                assert answer.status_code == 201, answer.text


def as_products(world: World) -> None:
    for product in world.products():
        encoded(product, 1, world.retriever.nets)


def by_events(world: World) -> None:
    stores = open_stores(f"faiss:{world.scratch / 'store'}")
    settings = load_params().validate_.model_copy(update={"min_side": 16})
    handler = Handler(world.retriever, store_of(stores, world.retriever, None, True, "flat"), settings)
    events = [event_body(ProductEvent(product.item_id, 1, product)) for product in world.products()]
    assert handler.handle(events).rejected == {}
    handler.close()


def in_bulk(world: World) -> None:
    asked = ["--bundle", str(world.bundle), "--from", str(world.catalog.folder), "--to", str(world.scratch / "out")]
    assert main(["embed", *asked, "--jobs", "1"]) == 0


def evaluated(world: World) -> None:
    nets = world.retriever.nets
    nets.encode(list(open_gallery(world.catalog, "test", draft=nets.draft).images()))


BOXED = [kept, decoded_at_use, indexed, searched, over_http, as_products, by_events, in_bulk, evaluated]


@pytest.mark.slow
@pytest.mark.parametrize("way", [*BOXED, of_several, put])
def test_every_way_sees_the_same_squares(way: Callable[[World], None], world: World):
    way(world)
    seen, boxed = {square.tobytes() for square in world.seen}, way in BOXED
    assert squares(DRAFT, boxed) <= seen
    in_full = squares(0, boxed) - squares(DRAFT, boxed)
    assert len(in_full) == sum(scale > 1 and (boxed or box is None) for _, box, scale in PHOTOS.values())
    assert not in_full & seen


@pytest.mark.slow
@pytest.mark.parametrize("way", [over_http, put])
def test_a_worker_that_may_be_killed_sees_them_too(
    way: Callable[[World], None], world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decoding, "SMALL", DecodeLimits(SMALL.max_bytes, 10, SMALL.max_work))
    test_every_way_sees_the_same_squares(way, world)


@pytest.mark.slow
def test_thumbnails_of_the_stage_are_those_of_an_event(world: World):
    ids = world.catalog.column("image_id")[gallery_rows(world.catalog)].tolist()
    made = open_thumbnails(world.catalog, SIDE, DRAFTED).column("thumbnail").to_pylist()
    states = {product.item_id: encoded(product, 1, world.retriever.nets) for product in world.products()}
    assert dict(zip(ids, made, strict=True)) == {name: state.thumbnails[0] for name, state in states.items()}


def test_photos_of_another_draft_are_others(world: World):
    open_photos(world.catalog, tiny.SIZE)
    assert find_photos(world.catalog, tiny.SIZE, DRAFT) is None
    drafted = open_photos(world.catalog, tiny.SIZE, how=DRAFTED).take(np.arange(len(PHOTOS)))
    found, full = (find_photos(world.catalog, tiny.SIZE, draft) for draft in (DRAFT, 0))
    assert found is not None
    assert full is not None
    np.testing.assert_array_equal(found.take(np.arange(len(PHOTOS))), drafted)
    assert (full.take(np.arange(len(PHOTOS))) != drafted).any()
    with pytest.raises(PreparedError, match=r"prepare.draft is 40, and photos of 64 pixels are wanted: set it to 128"):
        open_photos(world.catalog, 64, how=DRAFTED)


def test_without_a_draft_places_keys_and_manifests_are_those_of_before(world: World):
    folder, key = place_of(world.catalog, 24, "box", Preparation())
    assert (folder.name, sorted(key)) == ("catalog-24", ["catalog", "fit", "images", "size"])
    plain = tiny.write_tiny_bundle(world.scratch / "plain")
    assert read_json(plain / "manifest.json")["preprocess"] == {"size": tiny.SIZE}
    assert Bundle.load(plain).manifest.preprocess.draft is None
    assert read_json(world.bundle / "manifest.json")["preprocess"] == {"size": tiny.SIZE, "draft": DRAFT}


@pytest.mark.parametrize("draft", [0, 8, -1, 20.5, "40", True])
def test_a_draft_of_fewer_pixels_than_a_net_sees_is_refused(world: World, draft: object):
    values = read_json(world.bundle / "manifest.json")
    values["preprocess"]["draft"] = draft
    with pytest.raises(BundleError, match="draft"):
        Manifest.from_json(values)
