import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.catalog.images import to_batch
from croquis.catalog.table import Catalog
from croquis.nets import classifier as runtime
from croquis.params import Params
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.attributes import classifier_module as subject
from lightning_modules.attributes.attribute_labels import (
    AttributeLabels,
    Layout,
    attribute_names,
    exclusive_groups,
    read_labels,
)
from lightning_modules.attributes.calibration import calibrated, common_threshold, fit_calibration, held_out, item_folds
from lightning_modules.attributes.outputs import AttributeLoss, Outputs, target_matrix
from lightning_modules.attributes.report import attribute_rows, calibration_error, figures, table_csv
from lightning_modules.data.retrieval_data import load_images
from stages import ingest, train_classifier

NAMES = ("new", "size:l", "size:m", "size:s", "warm")
LAYOUT = Layout.of(NAMES, ["size"])
SETS = [["new", "size:l"], ["size:m"], ["size:s", "warm"], ["new"], ["size:xl", "warm"]]


def known(has) -> AttributeLabels:
    return AttributeLabels(np.asarray(has, bool), np.ones(np.shape(has), bool))


@pytest.fixture
def data(catalog: Catalog, params: Params) -> subject.ClassifierData:
    sets = [load_images(catalog, catalog.select(split=split), params.base.image_size) for split in ("train", "val")]
    held = sets[0].attributes.tolist()
    names = attribute_names(held, 2)
    labels = [read_labels(each.attributes.tolist(), [None] * len(each), names) for each in sets]
    layout = Layout.of(names, exclusive_groups(held, names))
    return subject.ClassifierData(*sets, tuple(labels), layout, batch_size=8, seed=0)


def test_labels_follow_the_catalogue(data: subject.ClassifierData):
    assert data.layout.names == ("shape:round", "shape:square")
    assert data.layout.exclusive == ("shape",)
    for row, labels in zip(data.train_labels.has, data.train.attributes, strict=True):
        assert [name for name, holds in zip(data.layout.names, row, strict=True) if holds] == labels


def test_rare_and_universal_attributes_are_left_out():
    assert attribute_names(SETS, 2) == ["new", "warm"]
    assert attribute_names([["all", "one"], ["all"]], 1) == ["one"]


def test_a_group_is_exclusive_when_no_image_has_two_of_its_values():
    assert exclusive_groups(SETS, NAMES) == ["size"]
    assert exclusive_groups([*SETS, ["size:l", "size:xl"]], NAMES) == [], "a value that is not learnt counts too"
    assert exclusive_groups(SETS, ["new", "size:l"]) == [], "one value shuts nothing out"


def test_what_is_unknown_is_neither_there_nor_absent():
    unknown = [None, ["warm"], ["size:l", "warm"], ["size:l"], None]
    labels = read_labels(SETS, unknown, NAMES)
    assert labels.known[:, 4].tolist() == [True, False, True, True, True], "what an image has is known"
    targets = target_matrix(LAYOUT, labels)
    # Places of l, m, s, and 3 for none of them; -1 where the value might be the unknown one. Then `new` and `warm`.
    assert targets.tolist() == [[0, 1, 0], [1, 0, -1], [2, 0, 1], [-1, 1, 0], [3, 0, 1]]


def test_probabilities_of_a_group_leave_room_for_none_of_it():
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 3
    found = Outputs(LAYOUT)(logits).exp()
    size = logits[:, 1:4].exp()
    assert torch.allclose(found[:, 1:4], size / (1 + size.sum(1, keepdim=True)), atol=1e-6)
    assert torch.allclose(found[:, [0, 4]], logits[:, [0, 4]].sigmoid(), atol=1e-6)


def test_the_loss_against_loops_with_what_is_unknown_left_out():
    labels = read_labels(SETS, [None, ["warm"], None, ["size:l"], None], NAMES)
    loss = AttributeLoss(LAYOUT, labels, balance=0.0)
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(2))
    found, targets = Outputs(LAYOUT)(logits), target_matrix(LAYOUT, labels)
    none = 1 - found[:, 1:4].exp().sum(1)
    sizes = [-torch.cat([found[i, 1:4], none[i : i + 1].log()])[int(targets[i, 0])] for i in (0, 1, 2, 4)]
    expected = sum(sizes) / 4
    for place, column in ((1, 0), (2, 4)):
        rows = [i for i in range(5) if targets[i, place] >= 0]
        p = found[rows, column].exp()
        wanted = targets[rows, place]
        expected = expected + -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    assert loss(logits, targets) == pytest.approx(float(expected / 3), rel=1e-5)
    logits[3, 1:4] += 5  # the size of the fourth is unknown: whatever is said of it costs nothing
    assert loss(logits, targets) == pytest.approx(float(expected / 3), rel=1e-5)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_rare_classes_weigh_more_by_the_balance(balance: float):
    has = np.zeros((100, 5), bool)
    has[:10, 0] = has[:10, 1] = has[10:55, 2] = has[55:, 3] = has[:50, 4] = True
    loss = AttributeLoss(LAYOUT, known(has), balance)
    assert loss.weight_0[:3].tolist() == pytest.approx(((100 / 3) / np.array([10, 45, 45])) ** balance, rel=1e-5)
    assert loss.weight_0[3] == 0, "a class that never occurs"
    assert loss.positive.tolist() == pytest.approx([9**balance, 1.0], rel=1e-5)


