"""Residual networks (ResNet) for small images: a stem, stages of blocks with shortcuts, and a global average."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from convlab.common.specs import Fraction, PositiveWhole, Whole, off_as_word, per_layer
from convlab.models.registry import Family, IdleField
from convlab.models.specs import ModelSpec

MAX_BLOCKS = 300
"""Largest number of blocks of a stage; the plan walks through every layer."""

Blocks = Annotated[Whole, Field(gt=0, le=MAX_BLOCKS)]
Norm = Annotated[Literal["none", "batch", "layer", "group"], BeforeValidator(off_as_word)]


class ResidualNetwork(ModelSpec):
    """A convolution, then stages of blocks of two convolutions with a shortcut around them; each stage halves the map.

    He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2: three stages of n blocks have
    6n + 2 layers. Shortcuts are identities, and 1×1 convolutions where the shape changes (option B there).
    """

    family: Literal["residual_network"]
    filters: per_layer(PositiveWhole) = Field((16, 32, 64), description="Filters of each stage, e.g. [16, 32, 64].")
    blocks_per_stage: per_layer(Blocks) = Field((3,), description="Blocks of each stage, of two convolutions each.")
    kernel_size: PositiveWhole = Field(3, description="Side of the square kernels, pixels.")
    norm: Norm = Field("batch", description="Normalisation beside each convolution: batch, layer, group or none.")
    norm_groups: PositiveWhole = Field(8, description="Groups of channels of group normalisation; divides all filters.")
    residual: bool = Field(True, description="Shortcuts around the blocks; off gives the paper's plain network.")
    pre_activation: bool = Field(
        False,
        description="Normalisation and activation before each convolution instead of after it (He et al., Identity "
        "Mappings in Deep Residual Networks, 2016).",
    )
    dropout: Fraction = Field(0.0, description="Dropout rate of the averaged features, before the output layer.")

    padding: ClassVar[str] = "same"
    pooling: ClassVar[tuple[str, ...]] = ("none",)
    head: ClassVar[str] = "global_average"

    @model_validator(mode="after")
    def _one_value_per_stage(self) -> "ResidualNetwork":
        if not self._unexpanded:  # pydantic comes here again with the same model when a run is made of it
            self._unexpanded = {"blocks_per_stage": self.blocks_per_stage}
        stages, blocks = len(self.filters), self.blocks_per_stage
        if len(blocks) not in (1, stages):
            raise ValueError(f"blocks_per_stage has {len(blocks)} values, and filters names {stages} stages")
        self._set(blocks_per_stage=blocks * stages if len(blocks) == 1 else blocks)
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Step of each block's first convolution, pixels."""
        return tuple(stride for _name, _filters, stride in self.blocks())

    def blocks(self) -> list[tuple[str, int, int]]:
        """Suffix of the layers' names (stage and block), filters and stride of each block."""
        return [
            (f"{stage}_{block}", filters, 2 if stage > 1 and block == 1 else 1)
            for stage, (filters, blocks) in enumerate(zip(self.filters, self.blocks_per_stage, strict=True), start=1)
            for block in range(1, blocks + 1)
        ]


def features(model: ResidualNetwork, x: Any, keras: Any) -> Any:
    """Stem, blocks, global average."""
    network = _Layers(model, keras.layers)
    x = network.convolution(x, "stem", model.filters[0])
    if not model.pre_activation:
        x = network.activated(x, "stem")
    for name, filters, stride in model.blocks():
        x = network.block(x, name, filters, stride)
    if model.pre_activation:
        x = network.activated(x, "last")
    x = keras.layers.GlobalAveragePooling2D(name="global_average")(x)
    return keras.layers.Dropout(model.dropout, name="dropout")(x) if model.dropout else x


