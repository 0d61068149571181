"""Parameters, multiply-accumulates and receptive field of any built Keras model, counted in one forward pass.

For models without closed forms. The model is called once on a blank image; each call of a Keras layer is counted by its
type, its weights and the shapes that go in and come out, layers inside of models and of the user's own layers included,
a shared layer once for each call. What cannot be counted by its type is named instead of being passed over. The tests
hold it against the closed forms of convlab's families.

Receptive fields are propagated as in ``models.cost.LayerCosts``: windows make them larger, layers that work on each
position alone keep them, where branches meet the larger one is taken, and attention and vectors see all pixels. Keras
is passed in.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from convlab.models.cost import Cost, Layer

OWN_MACS = {
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
    *("SeparableConv1D", "SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    *("MultiHeadAttention", "Embedding"),
}
"""Keras layers whose MACs are counted by a formula for their type."""

POINTWISE = {
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "Masking"),
    *("BatchNormalization", "LayerNormalization", "RMSNormalization", "GroupNormalization", "UnitNormalization"),
    *("SpectralNormalization", "Normalization", "Rescaling", "Add", "Subtract", "Multiply", "Average", "Maximum"),
    *("Minimum", "Concatenate", "Reshape", "Permute", "Flatten", "RepeatVector", "InputLayer", "Cropping2D"),
    *("ZeroPadding2D", "ZeroPadding1D", "Cropping1D", "Embedding", "Dense", "EinsumDense", "RandomFlip"),
    *("RandomTranslation", "RandomRotation", "RandomZoom", "RandomContrast", "RandomBrightness", "RandomCrop"),
    *(
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "CategoryEncoding",
    ),
}
"""Keras layers that work on each position, or put positions together, without MACs beyond those counted."""

WINDOWS = {
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D", "Conv2DTranspose"),
    "UpSampling2D",
}
"""Keras layers with a window over rows and columns."""

SEES_ALL = {"MultiHeadAttention"}
"""Keras layers each of whose outputs depends on all positions."""

POINTWISE_OPERATIONS = {
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Negative", "Absolute", "Square"),
    *("Sqrt", "Rsqrt", "Exp", "Log", "Log1p", "Tanh", "Sigmoid", "Relu", "Relu6", "Gelu", "Silu", "Elu", "Selu"),
    *("Softmax", "LogSoftmax", "LeakyRelu", "HardSigmoid", "HardSilu", "Softplus", "Softsign", "Mish", "Celu", "Clip"),
    *("Cast", "Reshape", "Transpose", "Concatenate", "Stack", "Squeeze", "ExpandDims", "Where", "Power", "Cos", "Sin"),
    *("GetItem", "Mean", "Sum", "Max", "Min", "Pad", "Identity", "ZerosLike", "OnesLike", "Split", "Sign"),
}
"""Operations of ``keras.ops`` in a graph that are no products of matrices."""


@dataclass(frozen=True)
class _Field:
    """Receptive field and jump of each unit, input pixels, by rows and columns."""

    size: tuple[float, float] = (1, 1)
    jump: tuple[float, float] = (1, 1)

    @property
    def side(self) -> int:
        return math.ceil(max(self.size))

    @property
    def sees_all(self) -> bool:
        """Whether each unit depends on all pixels, so that it has no position."""
        return math.isinf(max(self.jump))


def built_cost(model: Any, input_shape: tuple[int, int, int], keras: Any) -> Cost:
    """Layers and totals of a built model.

    Args:
        model: a Keras model that takes images.
        input_shape: (height, width, channels).

    Returns:
        Cost: its layers in the order of the calls; ``uncounted`` has the kinds of layers that are not counted.
    """
    blank = keras.ops.zeros((1, *input_shape), dtype="float32")
    trace = _Trace(keras, input_shape)
    trace.keep(blank, _Field())
    with _calls(keras, trace.called):
        model(blank, training=False)
    windows = any(layer.window for layer in trace.layers)
    first = Layer("input", tuple(input_shape), 0, 0, 1 if windows else trace.whole_image)
    return Cost((first, *trace.layers), tuple(sorted(trace.uncounted)))


def as_json(cost: Cost) -> dict[str, Any]:
    """A cost as a description has it, totals included."""
    return {
        "parameters": cost.parameters,
        "macs": cost.macs,
        "receptive_field": cost.receptive_field,
        "uncounted": list(cost.uncounted),
        "layers": [asdict(layer) for layer in cost.layers],
    }


def cost_of(description: Mapping[str, Any]) -> Cost:
    """The cost that a description has."""
    layers = tuple(
        Layer(**{name: tuple(value) if isinstance(value, list) else value for name, value in layer.items()})
        for layer in description["layers"]
    )
    return Cost(layers, tuple(description["uncounted"]))


@contextmanager
def _calls(keras: Any, called: Callable[[Any, Callable, tuple, dict], Any]) -> Iterator[None]:
    """While the block lasts, ``called(layer, call, arguments, keywords)`` stands for each call of a layer or operation.

    ``call`` is the call itself, and ``called`` returns what it returns.
    """
    originals = {kind: kind.__call__ for kind in (keras.Layer, keras.Operation)}

    def of_layer(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return called(self, originals[keras.Layer].__get__(self), arguments, keywords)

    def of_operation(self: Any, *arguments: Any, **keywords: Any) -> Any:
        call = originals[keras.Operation].__get__(self)
        if isinstance(self, keras.Layer):  # whose own __call__ comes here
            return call(*arguments, **keywords)
        return called(self, call, arguments, keywords)

    keras.Layer.__call__, keras.Operation.__call__ = of_layer, of_operation
    try:
        yield
    finally:
        keras.Layer.__call__, keras.Operation.__call__ = originals[keras.Layer], originals[keras.Operation]


class _Trace:
    """What the calls of one forward pass have shown.

    Attributes:
        layers: those that were counted, in the order of their calls.
        uncounted: kinds of layers and operations that could not be.
        whole_image: receptive field, pixels, of what depends on all of them.
    """

    def __init__(self, keras: Any, input_shape: tuple[int, int, int]) -> None:
        self.keras = keras
        self.layers: list[Layer] = []
        self.uncounted: set[str] = set()
        self.whole_image = max(input_shape[:2])
        self.all_pixels = _Field((self.whole_image,) * 2, (math.inf, math.inf))
        self._fields: dict[int, tuple[Any, _Field]] = {}  # by id, with the tensor, so that no other gets its id
        self._inside: list[tuple[list[_Field], list[Any]]] = []  # fields and layers in those that are being called
        self._in_leaf = False
        self._counted: set[int] = set()  # ids of variables whose parameters are counted

    def keep(self, tensor: Any, field: _Field) -> None:
        self._fields[id(tensor)] = (tensor, field)

    def field_of(self, tensors: Sequence[Any]) -> _Field:
        """The larger of the tensors' receptive fields.

        What the user's own layer computes without a layer is taken to depend on all that it has seen and made so far.
        """
        known = [self._fields[id(tensor)][1] for tensor in tensors if id(tensor) in self._fields]
        if len(known) < len(tensors) and self._inside:
            known += self._inside[-1][0]
        return _larger(known)

    def called(self, layer: Any, call: Callable, arguments: tuple, keywords: dict) -> Any:
        """Count a call of a layer or operation, and of those that it makes in turn."""
        if self._in_leaf:
            return call(*arguments, **keywords)
        kind = type(layer).__name__
        inputs = self._tensors((arguments, keywords))
        before = self.field_of(inputs)
        built_in = type(layer).__module__.startswith("keras.")
        leaf = built_in and (
            kind in OWN_MACS | POINTWISE | WINDOWS | SEES_ALL or not isinstance(layer, self.keras.Layer)
        )
        self._inside.append(([before], []))
        self._in_leaf = leaf
        try:
            output = call(*arguments, **keywords)
        finally:
            self._in_leaf = False
        fields, inner = self._inside.pop()
        outputs = self._tensors(output)
        if not leaf:
            self._name_uncounted(layer, kind, inner, outputs)
            after = _larger(fields)
            outputs = [tensor for tensor in outputs if id(tensor) not in self._fields]
            after = self.all_pixels if outputs and all(tensor.ndim <= 2 for tensor in outputs) else after
        else:
            after = self._after(layer, kind, before, inputs, outputs)
            if isinstance(layer, self.keras.Layer):
                named = dict(zip(("query", "value", "key"), arguments, strict=False)) | keywords
                attended = [named[name] for name in ("query", "value", "key") if named.get(name) is not None]
                self._add(layer, kind, attended if kind in SEES_ALL else inputs, outputs, after)
            elif kind not in POINTWISE_OPERATIONS:
                self.uncounted.add(kind)
        for tensor in outputs:
            self.keep(tensor, after)
        if self._inside:
            self._inside[-1][0].append(after)
            self._inside[-1][1].append(layer)
        return output

    def _tensors(self, nested: Any) -> list[Any]:
        """All tensors in nested arguments."""
        flat = self.keras.tree.flatten(nested)
        return [part for part in flat if hasattr(part, "shape") and hasattr(part, "dtype") and hasattr(part, "ndim")]

    def _name_uncounted(self, layer: Any, kind: str, inside: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Name a layer that is neither known by its type nor made of layers that are, or has weights beside theirs."""
        layers = [inner for inner in inside if isinstance(inner, self.keras.Layer)]
        of_inner = {id(variable) for inner in layers for variable in inner.weights}
        own = [variable for variable in layer.weights if id(variable) not in of_inner | self._counted]
        self._counted.update(map(id, own))
        own_weights = [variable for variable in own if "seed" not in variable.name]
        if own_weights:
            parameters = sum(math.prod(variable.shape) for variable in own_weights)
            shape = tuple(int(size) for size in outputs[0].shape[1:])
            self.layers.append(Layer(layer.name, shape, parameters, 0, 0))
        if (own_weights or not layers) and not isinstance(layer, self.keras.Model):
            self.uncounted.add(kind)

    def _add(self, layer: Any, kind: str, inputs: Sequence[Any], outputs: Sequence[Any], after: _Field) -> None:
        """Append a layer; one without weights, MACs or window only where it changes the shape."""
        weights = [variable for variable in layer.weights if id(variable) not in self._counted]
        self._counted.update(map(id, weights))
        parameters = sum(math.prod(variable.shape) for variable in weights if "seed" not in variable.name)
        shape = tuple(int(size) for size in outputs[0].shape[1:])
        macs = _macs(layer, kind, inputs, shape)
        window = max(_window(layer)) if kind in WINDOWS else 0
        if parameters or macs or window or shape != tuple(inputs[0].shape[1:]):
            field = after.side if len(shape) > 1 else 0
            self.layers.append(Layer(layer.name, shape, parameters, macs, field, window))

    def _after(self, layer: Any, kind: str, before: _Field, inputs: Sequence[Any], outputs: Sequence[Any]) -> _Field:
        """Receptive field of what a layer gives."""
        if before.sees_all or all(tensor.ndim <= 2 for tensor in outputs) or kind in SEES_ALL:
            return self.all_pixels
        if kind in ("Reshape", "Permute", "Transpose") and outputs[0].shape[-1] != inputs[0].shape[-1]:
            return self.all_pixels  # positions become features, and units have no one position any more
        if kind in WINDOWS:
            return _through_window(layer, kind, before)
        if kind in OWN_MACS | POINTWISE | POINTWISE_OPERATIONS:
            return before
        return self.all_pixels  # such as Conv1D, whose positions are no rows and columns any more


