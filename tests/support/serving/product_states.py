"""What becomes of a product by a change of the catalogue, and whether a server holds it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from croquis.catalog.product import picture_id
from croquis.serving.client import Client, ServerError
from tests.support.serving.live_server import picture

ITEMS = ("item-red-0", "item-blue-3", "new/1", "new/2", "new é")


@dataclass(frozen=True)
class State:
    """What a product is after change `number`: one or two pictures that no other change has; None when it is deleted."""

    item_id: str
    number: int
    pictures: tuple[bytes, ...] | None

    @classmethod
    def drawn(cls, rng: random.Random, number: int) -> State:
        pictures = tuple(picture(number * 2 + more) for more in range(rng.randint(1, 2)))
        return cls(rng.choice(ITEMS), number, None if rng.random() < 0.3 else pictures)

    def apply(self, client: Client) -> None:
        if self.pictures is None:
            client.delete_item(self.item_id, version=self.number)
        else:
            labels = {"category": f"category-{self.number}", "attributes": [f"number:{self.number}"]}
            client.put_item(self.item_id, *self.pictures, version=self.number, **labels)

    def is_there(self, client: Client) -> bool:
        """Whether the server holds this state, all of it."""
        try:
            item = client.item(self.item_id)
        except ServerError as error:
            return self.pictures is None and error.problem.status == 404
        if self.pictures is None:
            return False
        ids = [picture_id(self.item_id, each, None) for each in self.pictures]
        told = (item.category, item.attributes, [image.image_id for image in item.images])
        return told == (f"category-{self.number}", [f"number:{self.number}"], ids)
