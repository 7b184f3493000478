"""A trained network as plain data: what every export step reads and rewrites.

A `Graph` is a list of operations with their numbers as arrays. `keras_graph`
makes it from a model; folding, quantization and writing are functions of
graphs, and need neither layers nor variables.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

Op = Literal[
    "input",
    "rescale",  # x * scale + offset
    "conv",
    "depthwise",
    "batch_norm",  # x * kernel + bias, per channel
    "relu",
    "relu6",
    "hard_swish",
    "hard_sigmoid",
    "gate",  # relu6(x + 3): hard-sigmoid without its factor of 1/6
    "shift",  # x + offset
    "add",
    "multiply",
    "mean",  # over height and width, which stay as 1 and 1
    "reshape",
    "softmax",
]
Fused = Literal["linear", "relu", "relu6"]


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One operation, named after its output.

    Attributes:
        name: unique in its graph: the Keras layer's name where there is one.
        op: what it computes.
        inputs: names of the nodes that it reads.
        kernel: float32: "conv" (height, width, in, out), "depthwise" (height,
            width, channels, multiplier), "batch_norm" (channels,).
        bias: float32 (out,), of the same three.
        stride, dilation: of the two convolutions, equal in both directions.
        padding: of the two convolutions.
        activation: that ends a convolution or an addition.
        scale, offset: of "rescale" and "shift".
        shape: of the output for one image, such as (height, width, channels).
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    dilation: int = 1
    padding: Literal["same", "valid"] = "same"
    activation: Fused = "linear"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def weighted(self) -> bool:
        """True for the two convolutions."""
        return self.op in ("conv", "depthwise")

    @property
    def kernel_by_channel(self) -> np.ndarray:
        """The kernel as (..., output channels); a depthwise one has them in two axes."""
        kernel = self.numbers()[0]
        return kernel.reshape(*kernel.shape[:2], -1) if self.op == "depthwise" else kernel

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a node that has them."""
        assert self.kernel is not None and self.bias is not None
        return self.kernel, self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can be computed; the last is the output."""

    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def consumers(self) -> dict[str, list[Node]]:
        """Who reads each node."""
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the input."""
        return self.nodes[0].shape

    @property
    def output(self) -> Node:
        """The last node: probabilities."""
        return self.nodes[-1]


def rewrite(graph: Graph, visit: Callable[[Node], list[Node]]) -> Graph:
    """Replaces each node by the nodes that `visit` returns, the last of them in its name's place.

    Readers of a replaced node read the last of its replacements; a node for
    which nothing is returned is bypassed.
    """
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(renamed[name] for name in node.inputs)
        new = visit(dataclasses.replace(node, inputs=inputs))
        nodes.extend(new)
        renamed[node.name] = new[-1].name if new else inputs[0]
    return Graph(tuple(nodes))
