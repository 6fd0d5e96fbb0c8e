from itertools import chain

import numpy as np
import pytest

from lightning_modules.data import samplers
from lightning_modules.data.samplers import (
    ItemBatches,
    OwnShare,
    ShuffledBatches,
    rows_in_turn,
    spread_into,
)

LABELS = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 9, 6])


def test_shuffled_batches_show_every_row_once():
    batches = list(ShuffledBatches(53, 10, seed=1))
    assert sorted(chain(*batches)) == list(range(53))
    assert min(map(len, batches)) >= 5


def test_a_sampler_repeats_for_one_seed_and_epoch_and_differs_between_epochs():
    a, b = ItemBatches(LABELS, 3, 2, seed=5), ItemBatches(LABELS, 3, 2, seed=5)
    assert list(a) == list(b)
    a.set_epoch(1)
    assert list(a) != list(b)


@pytest.mark.parametrize("images_per_item", [2, 3, 4])
@pytest.mark.parametrize("epoch", range(3))
def test_item_batches_show_every_image_and_give_every_anchor_a_positive(images_per_item: int, epoch: int):
    sampler = ItemBatches(LABELS, 3, images_per_item, seed=2)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert set(chain(*batches)) == set(range(len(LABELS)))
    for batch in batches:
        items, counts = np.unique(LABELS[batch], return_counts=True)
        assert len(items) >= 2, "a batch needs negatives"
        assert (counts >= 2).all()


@pytest.mark.parametrize("epoch", range(3))
def test_every_batch_has_negatives_also_where_one_item_has_most_of_the_images(epoch: int):
    labels = np.repeat(np.arange(9), [200, *[8] * 8])
    sampler = ItemBatches(labels, 4, 4, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert set(np.concatenate(batches).tolist()) == set(range(len(labels)))
    assert min(len(set(labels[batch])) for batch in batches) >= 2
    crowd = [sum(labels[batch] == 0) for batch in batches]
    assert max(crowd) - min(crowd) <= 8


def test_what_is_put_between_comes_at_even_distances():
    groups = [np.array([number]) for number in range(7)]
    found = [int(group[0]) for group in spread_into(groups[:4], groups[4:])]
    assert found == [0, 4, 1, 5, 2, 6, 3]
    assert spread_into(groups, []) == groups


def test_one_item_alone_has_no_negatives():
    with pytest.raises(ValueError, match="at least 2 items"):
        ItemBatches(np.zeros(5, dtype=np.int64), 2, 2, seed=0)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_ranks_share_every_batch_equally_and_together_hold_all_of_it(monkeypatch: pytest.MonkeyPatch, world: int):
    whole = list(ItemBatches(LABELS, 3, 3, seed=2))
    parts = []
    for rank in range(world):
        monkeypatch.setattr(samplers, "world_size", lambda: world)
        monkeypatch.setattr(samplers, "rank", lambda rank=rank: rank)
        share = OwnShare(ItemBatches(LABELS, 3, 3, seed=2))
        parts.append(list(share))
        assert len(parts[-1]) == len(share) == len(whole)
    for number, batch in enumerate(whole):
        pieces = [part[number] for part in parts]
        assert len({len(piece) for piece in pieces}) == 1
        joined = list(chain(*pieces))
        assert joined[: len(batch)] == batch
        assert set(joined[len(batch) :]) <= set(batch)


def test_lightning_finds_the_epoch_of_a_shared_sampler():
    order = ShuffledBatches(20, 5, seed=0)
    share = OwnShare(order)
    first = list(share)
    share.sampler.set_epoch(1)
    assert list(share) != first


@pytest.mark.parametrize(("rows", "count"), [(10, 3), (7, 7), (5, 12), (1, 4)])
def test_rows_in_turn_bring_every_row_before_any_comes_again(rows: int, count: int):
    drawn = np.concatenate([rows_in_turn(rows, count, turn, seed=3) for turn in range(9)])
    assert len(drawn) == 9 * count
    for start in range(0, len(drawn) - rows + 1, rows):
        assert sorted(drawn[start : start + rows]) == list(range(rows))


def test_rows_in_turn_hang_on_nothing_but_their_arguments():
    late = rows_in_turn(50, 20, 7, seed=1)
    assert np.array_equal(late, rows_in_turn(50, 20, 7, seed=1))
    assert not np.array_equal(late, rows_in_turn(50, 20, 7, seed=2))
    assert not np.array_equal(rows_in_turn(50, 50, 0, seed=1), rows_in_turn(50, 50, 1, seed=1))
