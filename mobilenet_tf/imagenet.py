"""ImageNet: where the official weights lie, preprocessing and class names."""

import re
from collections.abc import Sequence

import numpy as np

from mobilenet_tf.engine import keras

_BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
CLASSES = 1000

# The widths and input sizes that have published weights.
ALPHAS: dict[str, tuple[float, ...]] = {
    "v1": (0.25, 0.5, 0.75, 1.0),
    "v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "v3_large": (0.75, 1.0),
    "v3_small": (0.75, 1.0),
    "v3_large_minimalistic": (1.0,),
    "v3_small_minimalistic": (1.0,),
}
IMAGE_SIZES: dict[str, tuple[int, ...]] = {
    "v1": (128, 160, 192, 224),
    "v2": (96, 128, 160, 192, 224),
    "v3": (224,),
}

# MD5 of the files, as published with keras.applications (V3), and of the one V1
# file that was at hand. The others are published without a hash.
_HASHES = {
    "weights_mobilenet_v3_large_224_0.75_float.h5": "765b44a33ad4005b3ac83185abf1d0eb",
    "weights_mobilenet_v3_large_224_0.75_float_no_top_v2.h5": "40af19a13ebea4e2ee0c676887f69a2e",
    "weights_mobilenet_v3_large_224_1.0_float.h5": "59e551e166be033d707958cf9e29a6a7",
    "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5": "07fb09a5933dd0c8eaafa16978110389",
    "weights_mobilenet_v3_large_minimalistic_224_1.0_float.h5": "675e7b876c45c57e9e63e6d90a36599c",
    "weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2.h5": (
        "ec5221f64a2f6d1ef965a614bdae7973"
    ),
    "weights_mobilenet_v3_small_224_0.75_float.h5": "cb65d4e5be93758266aa0a7f2c6708b7",
    "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5": "ebdb5cc8e0b497cd13a7c275d475c819",
    "weights_mobilenet_v3_small_224_1.0_float.h5": "8768d4c2e7dee89b9d02b2d03d65d862",
    "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5": "d3e8ec802a04aa4fc771ee12a9a9b836",
    "weights_mobilenet_v3_small_minimalistic_224_1.0_float.h5": "99cd97fb2fcdad2bf028eb838de69e37",
    "weights_mobilenet_v3_small_minimalistic_224_1.0_float_no_top_v2.h5": (
        "cde8136e733e811080d9fcd8a252f7e4"
    ),
    "mobilenet_2_5_224_tf_no_top.h5": "f313cee49f5d33dfb06f2b255c4adb64",
}


def weights_url(spec_name: str, alpha: float, image_size: int, include_top: bool) -> str:
    """URL of the official weights.

    Args:
        spec_name: a key of `ALPHAS`.
        alpha: one of `ALPHAS[spec_name]`.
        image_size: of the square input; sizes without weights of their own
            take those for 224.
        include_top: with the 1000-class classifier or without.

    Returns:
        The URL; its last part is the file's name.

    Raises:
        ValueError: a network or an alpha without published weights.
    """
    if spec_name not in ALPHAS:
        raise ValueError(
            f'weights="imagenet" exists for {", ".join(ALPHAS)}; use weights=None. '
            f"Received: {spec_name}"
        )
    if alpha not in ALPHAS[spec_name]:
        raise ValueError(
            f'weights="imagenet" of {spec_name} exists for alpha {ALPHAS[spec_name]}; '
            f"choose one or use weights=None. Received: alpha={alpha}"
        )
    family = "v3" if spec_name.startswith("v3") else spec_name
    size = image_size if image_size in IMAGE_SIZES[family] else 224
    if family == "v1":
        text = f"{alpha:.2f}".rstrip("0") if alpha < 1 else "1.0"
        digits = {"0.25": "2_5", "0.5": "5_0", "0.75": "7_5", "1.0": "1_0"}[text]
        name = f"mobilenet_{digits}_{size}_tf{'' if include_top else '_no_top'}.h5"
        return f"{_BASE_URL}mobilenet/{name}"
    if family == "v2":
        top = "" if include_top else "_no_top"
        name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}{top}.h5"
        return f"{_BASE_URL}mobilenet_v2/{name}"
    kind = spec_name.removeprefix("v3_")
    top = "" if include_top else "_no_top_v2"
    name = f"weights_mobilenet_v3_{kind}_224_{float(alpha)}_float{top}.h5"
    return f"{_BASE_URL}mobilenet_v3/{name}"


def download_weights(spec_name: str, alpha: float, image_size: int, include_top: bool) -> str:
    """Fetches the official weights into Keras' cache.

    Returns:
        Path of the file. A file already in the cache is used as it is.

    Raises:
        ValueError: see `weights_url`.
        ConnectionError: the file is not cached and cannot be fetched.
    """
    url = weights_url(spec_name, alpha, image_size, include_top)
    name = url.rsplit("/", 1)[1]
    try:
        return keras.utils.get_file(name, url, cache_subdir="models", file_hash=_HASHES.get(name))
    except Exception as error:  # Keras raises bare Exception when it cannot fetch.
        reason = re.sub(r"\s+", " ", str(error))
        raise ConnectionError(
            f'weights="imagenet" must be downloaded and could not be; go online once, put '
            f"{name} into ~/.keras/models, pass the file's path, or use weights=None. "
            f"Received: {reason}"
        ) from None


def preprocess_input(x: np.ndarray) -> np.ndarray:
    """Scales images for the networks built without preprocessing layers.

    Unlike keras.applications' it never writes into its argument.

    Args:
        x: numbers in [0, 255], any shape.

    Returns:
        float32 in [-1, 1], the same shape.
    """
    return np.asarray(x, np.float32) / 127.5 - 1.0


def decode_predictions(
    probabilities: np.ndarray, class_names: Sequence[str], top: int = 5
) -> list[list[tuple[str, float]]]:
    """The most probable classes of each image, most probable first.

    Args:
        probabilities: float (batch, classes), each row summing to 1.
        class_names: one per class, in the order of the outputs.
        top: how many to return; all where there are fewer.

    Returns:
        For each image a list of (class name, probability).

    Raises:
        ValueError: the numbers of classes and names differ.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(class_names):
        raise ValueError(
            f"probabilities must have shape (batch, {len(class_names)}), one column per class "
            f"name. Received: shape={probabilities.shape}"
        )
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(class_names[i], float(row[i])) for i in indices]
        for row, indices in zip(probabilities, best)
    ]
