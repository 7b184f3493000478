"""From a table and options to a Keras network: backbone, classifier, name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from mobilenet_tf.backbone import backbone_endpoints
from mobilenet_tf.blocks import Tensor, activate
from mobilenet_tf.engine import is_keras_tensor, keras, layers
from mobilenet_tf.layout import MIN_IMAGE_SIZE, Layout, activation_suffix, build_layout, strides_for
from mobilenet_tf.specs import Spec

InputShape = tuple[int | None, int | None, int]
Activation = str | Callable | None


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """What a network is built with, besides its spec.

    Attributes:
        input_shape: (height, width, channels); None for (224, 224, 3).
        alpha: width multiplier, > 0.
        depth_multiplier: V1 only: outputs per input channel of a depthwise
            convolution.
        include_top: with the classifier, or the last feature map.
        input_tensor: an existing Keras tensor to build on.
        classes: outputs of the classifier.
        pooling: without top: None, "avg" or "max".
        dropout_rate: in front of the classifier; None for the spec's own.
        classifier_activation: "softmax", None for logits, or any other.
        include_preprocessing: take [0, 255] and scale inside the model;
            otherwise [-1, 1] is expected.
        name: of the Keras model.
        output_stride: 8, 16 or 32, see `backbone.build_backbone`.
        last_map: least side of the last feature map: 2, 4 or 8, reached by
            dropping the first strides; None keeps the table's strides.
        bn_momentum: None for the spec's own.
    """

    input_shape: InputShape | None = None
    alpha: float = 1.0
    depth_multiplier: int = 1
    include_top: bool = True
    input_tensor: Any = None
    classes: int = 1000
    pooling: str | None = None
    dropout_rate: float | None = None
    classifier_activation: Activation = "softmax"
    include_preprocessing: bool = True
    name: str | None = None
    output_stride: int = 32
    last_map: int | None = None
    bn_momentum: float | None = None


def build_model(spec: Spec, options: ModelOptions) -> keras.Model:
    """Builds a network with random weights.

    Args:
        spec: a table of `specs`.
        options: see `ModelOptions`.

    Returns:
        `keras.Model` from float32 (batch, height, width, channels) to float32
        (batch, classes), rows summing to 1 under softmax; without top to the
        last feature map (batch, h, w, filters), or (batch, filters) if pooled.

    Raises:
        ValueError: a value outside its range.
    """
    _validate(options)
    shape = full_input_shape(options)
    network = _layout(spec, options, shape)
    if options.input_tensor is None:
        image = inputs = layers.Input(shape, name="image")
    else:
        image = options.input_tensor
        if not is_keras_tensor(image):
            image = layers.Input(tensor=image, name="image")
        inputs = keras.utils.get_source_inputs(image)
    x = image
    if options.include_preprocessing:
        x = layers.Rescaling(1.0 / 127.5, offset=-1.0, name="rescaling")(x)
    x = backbone_endpoints(x, network, options.bn_momentum)["final"]
    x = _top(x, network, options) if options.include_top else _pool(x, options.pooling)
    return keras.Model(inputs, x, name=options.name or _default_name(spec, options, shape))


def _validate(options: ModelOptions) -> None:
    if options.classes < 1:
        raise ValueError(f"classes must be 1 or more. Received: classes={options.classes}")
    if options.pooling not in (None, "avg", "max"):
        raise ValueError(f'pooling must be None, "avg" or "max". Received: {options.pooling!r}')
    if not 0 <= (options.dropout_rate or 0) < 1:
        raise ValueError(
            f"dropout_rate must be from 0 to below 1. Received: {options.dropout_rate}"
        )
    if keras.backend.image_data_format() != "channels_last":
        raise ValueError(
            "images must be channels-last, as in TFLite; call "
            'keras.config.set_image_data_format("channels_last"). '
            "Received: channels_first"
        )


def full_input_shape(options: ModelOptions) -> InputShape:
    """(height, width, channels) that options come to; sides may be None.

    Raises:
        ValueError: sides below 32, or another shape than that of `input_tensor`.
    """
    if options.input_tensor is not None:
        tensor_shape = tuple(options.input_tensor.shape[1:])
        if options.input_shape not in (None, tensor_shape):
            raise ValueError(
                f"input_shape must equal the shape of input_tensor, {tensor_shape}; leave it "
                f"out. Received: input_shape={options.input_shape}"
            )
        shape = tensor_shape
    else:
        shape = options.input_shape or (224, 224, 3)
    if len(shape) != 3 or shape[2] is None:
        raise ValueError(
            f"input_shape must be (height, width, channels). Received: input_shape={shape}"
        )
    if any(side is not None and side < MIN_IMAGE_SIZE for side in shape[:2]):
        raise ValueError(
            f"height and width must be at least {MIN_IMAGE_SIZE}. Received: input_shape={shape}"
        )
    return shape


def _layout(spec: Spec, options: ModelOptions, shape: InputShape) -> Layout:
    strides = None
    if options.last_map is not None:
        if shape[0] is None or shape[1] is None:
            raise ValueError(
                "last_map needs a fixed input size; give input_shape. "
                f"Received: input_shape={shape}"
            )
        strides = strides_for(spec, min(shape[0], shape[1]), options.last_map)
    return build_layout(
        spec, options.alpha, strides, options.output_stride, options.depth_multiplier
    )


def _top(x: Tensor, network: Layout, options: ModelOptions) -> Tensor:
    spec, activation = network.spec, options.classifier_activation
    rate = spec.dropout_rate if options.dropout_rate is None else options.dropout_rate
    if spec.version == "v2":
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(rate, name="dropout")(x) if rate else x
        return layers.Dense(options.classes, activation=activation, name="predictions")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    if network.head_filters:
        x = layers.Conv2D(network.head_filters, 1, padding="same", name="conv_2")(x)
        suffix = activation_suffix(spec.last_activation)
        x = activate(x, spec.last_activation, f"conv_2_{suffix}")
    x = layers.Dropout(rate, name="dropout")(x) if rate else x
    name = "conv_preds" if spec.version == "v1" else "logits"
    x = layers.Conv2D(options.classes, 1, padding="same", name=name)(x)
    if spec.version == "v1":
        x = layers.Reshape((options.classes,), name="reshape_2")(x)
    else:
        x = layers.Flatten(name="flatten")(x)
    return layers.Activation(activation, name="predictions")(x)


def _pool(x: Tensor, pooling: str | None) -> Tensor:
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


def _default_name(spec: Spec, options: ModelOptions, shape: InputShape) -> str:
    if spec.version == "v3":
        return "MobileNetV3Large" if "large" in spec.name else "MobileNetV3Small"
    prefix = "mobilenet" if spec.version == "v1" else "mobilenetv2"
    return f"{prefix}_{options.alpha:0.2f}_{shape[0]}"
