"""params.yaml: every mistake is an error that names the key, and every choice on offer can be built."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from croquis.params import ParamsError, load_params
from croquis.params.block import Block, OneOf
from croquis.params.loader import parse_params, read_yaml
from croquis.plugins import SOURCES
from croquis.tuning.rerank_space import search_space
from croquis.tuning.task import TuneError


@pytest.fixture
def values() -> dict[str, Any]:
    return copy.deepcopy(read_yaml("params.yaml"))


def test_the_shipped_file_is_valid():
    assert load_params().base.seed >= 0


def test_the_depth_of_a_reranking_is_a_number_or_all(values: dict[str, Any]):
    values["rerank"]["depth"] = "all"
    values["evaluate"]["depth"] = 100
    params = parse_params(values)
    assert params.rerank.depth == "all"
    with pytest.raises(TuneError, match=r"rerank\.depth is all, and the study searches for a depth"):
        search_space(params, 100)
    for wrong in ("most", 1, 20_000, True):
        values["rerank"]["depth"] = wrong
        with pytest.raises(ParamsError, match=r"rerank\.depth"):
            parse_params(values)


@pytest.mark.parametrize(
    ("block", "key", "value", "told"),
    [
        ("siamese", "margin", 9.0, "siamese.margin = 9.0: Input should be less than or equal to 2"),
        ("siamese", "margin", "0.2", "siamese.margin = '0.2': Input should be a valid number"),
        ("siamese", "negatives", "closest", "siamese.negatives = 'closest': Input should be 'random', 'adjacent'"),
        ("siamese", "marign", 0.2, "siamese.marign: unknown key"),
        ("base", "seed", True, "base.seed = True: Input should be a valid integer"),
        ("base", "image_size", 1_000_000, "base.image_size = 1000000: Input should be less than or equal to 1024"),
        ("rerank", "depth", 50, "rerank.depth is 50, must exceed the largest reported k (50)"),
        ("prepare", "draft", 55, "prepare.draft is 55, must be 0 or at least base.image_size (56); 112 loses next"),
        ("prepare", "draft", -2, "prepare.draft = -2: Input should be greater than or equal to 0"),
        ("train_gan", "size", 65, "train_gan.size = 65: Value error, must be a power of two"),
        ("train_gan", "depth", 8, "depth is 8: 2**depth exceeds train_gan.size, 64; set at most 6, or auto"),
        ("train_gan", "embedding_weight", 1.0, "embedding_weight is 1 and embedding_weights is none: name weights"),
        ("train_gan", "samples", 17, "train_gan.samples = 17: Input should be less than or equal to 16"),
        ("register", "max_mode_drop", 1.5, "register.max_mode_drop = 1.5: Input should be less than or equal to 1"),
        ("register", "max_bytes_per_image", 0, "register.max_bytes_per_image = 0: Input should be greater than or"),
        ("register", "max_model_megabytes", 0.0, "register.max_model_megabytes = 0.0: Input should be greater than 0"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], block: str, key: str, value: object, told: str):
    values[block][key] = value
    with pytest.raises(ParamsError) as error:
        parse_params(values, methods=True)
    assert told in str(error.value)


def test_a_discriminator_fits_the_images_where_there_is_one(values: dict[str, Any]):
    values["triplet_gan"] |= {"discriminator_layers": 5, "adversarial_weight": 0.0}
    parse_params(values, methods=True)
    values["triplet_gan"]["adversarial_weight"] = 0.01
    with pytest.raises(ParamsError, match=r"triplet_gan\.discriminator_layers is 5: too many for images of"):
        parse_params(values, methods=True)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("name", "resnet50", "backbone.name = 'resnet50': Value error, is called torchvision/resnet50 now: write that"),
        (
            "name",
            "torchvision/resnet5",
            "is no backbone; did you mean torchvision/resnet50? Known: small, torchvision/",
        ),
        ("name", "timm/", "backbone.name = 'timm/': Value error, is no backbone"),
        ("weights", "imagenet", "backbone.weights = 'imagenet': Value error, is called pretrained now: write that"),
        ("weights", "pretrained", "backbone: Value error, weights is pretrained, but small has no trained weights"),
    ],
)
def test_a_backbone_that_is_not_there_is_refused(values: dict[str, Any], key: str, value: str, told: str):
    for block in ("train_embedder", "train_classifier"):
        wrong = copy.deepcopy(values)
        wrong[block]["backbone"][key] = value
        with pytest.raises(ParamsError) as error:
            parse_params(wrong)
        assert f"{block}." in str(error.value)
        assert told in str(error.value)


@pytest.mark.parametrize("name", ["timm/tf_efficientnet_lite0", "timm/vit_small_patch14_dinov2.lvd142m"])
def test_any_name_of_timm_may_be_written_and_nothing_is_imported_to_know_it(values: dict[str, Any], name: str):
    values["train_embedder"]["backbone"] |= {"name": name, "weights": "pretrained"}
    before = set(sys.modules)
    assert parse_params(values).train_embedder.backbone.name == name
    assert not {"timm", "torchvision"} & (set(sys.modules) - before)


def test_the_frozen_net_of_a_loss_is_one_of_torchvision(values: dict[str, Any]):
    values["train_gan"]["perceptual_net"] = "small"
    with pytest.raises(
        ParamsError, match=r"perceptual_net = 'small': Value error, is no net of torchvision\. Known: torchv"
    ):
        parse_params(values)


@pytest.mark.parametrize(("size", "steps"), [(32, 5), (64, 6), (128, 7), (256, 8), (512, 8)])
def test_the_depth_of_a_generator_follows_its_size(values: dict[str, Any], size: int, steps: int):
    assert parse_params(values).train_gan.steps == values["train_gan"]["depth"] == 5
    values["train_gan"] |= {"size": size, "depth": "auto"}
    assert parse_params(values).train_gan.steps == steps


def test_a_generator_without_noise_paints_one_photo(values: dict[str, Any]):
    values["train_gan"] |= {"samples": 4, "dropout": 0.0}
    with pytest.raises(ParamsError, match="samples is 4 and dropout is 0, so that all would be one photo"):
        parse_params(values)


def test_an_encoder_without_trained_weights_is_no_term(values: dict[str, Any]):
    values["train_gan"] |= {"embedding_weight": 1.0, "embedding_net": "small", "embedding_weights": "pretrained"}
    with pytest.raises(ParamsError, match="embedding_weights is pretrained, but small has no trained weights"):
        parse_params(values)


SHIPPED = type(parse_params(read_yaml("params.yaml"), methods=True))
LEARNING = sorted(name for name, value in read_yaml("params.yaml").items() if "fit" in value or name == "train_gan")


@pytest.mark.parametrize("block", LEARNING)
def test_a_net_is_validated_at_least_once(values: dict[str, Any], block: str):
    schedule = values[block].get("fit", values[block])
    schedule |= {"epochs": 3, "validate_every": 3}
    parse_params(values, methods=True)
    schedule["validate_every"] = 4
    where = f"{block}.fit" if "fit" in values[block] else block
    with pytest.raises(ParamsError) as error:
        parse_params(values, methods=True)
    assert f"  {where}: Value error, validate_every is 4, must be at most epochs (3): the net" in str(error.value)
    assert "learning_rate" not in str(error.value)  # the rest of the block is none of the reader's business


def test_a_missing_key_and_an_unknown_block_are_named_together(values: dict[str, Any]):
    del values["siamese"]["margin"]
    values["extra"] = {}
    with pytest.raises(ParamsError) as error:
        parse_params(values, methods=True)
    assert "siamese.margin: missing" in str(error.value)
    assert "extra: unknown key" in str(error.value)


def test_the_metric_that_selects_must_be_one_that_the_protocol_reports(values: dict[str, Any]):
    values["base"]["protocol"], values["register"]["select_by"] = "cifar10_c", "shop->shop/map@1000"
    parse_params(values, methods=True)
    values["base"]["protocol"] = "category"
    with pytest.raises(ParamsError, match=r"select_by names map@1000, but base\.protocol category reports map@all"):
        parse_params(values, methods=True)


@pytest.mark.parametrize("key", ["train_embedder.map.kind", "pretrained.map"])
def test_a_map_of_labels_is_refused_where_items_are_asked_for(values: dict[str, Any], key: str):
    values["retrievers"] = ["pretrained"]
    values["train_embedder"]["backbone"] |= {"name": "timm/tf_efficientnet_lite0", "weights": "pretrained"}
    if key == "pretrained.map":
        values["pretrained"]["map"] = "labels"
    else:
        values["train_embedder"]["map"]["kind"] = "labels"
    with pytest.raises(ParamsError, match=rf"{key} is labels, and base\.protocol instance asks for items"):
        parse_params(values, methods=True)
    values["base"]["protocol"], values["register"]["select_by"] = "category", "shop->shop/map@all"
    parse_params(values, methods=True)


@pytest.mark.parametrize("retrievers", [[], ["siamese", "siamese"], ["resnet"]])
def test_retrievers_are_known_and_distinct(values: dict[str, Any], retrievers: list[str]):
    values["retrievers"] = retrievers
    with pytest.raises(ParamsError, match="retrievers"):
        parse_params(values, methods=True)


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path):
    """YAML 1.2: PyYAML would make a string of 1e-4 and a boolean of on."""
    (tmp_path / "p.yaml").write_text("rate: 1e-4\nname: on\n")
    assert read_yaml(tmp_path / "p.yaml") == {"rate": 0.0001, "name": "on"}


def test_a_missing_or_broken_file_is_named(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"none\.yaml does not exist"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ParamsError, match=r"broken\.yaml is not valid YAML"):
        read_yaml(tmp_path / "broken.yaml")


def blocks_of(kind: type[Block], path: str = "") -> list[tuple[str, type[Block]]]:
    found = [(path, kind)]
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Block):
            found += blocks_of(field.annotation, f"{path}.{name}")
    return found


@pytest.mark.parametrize(("path", "kind"), blocks_of(SHIPPED))
def test_the_schema_holds_no_default(path: str, kind: type[Block]):
    """A value that is not in the file would be one that DVC cannot see."""
    assert all(field.is_required() for field in kind.model_fields.values()), path


def choices(kind: type[Block], values: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    """Every alternative of every Literal, table and registry in the schema."""
    found = []
    for name, field in kind.model_fields.items():
        key = field.alias or name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Block):
            found += choices(field.annotation, values[key], (*path, key))
        else:
            tables = [each.names for each in field.metadata if isinstance(each, OneOf)]
            offered = [*get_args(field.annotation), *(name for names in tables for name in names)]
            found += [((*path, key), choice) for choice in offered if not isinstance(choice, type)]
    if kind.__name__ == "Ingest":
        found += [((*path, "source"), name) for name in SOURCES.built_in]
    return [(where, choice) for where, choice in found if isinstance(choice, str | int)]


# Choices that base.protocol instance does not allow: labelled images without items, and maps of labels.
PROTOCOL_OF = {"fashion_mnist": "category", "idx": "category", "cifar10": "cifar10_a", "labels": "category"}


@pytest.mark.parametrize(("where", "choice"), choices(SHIPPED, read_yaml("params.yaml")))
def test_every_choice_parses(values: dict[str, Any], where: tuple[str, ...], choice: object):
    if where != ("base", "protocol"):
        values["base"]["protocol"] = PROTOCOL_OF.get(str(choice), "instance")
    block = values
    for key in where[:-1]:
        block = block[key]
    block[where[-1]] = choice
    parse_params(values, methods=True)


@pytest.mark.parametrize(
    ("source", "split", "protocol", "fits"),
    [
        ("cifar10", "a", "cifar10_a", True),
        ("cifar10", "c", "cifar10_c", True),
        ("cifar10", "c", "category", True),
        ("cifar10", "a", "cifar10_c", False),
        ("cifar10", "a", "category", False),
        ("cifar10", "c", "cifar10_a", False),
        ("cifar10", "c", "instance", False),
        ("fashion_mnist", "a", "category", True),
        ("fashion_mnist", "a", "instance", False),
        ("idx", "a", "cifar10_a", False),
        ("folder", "a", "cifar10_c", True),
        ("rendered", "c", "instance", True),
    ],
)
def test_a_source_of_classes_needs_a_protocol_of_classes(
    values: dict[str, Any], source: str, split: str, protocol: str, fits: bool
):
    values["ingest"]["source"] = source
    values["ingest"]["cifar10"]["split"] = split
    values["base"]["protocol"] = protocol
    if fits:
        parse_params(values, methods=True)
        return
    told = f"base.protocol is {protocol}, which does not fit ingest.source {source}.*: use (category|cifar10_)"
    with pytest.raises(ParamsError, match=told):
        parse_params(values, methods=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parts.sketch": False}, "parts.gan is true, and the generator learns from drawings"),
        (
            {"parts.codes": False},
            "retrievers names sgh, which needs parts.codes: take it out, or set parts.codes: true",
        ),
        ({"parts.gan": False}, "retrievers names triplet_gan, which needs parts.gan"),
        ({"parts.sketch": False, "parts.gan": False}, "retrievers names joint, which needs parts.sketch"),
        ({"parts.attributes": False, "rerank.enabled": True}, "rerank.enabled is true, its steps need the attribute"),
        (
            {"parts.sketch": False, "parts.gan": False, "register.select_by": "sketch->shop/hit@1"},
            "register.select_by is sketch->shop/hit@1, and parts.sketch is false",
        ),
    ],
)
def test_what_needs_a_part_that_is_off_is_refused(values: dict[str, Any], changes: dict[str, Any], told: str):
    for key, value in changes.items():
        block, _, name = key.partition(".")
        values[block][name] = value
    with pytest.raises(ParamsError) as error:
        parse_params(values, methods=True)
    assert told in str(error.value)


def test_a_photo_search_without_any_further_part_is_valid(values: dict[str, Any]):
    values["parts"] = dict.fromkeys(values["parts"], False)
    values["retrievers"] = ["histogram", "siamese"]
    assert not parse_params(values, methods=True).parts.gan
