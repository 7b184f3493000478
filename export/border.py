"""The image of an integer file: raw bytes with a border, instead of shifted ones.

Networks shift an image so that 0 is the middle of its range, because a
convolution pads with 0. A file of integers needs no addition for that: the
bytes 128 are put around the image as constants, which is a copy, and the first
bias takes the shift. All sums stay the same integers.
"""

import dataclasses

import numpy as np

from export.graph import Graph, Node, rewrite
from export.quantization.scales import Quantization, TensorScale, stored_weights

_ROWS, _COLUMNS = 1, 2  # Axes of (batch, height, width, channels).


def border_instead_of_shift(graph: Graph, quantization: Quantization) -> tuple[Graph, Quantization]:
    """Replaces a shift that int8 convolutions read by borders and their biases.

    Args:
        graph: in the export form, its kernels as they will be rounded.
        quantization: of its nodes.

    Returns:
        A graph and scales that make a file with the same outputs; the given
        ones where there is no such shift.
    """
    consumers = graph.consumers()
    scales = dict(quantization.scales)
    shifts: dict[str, Node] = {}  # By name of their reader.
    for node in graph.nodes:
        readers = consumers[node.name]
        if node.op == "shift" and len(readers) == 1 and _in_bytes([node, *readers], quantization):
            shifts[readers[0].name] = node

    removed = {shift.name for shift in shifts.values()}

    def visit(node: Node) -> list[Node]:
        if node.name in removed:
            return []
        shift = shifts.get(node.name)
        if shift is None:
            return [node]
        image = graph[shift.inputs[0]]
        borders = _borders(node, image, -shift.offset)
        scales.update({border.name: scales[image.name] for border in borders})
        inputs = (borders[-1].name,) if borders else node.inputs
        bias = _bias_with_shift(node, shift.offset, scales[shift.name])
        return [*borders, dataclasses.replace(node, inputs=inputs, padding="valid", bias=bias)]

    return rewrite(graph, visit), dataclasses.replace(quantization, scales=scales)


def _in_bytes(nodes: list[Node], quantization: Quantization) -> bool:
    """The shift and what reads it: computed in int8, a byte of the image being one step."""
    shift, reader = nodes
    scale = quantization.scales.get(shift.name)
    return (
        scale is not None
        and scale.bits == 8
        and scale.scale == 1.0
        and shift.offset.is_integer()
        and reader.weighted
        and all(quantization.computes_in_integers(node.name) for node in nodes)
    )


def _borders(reader: Node, image: Node, value: float) -> list[Node]:
    """What a "same" convolution pads, as nodes; none where it pads nothing."""
    borders: list[Node] = []
    source = image
    for axis in (_ROWS, _COLUMNS):
        before, after = _padding(reader, image, axis)
        if before or after:
            shape = list(source.shape)
            shape[axis - 1] += before + after
            source = Node(
                f"{image.name}_border_{axis}",
                "border",
                (source.name,),
                tuple(shape),
                offset=value,
                axis=axis,
                border=(before, after),
            )
            borders.append(source)
    return borders


def _padding(reader: Node, image: Node, axis: int) -> tuple[int, int]:
    """Slices that TensorFlow's "same" adds before and after, see tf.nn.convolution."""
    if reader.padding == "valid":
        return 0, 0
    window = (reader.numbers()[0].shape[axis - 1] - 1) * reader.dilation + 1
    size = image.shape[axis - 1]
    steps = -(-size // reader.stride)
    total = max((steps - 1) * reader.stride + window - size, 0)
    return total // 2, total - total // 2


def _bias_with_shift(node: Node, offset: float, scale: TensorScale) -> np.ndarray:
    """float64 (channels,): a whole number of steps above the stored bias."""
    stored = stored_weights(node.kernel_by_channel, node.numbers()[1], scale)
    sums = stored.kernel.reshape(-1, len(stored.bias)).sum(axis=0, dtype=np.float64)
    return (stored.bias + offset * sums) * stored.bias_scales.astype(np.float64)
