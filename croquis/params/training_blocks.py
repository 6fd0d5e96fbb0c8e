"""Blocks of the stages that learn: embedders, attribute classifier, sketch generator."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from croquis.nets.generator import MOST_SAMPLES
from croquis.params.block import Block
from croquis.plugins import BACKBONES
from croquis.refusals import hint_of

TORCHVISION = "torchvision/"
DEEPEST = 8  # steps of a U-Net


def _known_net(name: str) -> str:
    """Refuses a net that no family has; where lightning_modules is not installed, every name may be used."""
    known = BACKBONES.entries
    library, _, rest = name.rpartition("/")
    if not known or name in known or (rest and f"{library}/NAME" in known):
        return name
    if f"{TORCHVISION}{name}" in known:
        raise ValueError(f"is called {TORCHVISION}{name} now: write that")
    raise ValueError(f"is no backbone{hint_of(name, known) or '.'} Known: {', '.join(known)}")


def _torchvision_net(name: str) -> str:
    if BACKBONES.entries and not name.startswith(TORCHVISION):
        known = [each for each in BACKBONES.entries if each.startswith(TORCHVISION)]
        raise ValueError(f"is no net of torchvision. Known: {', '.join(known)}")
    return name


def _known_weights(weights: str) -> str:
    if weights == "imagenet":
        raise ValueError("is called pretrained now: write that")
    return weights


def _refuse_untrained(key: str, net: str, weights: str) -> None:
    """Refuses `pretrained` for a net without trained weights."""
    family = BACKBONES.entries.get(net)
    if weights == "pretrained" and family is not None and not family.pretrained:
        raise ValueError(
            f"{key} is pretrained, but {net} has no trained weights: name none, or another net, e.g. "
            "timm/tf_efficientnet_lite0"
        )


BackboneName = Annotated[str, AfterValidator(_known_net)]
TorchvisionName = Annotated[BackboneName, AfterValidator(_torchvision_net)]
Weights = Annotated[str, AfterValidator(_known_weights)]
InBatchNegatives = Literal["random", "batch_hard", "semi_hard"]
NegativeStrategy = Literal["random", "adjacent", "nearest", "batch_hard", "semi_hard"]
Positives = Literal["crossing", "all"]
AdversarialLoss = Literal["bce", "hinge"]


Cells = Annotated[int, Field(ge=1, le=16)]


class Backbone(Block):
    """The net below a method's head, and the weights that it starts from."""

    name: BackboneName
    weights: Weights = Field(
        description="`none`, `pretrained` (docs/training.md says whose), `hub:OWNER/NAME`, or a path to a state dict"
    )
    width: int = Field(ge=8, le=256, description="channels of the first stage of `small`; other nets ignore it")
    freeze_bn: bool
    channels_last: bool

    @model_validator(mode="after")
    def somebody_trained_it(self) -> Self:
        _refuse_untrained("weights", self.name, self.weights)
        return self


class Pooling(Block):
    """How the maps of a backbone become the vector that a head stands on."""

    levels: Literal["last", "all"] | list[Annotated[int, Field(ge=-16, le=15)]] = Field(
        description="the last map, the last one of each size, or some of these by number: 0 is the largest, -1 the last"
    )
    kind: Literal["method", "average", "max"] = Field(
        description="average or maximum over a map; method: as the method's source has it"
    )
    cells: Cells | list[Cells] = Field(
        description="cells per side that a map is pooled in, of all levels or of each; 1: the whole map at once"
    )
    normalise: bool = Field(description="whether each level has length 1 before they are joined")
    histogram: float = Field(
        ge=0.0,
        le=100.0,
        description="weight of a colour histogram beside the levels (3 x 3 cells, 64 colours); 0 for none",
    )
    flip: bool = Field(description="whether a photo and its mirror image are averaged, which costs twice the time")

    @field_validator("levels")
    @classmethod
    def named_once(cls, levels: Any) -> Any:
        if isinstance(levels, list) and (not levels or len(set(levels)) < len(levels)):
            raise ValueError("must name one level or more, each once")
        return levels


class PooledBackbone(Backbone):
    """A backbone and how its maps become a vector."""

    pooling: Pooling


class Geometry(Block):
    """Random places of a training image; a strength of 0 is none."""

    crop_scale: float = Field(gt=0.0, le=1.0, description="smallest share of the area that a random crop keeps")
    rotate: float = Field(ge=0.0, le=180.0, description="degrees either way")
    flip: float = Field(ge=0.0, le=1.0)


class Augment(Geometry):
    """Random views of a training image; every strength is 0 for none."""

    brightness: float = Field(ge=0.0, le=1.0)
    contrast: float = Field(ge=0.0, le=1.0)
    saturation: float = Field(ge=0.0, le=1.0)
    hue: float = Field(ge=0.0, le=0.5)
    erase: float = Field(ge=0.0, le=1.0, description="probability that a random rectangle is painted over")