def _larger(fields: Sequence[_Field]) -> _Field:
    """The receptive field where branches meet: the larger size, and the larger jump, by rows and columns."""
    if not fields:
        return _Field()
    if all_pixels := next((field for field in fields if field.sees_all), None):
        return all_pixels
    sizes, jumps = zip(*(field.size for field in fields), strict=True), zip(*(f.jump for f in fields), strict=True)
    return _Field(tuple(map(max, sizes)), tuple(map(max, jumps)))


def _window(layer: Any) -> tuple[int, int]:
    """Rows and columns of a layer's kernel or pooling window, before dilation."""
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None) or layer.size
    return (size, size) if isinstance(size, int) else tuple(size)


def _through_window(layer: Any, kind: str, before: _Field) -> _Field:
    """Receptive field after a window: r + (k - 1) d j, then j s; a transposed convolution divides the jump."""
    window = _window(layer)
    if kind == "UpSampling2D":
        between = 0 if layer.interpolation == "nearest" else 1
        size = tuple(r + between * j for r, j in zip(before.size, before.jump, strict=True))
        return _Field(size, tuple(j / s for j, s in zip(before.jump, window, strict=True)))
    strides, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (layer.strides, getattr(layer, "dilation_rate", 1))
    )
    steps = list(zip(before.size, before.jump, window, strides, dilation, strict=True))
    if kind == "Conv2DTranspose":
        size = tuple(r + (math.ceil(k / s) - 1) * j for r, j, k, s, _ in steps)
        return _Field(size, tuple(j / s for _, j, _, s, _ in steps))
    return _Field(tuple(r + (k - 1) * d * j for r, j, k, _, d in steps), tuple(j * s for _, j, _, s, _ in steps))


