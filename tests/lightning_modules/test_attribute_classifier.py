import numpy as np
import pytest
import torch

from lightning_modules import attribute_classifier as subject
from lightning_modules.data import load_images
from params import Params
from retrieval.catalog import Catalog


@pytest.fixture
def data(catalog: Catalog, params: Params) -> subject.ClassifierData:
    sets = [load_images(catalog, catalog.select(split=split), params.base.image_size) for split in ("train", "val")]
    return subject.ClassifierData(*sets, subject.attribute_names(sets[0], 2), batch_size=8, seed=0)


def test_labels_follow_the_catalogue(data: subject.ClassifierData):
    assert data.names == ["shape:round", "shape:square"]
    for row, labels in zip(data.train_labels, data.train.attributes, strict=True):
        assert [name for name, holds in zip(data.names, row, strict=True) if holds] == labels


def test_rare_and_universal_attributes_are_left_out(data: subject.ClassifierData):
    assert subject.attribute_names(data.train, len(data.train)) == []


def test_thresholds_maximise_f1_against_brute_force():
    generator = np.random.default_rng(0)
    labels = generator.random((60, 4)) < [0.1, 0.3, 0.5, 0.9]
    probabilities = (generator.random((60, 4)) * 0.6 + labels * 0.3).astype(np.float32)

    def f1(column: int, threshold: float) -> float:
        predicted, truth = probabilities[:, column] >= threshold, labels[:, column]
        return 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())

    found = subject.best_thresholds(probabilities, labels)
    for column in range(4):
        best = max(f1(column, float(t)) for t in probabilities[:, column])
        assert f1(column, found[column]) == pytest.approx(best)


def test_an_attribute_without_positives_gets_one_half():
    assert subject.best_thresholds(np.full((5, 1), 0.3, np.float32), np.zeros((5, 1), bool)).tolist() == [0.5]


def test_the_rarer_the_attribute_the_more_a_positive_weighs(data: subject.ClassifierData, params: Params):
    data.train_labels = np.zeros((100, 2), bool)
    data.train_labels[:4, 0] = data.train_labels[:50, 1] = True
    weights = subject.AttributeClassifier(params.train_classifier, data).weights
    assert weights.tolist() == pytest.approx([np.sqrt(96 / 4), 1.0], rel=1e-4)


def test_the_paper_head_has_three_layers(data: subject.ClassifierData, params: Params):
    chosen = params.train_classifier.model_copy(update={"head": "three_layer", "hidden": 16})
    module = subject.AttributeClassifier(chosen, data).eval()
    assert sum(isinstance(layer, torch.nn.Linear) for layer in module.head) == 3
    assert module(torch.rand(2, 3, 32, 32)).shape == (2, 2)
