"""Features below a code layer, and the figures of baselines on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.codes.feature_codes import (
    Features,
    baseline_figures,
    component_figures,
    list_figures,
    load_backbone,
    pooled,
)
from croquis.catalog.images import decode_image, prepare_image
from croquis.evaluation.protocol import PAIRS, PROTOCOLS, open_gallery, open_queries
from croquis.index.build import build_index
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.nets.backbones import build_backbone
from tests.support.catalogues import blob_catalogue as world


@pytest.fixture(scope="module")
def params():
    values = read_yaml("params.yaml")
    values["train_embedder"]["backbone"] |= {"width": 8, "channels_last": False}
    return parse_params(values, methods=True)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return world.write_catalogue(tmp_path_factory.mktemp("world"))


def features(catalog, name, database, asked):
    protocol = PROTOCOLS[name]
    gallery, queries = open_gallery(catalog, "test", protocol), open_queries(catalog, "test", PAIRS[1])
    known = database(gallery)
    return Features(gallery, queries, known, asked(queries), known, known[:4], ["map@all", "map@4"])


@pytest.mark.slow
def test_features_are_the_mean_map_of_the_saved_backbone_in_the_order_asked_for(catalog, params, tmp_path):
    torch.manual_seed(3)
    torch.save(build_backbone(params.train_embedder.backbone).state_dict(), tmp_path / "backbone.pt")
    backbone = load_backbone(params, tmp_path / "backbone.pt")
    rows = catalog.select(split="test", domain="shop")[[5, 2, 7, 0]]
    found = pooled(backbone, catalog, rows, 32)
    for row, vector in zip(rows, found, strict=True):
        picture = prepare_image(decode_image(next(catalog.images([row]))), 32, catalog.column("bbox")[row])
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            expected = backbone(image)[0].flatten(1).mean(dim=1).numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_figures_match_a_loop_over_the_gallery(catalog):
    rng = np.random.default_rng(0)
    drawn = features(catalog, "cifar10_a", lambda g: rng.normal(size=(len(g), 5)).astype(np.float32),
                     lambda q: rng.normal(size=(len(q), 5)).astype(np.float32))  # fmt: skip
    index = build_index(drawn.database, metric="l2")
    found = list_figures(index, drawn.asked, drawn)
    expected = {"map@all": [], "map@4": []}
    for vector, category in zip(drawn.asked, drawn.queries.categories, strict=True):
        order = np.argsort(((drawn.database - vector) ** 2).sum(axis=1))
        right = [drawn.gallery.categories[row] == category for row in order]
        for name, depth in (("map@all", len(right)), ("map@4", 4)):
            precisions = [sum(right[: i + 1]) / (i + 1) for i in range(depth) if right[i]]
            expected[name].append(sum(precisions) / min(sum(right), depth))
    assert found == {name: pytest.approx(np.mean(values), abs=1e-6) for name, values in expected.items()}


def telling(images):
    """16 numbers of which the class decides almost all; they point into as many directions as there are classes."""
    known = np.unique(images.categories.astype(str), return_inverse=True)[1]
    noise = np.random.default_rng(1).normal(size=(len(images), 16)) * 0.01
    return (np.eye(3)[known] @ np.random.default_rng(2).normal(size=(3, 16)) * 5 + noise).astype(np.float32)


def test_the_first_components_hold_what_large_noise_elsewhere_hides(catalog):
    """Classes lie along the widest directions; smaller noise in many others hides them from floats, not from these."""

    def noisy(images):
        known = np.unique(images.categories.astype(str), return_inverse=True)[1]
        noise = np.random.default_rng(len(images)).normal(size=(len(images), 400)) * 0.6
        noise[:, :3] = np.eye(3)[known] * 4
        return noise.astype(np.float32)

    hidden = component_figures(features(catalog, "cifar10_a", noisy, noisy))
    assert set(hidden) == {"2", "all"}
    assert hidden["2"]["map@all"] == 1.0 > hidden["all"]["map@all"]


def test_two_components_are_all_that_three_classes_need(catalog):
    told = component_figures(features(catalog, "cifar10_a", telling, telling))
    assert told["2"] == {"map@all": 1.0, "map@4": 1.0}
    assert told["all"] == {"map@all": 1.0, "map@4": 1.0}


@pytest.mark.parametrize("name", ["lsh", "itq", "pq", "opq"])
def test_baselines_find_everything_where_features_tell_the_class(catalog, name):
    told = features(catalog, "cifar10_a", telling, telling)
    many = (
        np.repeat(told.database, 20, axis=0)
        + np.random.default_rng(3).normal(size=(len(told.database) * 20, 16)) * 0.01
    )
    told = replace(told, learnt_from=many.astype(np.float32))
    assert baseline_figures(told, name, 16, 1)["map@all"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["cifar10_a", "cifar10_c"])
def test_what_baselines_learn_from_is_all_but_the_queries_and_the_labelled_are_the_train_split(catalog, params, name):
    backbone = build_backbone(params.train_embedder.backbone).eval()
    found = Features.of(catalog, PROTOCOLS[name], ["map@all"], backbone, 32)
    train, gallery = catalog.select(split="train"), found.gallery.rows
    assert len(found.learnt_from) == len(set(train) | set(gallery))
    np.testing.assert_allclose(
        sorted(found.labelled.sum(axis=1)), sorted(pooled(backbone, catalog, train, 32).sum(axis=1)), rtol=1e-5
    )


def test_a_baseline_can_be_kept_from_the_database(catalog):
    told = features(catalog, "cifar10_a", telling, telling)
    far = replace(told, learnt_from=told.learnt_from, labelled=told.learnt_from + 100)
    assert baseline_figures(far, "lsh", 16, 1) == baseline_figures(told, "lsh", 16, 1)
    assert baseline_figures(far, "lsh", 16, 1, labelled_only=True) != baseline_figures(told, "lsh", 16, 1)