def _macs(layer: Any, kind: str, inputs: Sequence[Any], shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one call for one image, without biases; ``shape`` is that of its output."""
    taken = tuple(int(size) for size in inputs[0].shape[1:])
    if kind == "MultiHeadAttention":
        return _attention_macs(layer, [tuple(map(int, tensor.shape[1:])) for tensor in inputs], shape)
    if kind == "EinsumDense":
        return _einsum_macs(layer.equation, tuple(layer.kernel.shape), shape)
    if kind == "Dense":
        return math.prod(taken[:-1]) * math.prod(layer.kernel.shape)
    if kind not in OWN_MACS or kind == "Embedding":
        return 0
    channels_last = layer.data_format != "channels_first"
    positions = math.prod((taken if "Transpose" in kind else shape)[slice(-1) if channels_last else slice(1, None)])
    if kind.startswith("Separable"):
        return positions * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    return positions * math.prod(layer.kernel.shape)


def _einsum_macs(equation: str, kernel: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """MACs of ``EinsumDense``: each output is a sum over the letters of the kernel that the output lacks."""
    inputs, output = equation.replace(" ", "").split("->")
    letters = inputs.split(",")[1].replace("...", "")
    summed = [size for letter, size in zip(letters, kernel, strict=True) if letter not in output]
    return math.prod(shape) * math.prod(summed)


def _attention_macs(layer: Any, inputs: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> int:
    """MACs of multi-head attention: the four projections, queries with keys, and weights with values.

    Vaswani et al., Attention Is All You Need, 2017, section 3.2.2. Positions are all axes but the last.
    """
    query, value = inputs[0], inputs[1]
    key = inputs[2] if len(inputs) > 2 else value
    queries, keys = math.prod(query[:-1]), math.prod(value[:-1])
    keys_width, values_width = layer.num_heads * layer.key_dim, layer.num_heads * layer.value_dim
    projections = keys_width * (queries * query[-1] + keys * key[-1])
    projections += values_width * (keys * value[-1] + queries * shape[-1])
    return projections + queries * keys * (keys_width + values_width)