class _Layers:
    """Keras layers of a model. ``x`` and what is returned are Keras tensors (batch, height, width, channels)."""

    def __init__(self, model: ResidualNetwork, layers: Any) -> None:
        self.model, self.layers = model, layers

    def block(self, x: Any, name: str, filters: int, stride: int) -> Any:
        """Two convolutions and the sum of what they make and of their input."""
        before = self.model.pre_activation
        start, x = x, self.activated(x, f"{name}_1") if before else x
        if self.model.residual and start.shape[1:] != self.shape_after(x, filters, stride):
            start = self.projected(x, name, filters, stride)
        x = self.convolution(x, f"{name}_1", filters, stride=stride)
        x = self.activated(x, f"{name}_2" if before else f"{name}_1")
        x = self.convolution(x, f"{name}_2", filters)
        x = x if before else self.normalised(x, f"{name}_2")
        if self.model.residual:
            x = self.layers.Add(name=f"add_{name}")([x, start])
        return x if before else self.activation(x, f"{name}_2")

    def projected(self, x: Any, name: str, filters: int, stride: int) -> Any:
        """A block's input by a 1×1 convolution that gives it the shape of the block's output.

        The pixels between the strides are left out first: the same as a stride of the convolution itself, whose
        gradient oneDNN (in TensorFlow 2.21) writes beyond its memory for maps of 64×64 pixels with few channels.
        """
        if stride > 1:
            x = self.layers.AveragePooling2D(1, stride, padding="same", name=f"subsample_{name}")(x)
        x = self.convolution(x, name, filters, 1, kind="shortcut")
        return x if self.model.pre_activation else self.normalised(x, f"shortcut_{name}")

    def shape_after(self, x: Any, filters: int, stride: int) -> tuple[int, int, int]:
        """(height, width, channels) of a block's output."""
        return -(-x.shape[1] // stride), -(-x.shape[2] // stride), filters

    def convolution(
        self, x: Any, name: str, filters: int, kernel_size: int = 0, stride: int = 1, kind: str = "conv"
    ) -> Any:
        """A convolution, named by its ``kind``; without biases where a normalisation would take them away."""
        return self.layers.Conv2D(
            filters,
            kernel_size or self.model.kernel_size,
            strides=stride,
            padding="same",
            use_bias=self.model.norm == "none",
            kernel_initializer=self.model.kernel_initializer,
            name=f"{kind}_{name}",
        )(x)

    def activated(self, x: Any, name: str) -> Any:
        return self.activation(self.normalised(x, name), name)

    def activation(self, x: Any, name: str) -> Any:
        return self.layers.Activation(self.model.activation, name=f"activation_{name}")(x)

    def normalised(self, x: Any, name: str) -> Any:
        norm = {
            "none": None,
            "batch": self.layers.BatchNormalization,
            "layer": self.layers.LayerNormalization,
            "group": partial(self.layers.GroupNormalization, self.model.norm_groups),
        }[self.model.norm]
        return norm(name=f"norm_{name}")(x) if norm else x


def feature_costs(model: ResidualNetwork, costs: Any) -> None:
    """The costs of these layers. A stage that would halve a map of one pixel is refused."""
    bias, before = model.norm == "none", model.pre_activation

    def normalise(name: str) -> None:
        if model.norm != "none":
            costs.normalisation(f"norm_{name}", model.norm, model.norm_groups)

    costs.convolution("conv_stem", model.filters[0], model.kernel_size, bias=bias)
    if not before:
        normalise("stem")
    for name, filters, stride in model.blocks():
        if stride > 1 and max(costs.shape[:2]) == 1:
            costs.refuse(f"layer conv_{name}_1 halves a feature map of only 1 pixel", "give filters for fewer stages")
        start = costs.end
        if before:
            normalise(f"{name}_1")
        activated = costs.end
        costs.convolution(f"conv_{name}_1", filters, model.kernel_size, stride, bias=bias)
        normalise(f"{name}_2" if before else f"{name}_1")
        costs.convolution(f"conv_{name}_2", filters, model.kernel_size, bias=bias)
        if not before:
            normalise(f"{name}_2")
        if model.residual:
            main, costs.end = costs.end, start
            if start.shape != main.shape:
                costs.end = activated
                costs.convolution(f"shortcut_{name}", filters, 1, stride, bias=bias)
                if not before:
                    normalise(f"shortcut_{name}")
            costs.add(f"add_{name}", main)
    if before:
        normalise("last")
    costs.global_pooling()


FAMILY = Family(
    spec=ResidualNetwork,
    title="residual network",
    features=features,
    feature_costs=feature_costs,
    idle_fields=(IdleField("norm_groups", lambda model: model.norm != "group", "only group normalisation has groups"),),
    convolutional=True,
    order=3,
)
