"""Small graphs that several export tests use."""

import numpy as np

from export.graph import Graph, Node


def conv(name, source, kernel, bias, shape, activation="linear", **extra) -> Node:
    """A convolution with the numbers given, as float32."""
    kernel, bias = np.asarray(kernel, np.float32), np.asarray(bias, np.float32)
    return Node(
        name, "conv", (source,), shape, kernel=kernel, bias=bias, activation=activation, **extra
    )


def pointwise(weights, bias, activation="linear") -> Graph:
    """image (2, 2, 3), shift by -127.5, one 1x1 convolution, mean, reshape, softmax."""
    kernel = np.asarray(weights, np.float32)[np.newaxis, np.newaxis]
    classes = kernel.shape[-1]
    return Graph(
        (
            Node("image", "input", (), (2, 2, 3)),
            Node("rescaling", "shift", ("image",), (2, 2, 3), offset=-127.5),
            conv("conv", "rescaling", kernel, bias, (2, 2, classes), activation),
            Node("pool", "mean", ("conv",), (1, 1, classes)),
            Node("flatten", "reshape", ("pool",), (classes,)),
            Node("predictions", "softmax", ("flatten",), (classes,)),
        )
    )