class StrongAugment(Augment):
    """Random views whose changes each happen with a probability; the strengths are those of `Augment`."""

    recipe: Literal["ours", "kornia", "torchvision"] = Field(
        description="whose rules make crop, jitter and blur: ours, kornia's 0.5 (as the official codes ran), torchvision's"
    )
    crop: float = Field(ge=0.0, le=1.0, description="probability of the random crop and rotation")
    jitter: float = Field(ge=0.0, le=1.0, description="probability of the colour changes")
    grey: float = Field(ge=0.0, le=1.0, description="probability that the view loses its colours")
    blur: float = Field(ge=0.0, le=1.0, description="probability of a Gaussian blur")
    blur_sigma: float = Field(
        ge=0.1, le=100.0, description="largest standard deviation of the blur, pixels; of kornia's the only one"
    )


class Schedule(Block):
    """How long a net learns."""

    epochs: int = Field(ge=1, le=10_000)
    patience: int = Field(ge=1, le=10_000, description="epochs without a better val metric before training stops")
    validate_every: int = Field(ge=1, le=1000, description="epochs between two validations")

    @model_validator(mode="after")
    def validates_at_least_once(self) -> Self:
        if self.validate_every > self.epochs:
            raise ValueError(
                f"validate_every is {self.validate_every}, must be at most epochs ({self.epochs}): "
                "the net would never be validated, and so never kept"
            )
        return self


class Fit(Schedule):
    """How long and how fast a net learns."""

    learning_rate: float = Field(gt=0.0, le=1.0)
    backbone_rate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["auto"] = Field(
        description="factor on the learning rate of the backbone; 0 freezes it, batch norms included; auto: 1, and with "
        "pretrained weights so small that its rate is at most 0.0001"
    )
    weight_decay: float = Field(ge=0.0, le=1.0)
    warmup_epochs: int = Field(ge=0, le=1000)
    optimiser: Literal["adamw", "adam"] = Field(
        description="adam adds the weight decay to the gradient, as the official codes do",
    )
    schedule: Literal["cosine", "constant"] = Field(
        description="of the learning rate after the warm-up: down to 0, or none",
    )


class Labels(Block):
    """Which training images show their labels; the semi-supervised methods also learn from those that do not."""

    labelled_share: float = Field(gt=0.0, le=1.0, description="share of the training items whose labels are used")
    unlabelled: Literal["train", "gallery"] = Field(
        description="the other training images, or with them the test gallery without its labels, as GPQ's protocol does"
    )


class Map(Block):
    """A linear map behind encoders whose vectors stay floats: fitted on train in closed form, kept where val gains."""

    kind: Literal["none", "pca", "within_item", "labels", "best"] = Field(
        description="none, principal components, within-item whitening, regression of labels, or the best of all by val"
    )
    dims: list[Annotated[int, Field(ge=2, le=4096)]] = Field(min_length=1, description="lengths of the vectors to try")
    shrinkages: list[Annotated[float, Field(gt=0.0, le=100.0)]] = Field(
        min_length=1, description="of `within_item` and `labels`: shares of the identity that are added, to try"
    )
    fit_on: Literal["train", "train_and_val"] = Field(
        description="what the map that was chosen is fitted on in the end; with val, figures of val say nothing any more"
    )
    histogram_factors: list[Annotated[float, Field(ge=0.0, le=100.0)]] = Field(
        min_length=1, description="on the colour histogram, where vectors end with one (`backbone.pooling`), to try"
    )


class FineTuning(Block):
    """How weights that are worth keeping are changed with care."""

    layer_decay: float = Field(
        gt=0.0, le=1.0, description="factor on the learning rate from each layer of the backbone to the one before it"
    )
    start_rate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["auto"] = Field(
        description="with `init: whitened`, factor on the learning rate of the layer that starts from the map; 0 keeps it; "
        "auto: so small that its rate is at most 0.00001"
    )
    freeze_backbone_epochs: int = Field(
        ge=0, le=10_000, description="epochs at the begin in which the heads alone learn"
    )
    ema: float = Field(
        ge=0.0,
        lt=1.0,
        description="decay per step of a moving average of the weights, which is what is kept; 0 for none",
    )


class TrainEmbedder(Block):
    """What all learned retrievers share."""

    labels: Labels
    map: Map
    backbone: PooledBackbone
    init: Literal["random", "whitened"] = Field(
        description="of the layer that makes the vector: random, or the map in closed form of the pooled train photos"
    )
    fine_tuning: FineTuning
    augment: Augment
    domains: list[Literal["shop", "consumer", "sketch"]] = Field(min_length=1)
    contact_sheet_every: int = Field(ge=1, le=10_000, description="epochs between two contact sheets in the tracker")


class TrainClassifier(Block):
    """`train_classifier`: net, training and head of the attribute classifier."""

    backbone: Backbone
    augment: Augment
    head: Literal["linear", "three_layer"]
    hidden: int = Field(ge=8, le=8192, description="width of the two hidden layers of `three_layer`")
    batch_size: int = Field(ge=2, le=4096)
    min_positives: int = Field(ge=1, le=100_000, description="attributes with fewer training images are left out")
    balance: float = Field(
        ge=0.0, le=1.0, description="rare classes weigh (average count / own count) ** balance; 0: as they are"
    )
    fit: Fit


