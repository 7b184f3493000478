"""MobileNetV1, V2, V3Small and V3Large, as keras.applications has them.

Signatures, layer names, weights and outputs equal keras.applications'; our
extras are keyword-only. Deviations, each on purpose:
- every layer is named, so exported files are reproducible;
- `input_shape=None` means (224, 224, 3) for V3 too;
- V1's strided convolutions pad "same", as TF-slim's (where its weights come
  from) do; keras.applications differs on odd maps, such as at 200x200.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from mobilenet_tf import imagenet, specs
from mobilenet_tf import weights as weight_files
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
    shape = _input_shape(options)
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


def _input_shape(options: ModelOptions) -> InputShape:
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


def _with_weights(spec: Spec, options: ModelOptions, weights: str | None) -> keras.Model:
    if weights is not None and options.classifier_activation not in ("softmax", None):
        raise ValueError(
            'classifier_activation must be "softmax" or None when weights are loaded. '
            f"Received: {options.classifier_activation!r}"
        )
    path = weights
    if weights == "imagenet":
        if options.include_top and options.classes != imagenet.CLASSES:
            raise ValueError(
                f'weights="imagenet" with its top has {imagenet.CLASSES} classes; use '
                f"include_top=False. Received: classes={options.classes}"
            )
        if options.depth_multiplier != 1:
            raise ValueError(
                'weights="imagenet" exists for depth_multiplier=1 only. '
                f"Received: depth_multiplier={options.depth_multiplier}"
            )
        height, width, _ = _input_shape(options)
        size = height if height and height == width else 224
        path = imagenet.download_weights(spec.name, options.alpha, size, options.include_top)
    elif weights is not None:
        weight_files.check_path(weights)
    model = build_model(spec, options)
    if path is not None:
        weight_files.load_weights(model, path)
    return model


def MobileNetV1(
    input_shape: InputShape | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    profile: str | None = None,
    output_stride: int = 32,
    last_map: int | None = None,
    bn_momentum: float | None = None,
) -> keras.Model:
    """Builds MobileNet V1 (Howard et al. 2017, arXiv:1704.04861, Table 1).

    Drop-in for `keras.applications.MobileNet`.

    Args:
        input_shape: (height, width, channels), sides of at least 32 or None
            for open; None for (224, 224, 3).
        alpha: width multiplier, > 0.
        depth_multiplier: outputs per input channel of each depthwise
            convolution.
        dropout: rate in front of the classifier.
        include_top: with the classifier, or the last feature map.
        weights: "imagenet", a path to a weights file, or None for random ones.
        input_tensor: an existing Keras tensor to build on.
        pooling: without top: None, "avg" or "max".
        classes: outputs of the classifier.
        classifier_activation: "softmax", or None for logits.
        name: of the Keras model.
        include_preprocessing: take [0, 255] and scale inside the model.
        profile: channel counts found by AMC (arXiv:1802.03494): "amc",
            "0.5flops" or "0.5time".
        output_stride: 8, 16 or 32; lower ones turn strides into dilation.
        last_map: least side of the last feature map (2, 4 or 8), reached by
            dropping the first strides; None keeps the paper's strides.
        bn_momentum: of every BatchNormalization; None for 0.99.

    Returns:
        `keras.Model`; input float32 (batch, h, w, channels) in [-1, 1], or in
        [0, 255] with `include_preprocessing`; output float32 (batch, classes),
        rows summing to 1. Without top: (batch, h/32, w/32, 1024 * alpha).

    Raises:
        ValueError: a value outside its range, or "imagenet" for a network
            without published weights.
        FileNotFoundError: `weights` is no existing file.
        ConnectionError: "imagenet" could not be downloaded.
    """
    options = ModelOptions(
        input_shape=input_shape,
        alpha=alpha,
        depth_multiplier=depth_multiplier,
        include_top=include_top,
        input_tensor=input_tensor,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout,
        classifier_activation=classifier_activation,
        include_preprocessing=include_preprocessing,
        name=name,
        output_stride=output_stride,
        last_map=last_map,
        bn_momentum=bn_momentum,
    )
    return _with_weights(specs.get_spec("v1", profile=profile), options, weights)


def MobileNetV2(
    input_shape: InputShape | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    dropout_rate: float = 0.0,
    include_preprocessing: bool = False,
    profile: str | None = None,
    output_stride: int = 32,
    last_map: int | None = None,
    bn_momentum: float | None = None,
) -> keras.Model:
    """Builds MobileNet V2 (Sandler et al. 2018, arXiv:1801.04381, Table 2).

    Drop-in for `keras.applications.MobileNetV2`.

    Args:
        input_shape, alpha, include_top, weights, input_tensor, pooling,
        classes, classifier_activation, name, include_preprocessing,
        output_stride, last_map, bn_momentum: see `MobileNetV1`.
        dropout_rate: in front of the classifier.
        profile: "0.7flops", channel counts found by AMC (arXiv:1802.03494).

    Returns:
        `keras.Model`, see `MobileNetV1`. Without top: (batch, h/32, w/32,
        1280), wider for alpha above 1.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: see `MobileNetV1`.
    """
    options = ModelOptions(
        input_shape=input_shape,
        alpha=alpha,
        include_top=include_top,
        input_tensor=input_tensor,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout_rate,
        classifier_activation=classifier_activation,
        include_preprocessing=include_preprocessing,
        name=name,
        output_stride=output_stride,
        last_map=last_map,
        bn_momentum=bn_momentum,
    )
    return _with_weights(specs.get_spec("v2", profile=profile), options, weights)


def MobileNetV3Small(
    input_shape: InputShape | None = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Activation = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Small",
    *,
    reduced_tail: specs.ReducedTail | None = None,
    output_stride: int = 32,
    last_map: int | None = None,
    bn_momentum: float | None = None,
) -> keras.Model:
    """Builds MobileNetV3-Small (Howard et al. 2019, arXiv:1905.02244, Table 2).

    Drop-in for `keras.applications.MobileNetV3Small`.

    Args:
        input_shape, alpha, include_top, weights, input_tensor, classes,
        pooling, classifier_activation, name, output_stride, last_map,
        bn_momentum: see `MobileNetV1`.
        minimalistic: 3x3 kernels, ReLU, no squeeze-excite.
        dropout_rate: in front of the classifier.
        include_preprocessing: take [0, 255] and scale inside the model.
        reduced_tail: half the channels after the last stride, see
            `specs.with_reduced_tail`.

    Returns:
        `keras.Model`; input float32 (batch, h, w, channels) in [0, 255], or in
        [-1, 1] without `include_preprocessing`; output float32 (batch,
        classes), rows summing to 1. Without top: (batch, h/32, w/32, 576).

    Raises:
        ValueError, FileNotFoundError, ConnectionError: see `MobileNetV1`.
    """
    options = ModelOptions(
        input_shape=input_shape,
        alpha=alpha,
        include_top=include_top,
        input_tensor=input_tensor,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout_rate,
        classifier_activation=classifier_activation,
        include_preprocessing=include_preprocessing,
        name=name,
        output_stride=output_stride,
        last_map=last_map,
        bn_momentum=bn_momentum,
    )
    spec = specs.get_spec("v3", "small", minimalistic, None, reduced_tail)
    return _with_weights(spec, options, weights)


def MobileNetV3Large(
    input_shape: InputShape | None = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Activation = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Large",
    *,
    reduced_tail: specs.ReducedTail | None = None,
    output_stride: int = 32,
    last_map: int | None = None,
    bn_momentum: float | None = None,
) -> keras.Model:
    """Builds MobileNetV3-Large (Howard et al. 2019, arXiv:1905.02244, Table 1).

    Drop-in for `keras.applications.MobileNetV3Large`. Arguments, result and
    errors are those of `MobileNetV3Small`; without top the last feature map has
    960 filters.
    """
    options = ModelOptions(
        input_shape=input_shape,
        alpha=alpha,
        include_top=include_top,
        input_tensor=input_tensor,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout_rate,
        classifier_activation=classifier_activation,
        include_preprocessing=include_preprocessing,
        name=name,
        output_stride=output_stride,
        last_map=last_map,
        bn_momentum=bn_momentum,
    )
    spec = specs.get_spec("v3", "large", minimalistic, None, reduced_tail)
    return _with_weights(spec, options, weights)