def sample(count: int, seed: int = 0):
    """Logits whose probabilities are true, and labels drawn by them."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 5)) * 1.5 - 0.5
    true = calibrated(logits, np.ones(5), np.zeros(5), LAYOUT)
    size = (random.random(count)[:, None] > true[:, 1:4].cumsum(1)).sum(1)
    has = random.random((count, 5)) < true
    has[:, 1:4] = size[:, None] == np.arange(3)
    return logits, known(has)


def test_calibration_finds_the_scale_and_offset_that_spoilt_the_logits():
    logits, labels = sample(8000)
    offset = np.array([1.0, -0.5, 0.0, 0.5, -1.0])
    spoilt = (logits - offset) * np.array([2.0, 0.5, 0.5, 0.5, 3.0])
    assert calibration_error(calibrated(spoilt, np.ones(5), np.zeros(5), LAYOUT), labels) > 0.05
    scale, shift = fit_calibration(spoilt, labels, LAYOUT)
    assert scale == pytest.approx([1 / 2, 2, 2, 2, 1 / 3], rel=0.1)
    assert shift == pytest.approx(offset, abs=0.12)
    assert calibration_error(calibrated(spoilt, scale, shift, LAYOUT), labels) < 0.01


def test_a_rare_attribute_is_not_carried_away_by_a_few_photos():
    logits = np.zeros((6, 5))
    has = np.zeros((6, 5), bool)
    scale, offset = fit_calibration(logits, known(has), LAYOUT)
    found = calibrated(logits, scale, offset, LAYOUT)
    assert (found > 0.02).all(), "six photos without it do not make it impossible"
    assert (found < 0.5).all()


def test_the_common_threshold_has_the_best_micro_f1_of_all_cuts():
    logits, labels = sample(60, 3)
    hidden = AttributeLabels(labels.has, np.random.default_rng(1).random(labels.has.shape) < 0.8)
    probabilities = calibrated(logits, np.ones(5), np.zeros(5), LAYOUT)

    def f1(threshold: float) -> float:
        said = (probabilities >= threshold) & hidden.known
        true = hidden.has & hidden.known
        return float(2 * (said & true).sum() / (said.sum() + true.sum()))

    hidden = AttributeLabels(hidden.has & hidden.known, hidden.known)
    found = common_threshold(probabilities, hidden)
    assert f1(found) == pytest.approx(max(f1(float(cut)) for cut in np.unique(probabilities)))


def test_no_positive_and_nothing_known_get_one_half():
    nothing = AttributeLabels(np.zeros((4, 5), bool), np.zeros((4, 5), bool))
    assert common_threshold(np.full((4, 5), 0.3), nothing) == 0.5
    assert common_threshold(np.full((4, 5), 0.3), known(np.zeros((4, 5)))) == 0.5


def test_photos_of_an_item_are_held_out_together():
    items = np.array(["a", "b", "a", "c", "d", "b"])
    folds = list(item_folds(items, 3))
    assert np.array_equal(sum(fold.astype(int) for fold in folds), np.ones(6))
    assert all(len(set(items[fold]) & set(items[~fold])) == 0 for fold in folds)


def test_figures_of_noise_do_not_flatter():
    """Labels that have nothing to do with the logits: fitted on themselves they would look better than they are."""
    random = np.random.default_rng(5)
    logits, labels = random.normal(size=(60, 5)), known(random.random((60, 5)) < 0.3)
    layout = Layout.of([f"name{i}" for i in range(5)], [])
    found, decisions = held_out(logits, labels, np.arange(60) // 2, layout)
    scale, offset = fit_calibration(logits, labels, layout)
    fitted = calibrated(logits, scale, offset, layout)

    def log_loss(probabilities: np.ndarray) -> float:
        return float(-np.where(labels.has, np.log(probabilities), np.log(1 - probabilities)).mean())

    assert log_loss(found) > log_loss(fitted)
    assert decisions.shape == labels.has.shape


def test_the_table_and_figures_of_a_case_done_by_hand():
    has = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], bool)
    labels = AttributeLabels(has, np.array([[1, 1], [1, 1], [1, 1], [0, 1]], bool))
    probabilities = np.array([[0.9, 0.2], [0.4, 0.1], [0.6, 0.3], [0.95, 0.7]])
    decisions = probabilities >= 0.5
    rows = attribute_rows(["a", "b"], probabilities, decisions, labels, np.array([0.5, 0.5]), probabilities)
    first = rows[0]
    assert (first.images, first.positives) == (3, 2), "the fourth is unknown"
    assert (first.precision, first.recall, first.f1) == (0.5, 0.5, 0.5)
    assert first.average_precision == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert first.brier == pytest.approx((0.1**2 + 0.6**2 + 0.6**2) / 3, abs=1e-6)
    found = figures(probabilities, decisions, labels)
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1), abs=1e-6)
    assert found["macro_f1"] == pytest.approx((0.5 + 1) / 2)
    lines = list(csv.DictReader(io.StringIO(table_csv(rows).decode())))
    assert [line["attribute"] for line in lines] == ["a", "b"], "the hardest first"


def test_the_exported_probabilities_are_the_calibrated_ones(data: subject.ClassifierData, params: Params):
    module = subject.AttributeClassifierModule(params.train_classifier, data).eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        before, logits = module(images), module.logits(images)
        module.calibrate(np.array([2.0, 2.0]), np.array([0.5, -1.0]))
        after = module(images)
    expected = calibrated(logits.double().numpy(), np.array([2.0, 2.0]), np.array([0.5, -1.0]), data.layout)
    assert after.numpy() == pytest.approx(expected, abs=1e-5)
    assert not torch.allclose(before, after)


def test_the_paper_head_has_three_layers(data: subject.ClassifierData, params: Params):
    chosen = params.train_classifier.model_copy(update={"head": "three_layer", "hidden": 16})
    module = subject.AttributeClassifierModule(chosen, data).eval()
    assert sum(isinstance(layer, torch.nn.Linear) for layer in module.head) == 3
    assert module(torch.rand(2, 3, 32, 32)).shape == (2, 2)


class Run:
    """Takes the place of a stage's run."""

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.metrics: dict[str, float] = {}

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def volatile(self, name: str, value: float) -> None:
        self.metrics[name] = value