class TrainGan(Schedule):
    """pix2pix: U-Net generator, PatchGAN discriminator."""

    size: int = Field(ge=32, le=512)
    generator_channels: int = Field(ge=4, le=256)
    discriminator_channels: int = Field(ge=4, le=256)
    discriminator_layers: int = Field(ge=1, le=5)
    depth: Annotated[int, Field(ge=3, le=8)] | Literal["auto"] = Field(
        description="down-sampling steps of the U-Net, 2**depth at most size; auto: down to one pixel, as the paper has it"
    )
    dropout: float = Field(ge=0.0, lt=1.0)
    l1_weight: float = Field(ge=0.0, le=10_000.0)
    adversarial_weight: float = Field(gt=0.0, le=100.0)
    perceptual_weight: float = Field(ge=0.0, le=10_000.0, description="of a frozen net's feature maps; 0 for none")
    perceptual_net: TorchvisionName = Field(description="the frozen net, unless its weights are none")
    perceptual_weights: Weights = Field(
        description="`none` (a frozen random net), `pretrained` (a download), `hub:OWNER/NAME`, or a path to a state dict"
    )
    embedding_weight: float = Field(
        ge=0.0,
        le=10_000.0,
        description="of 1 - cosine of what a frozen encoder sees in the made and in the true photo; 0: no term",
    )
    embedding_net: BackboneName = Field(
        description="that encoder's backbone, best that of train_embedder; its levels are averaged, each put to length 1"
    )
    embedding_weights: Weights = Field(
        description="`pretrained`, `hub:OWNER/NAME`, or a path to a state dict; `none` without the term"
    )
    samples: int = Field(
        ge=1,
        le=MOST_SAMPLES,
        description="photos painted of a drawing and searched together, each with a dropout of its own; 1: one without",
    )
    batch_size: int = Field(ge=1, le=1024)
    learning_rate: float = Field(gt=0.0, le=1.0)
    constant_share: float = Field(
        ge=0.0,
        le=1.0,
        description="share of the epochs at the full learning rate, which then falls in a line to 0; 1: never",
    )
    load_scale: float = Field(
        ge=1.0, le=2.0, description="a pair is enlarged so many times, and cut back to size at a random place; 1: never"
    )
    choose_by: Literal["l1", "retrieval"] = Field(
        description="what picks the epoch on val: L1, or how well made photos find the photo that their sketch shows"
    )
    colour: bool = Field(description="the generator also takes the colour of the garment, which a query may give")
    no_colour_share: float = Field(
        ge=0.0,
        le=1.0,
        description="with `colour`, share of the pairs whose colour it is not told: a query may have none",
    )
    beta1: float = Field(ge=0.0, lt=1.0)
    contact_sheet_every: int = Field(ge=1, le=10_000)

    @field_validator("size")
    @classmethod
    def power_of_two(cls, size: int) -> int:
        if size & (size - 1):
            raise ValueError("must be a power of two: 32, 64, 128, 256 or 512")
        return size

    @property
    def steps(self) -> int:
        """Down-sampling steps of the U-Net: `depth`, or as many as leave one pixel, at most 8."""
        return min(self.size.bit_length() - 1, DEEPEST) if self.depth == "auto" else self.depth

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        if 2**self.steps > self.size:
            raise ValueError(
                f"depth is {self.depth}: 2**depth exceeds train_gan.size, {self.size}; set at most "
                f"{self.size.bit_length() - 1}, or auto"
            )
        if self.embedding_weight and self.embedding_weights == "none":
            raise ValueError(
                f"embedding_weight is {self.embedding_weight:g} and embedding_weights is none: name weights there, e.g. "
                "pretrained, or set embedding_weight: 0"
            )
        _refuse_untrained("embedding_weights", self.embedding_net, self.embedding_weights)
        if self.samples > 1 and not self.dropout:
            raise ValueError(
                f"samples is {self.samples} and dropout is 0, so that all would be one photo: set samples: 1, or dropout"
            )
        return self


class DrawingViews(Geometry):
    """Random views of a line drawing, which has no colours to change."""

    thicken: float = Field(ge=0.0, le=1.0, description="probability that the lines get a pixel thicker")
    thin: float = Field(ge=0.0, le=1.0, description="probability that the lines get paler and thinner")
    erase: float = Field(ge=0.0, le=1.0, description="probability that a rectangle of the drawing is blank paper")


class TripletBlock(Block):
    """Triplet training over P x K batches, which siamese and joint share."""

    embedding_dim: int = Field(ge=2, le=4096)
    centre: bool = Field(description="batch-normalise the vector before its L2 norm; needed without pretrained weights")
    margin: float = Field(gt=0.0, le=2.0)
    positives: Positives = Field(description="pairs of two domains where an item has such, or all pairs of an item")
    negatives: NegativeStrategy
    nearest_pool: int = Field(ge=1, le=1000, description="size of the pool of closest non-relevant gallery images")
    nearest_same_category: bool
    refresh_every: int = Field(ge=1, le=1000, description="epochs between two refreshes of the nearest pool")
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=64)
    accumulate: int = Field(ge=1, le=1024, description="batches whose gradients are added before a step")
    fit: Fit
