"""MobileNetV1, V2, V3Small and V3Large, as keras.applications has them.

Signatures, layer names, weights and outputs equal keras.applications'; our
extras are keyword-only. Deviations, each on purpose:
- every layer is named, so exported files are reproducible;
- `input_shape=None` means (224, 224, 3) for V3 too;
- V1's strided convolutions pad "same", as TF-slim's (where its weights come
  from) do; keras.applications differs on odd maps, such as at 200x200.
"""

from typing import Any

from mobilenet_tf import imagenet, specs
from mobilenet_tf import weights as weight_files
from mobilenet_tf.engine import keras
from mobilenet_tf.models import (
    Activation,
    InputShape,
    ModelOptions,
    build_model,
    full_input_shape,
)
from mobilenet_tf.specs import Spec


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
        height, width, _ = full_input_shape(options)
        size = height if height and height == width else 224
        path = imagenet.download_weights(spec.name, options.alpha, size, options.include_top)
    elif weights is not None:
        weight_files.check_path(weights)
    model = build_model(spec, options)
    if path is not None:
        weight_files.load_weights(model, path)
    return model