@pytest.mark.slow
def test_the_stage_exports_calibrated_probabilities_and_decisions(
    data: subject.ClassifierData, params: Params, tmp_path: Path
):
    module, run = subject.AttributeClassifierModule(params.train_classifier, data), Run(tmp_path)
    train_classifier.export(module, data, params.base.image_size, tmp_path, run)
    exported = runtime.AttributeClassifier(tmp_path)
    assert exported.attributes == data.layout.names
    assert exported.described.exclusive == ("shape",)
    assert len(set(exported.thresholds.tolist())) == 1
    images = data.val.images[:5].permute(0, 2, 3, 1).numpy()
    found = exported.probabilities(to_batch(list(images)))
    with torch.no_grad():
        assert found == pytest.approx(module.eval()(data.val.images[:5].float() / 255).numpy(), abs=1e-4)
    assert (found.sum(axis=1) <= 1 + 1e-5).all(), "the values of a group share one softmax"
    assert all(len(names) <= 1 for names in exported.decide(found))
    assert {"val/micro_f1", "val/macro_f1", "val/calibration_error", "val/shop/micro_f1"} <= set(run.metrics)
    assert run.metrics["val/macro_average_precision"] == pytest.approx(
        np.mean([run.metrics[f"val/average_precision/shape/{name}"] for name in ("round", "square")]), abs=1e-5
    )
    assert (tmp_path / "attributes.csv").read_text().startswith("attribute,images,positives,threshold")


def test_what_a_table_calls_unknown_reaches_the_loss(catalog: Catalog, tmp_path: Path):
    """From the column of a CSV file through the stage `ingest` into the mask."""
    listed = [row for row in catalog.rows(range(len(catalog))) if row["domain"] == "shop" and row["split"] != "test"]
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "item_id", "split", "role", "attributes", "unknown_attributes"])
        for number, row in enumerate(listed):
            (tmp_path / f"{number}.png").write_bytes(row["image"])
            unknown = {0: "warm", 1: "shape:round|shape:square", 2: "never heard of"}.get(number, "")
            held = (
                "" if number == 1 else "|".join([*row["attributes"], *(["warm"] if number > 2 and number % 2 else [])])
            )
            table.writerow([f"{number}.png", row["item_id"], row["split"], row["role"], held, unknown])
    values = read_yaml("params.yaml")
    values["base"]["image_size"], values["train_classifier"]["min_positives"] = 32, 2
    values["ingest"]["source"] = "folder"
    values["ingest"]["folder"] |= {"table": str(tmp_path / "table.csv"), "images": str(tmp_path), "test_share": 0.0}
    params = parse_params(values)
    ingest.ingest(params, tmp_path)
    data = train_classifier.load_data(params, Catalog.open(tmp_path / "data/raw"))
    layout, labels = data.layout, data.train_labels
    assert layout.names == ("shape:round", "shape:square", "warm")
    assert np.argwhere(~labels.known).tolist() == [[0, 2], [1, 0], [1, 1]]
    targets, loss = target_matrix(layout, labels), AttributeLoss(layout, labels, balance=0.0)
    assert targets[:3].tolist() == [[1, -1], [-1, 0], [0, 0]]
    logits = torch.zeros(len(targets), 3)
    before = loss(logits, targets)
    logits[0, 2] = logits[1, 0] = logits[1, 1] = 7.0
    assert loss(logits, targets) == before
    logits[2, 2] = 7.0
    assert loss(logits, targets) > before
