"""The phones that can be modelled, and what is known to be wrong and therefore refused."""

import dataclasses
from collections.abc import Sequence

from export.inspection.file_graph import Graph
from export.inspection.precision import quantization
from mobilenet_tf import cli

# What the fitted networks are made of.
_KNOWN_OPS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "DEQUANTIZE",
        "FULLY_CONNECTED",
        "HARD_SWISH",
        "MEAN",
        "MUL",
        "PAD",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RELU_0_TO_1",
        "RESHAPE",
        "SOFTMAX",
        "SQUEEZE",
        "SUB",
    }
)


# Counted for all phones: a big core without dot products. Kernels for other
# such cores differ in order more than in number of instructions.
CORE = "pixel1"


class Refused(cli.WorkError):
    """No honest estimate exists; the message says why."""


@dataclasses.dataclass(frozen=True)
class Device:
    """A phone.

    Attributes:
        name: of `--device`.
        title: the phone and its big core.
        has_dot: whether the phone's core has int8 dot products.
        scale_table: whose milliseconds are given; name of a table.
    """

    name: str
    title: str
    has_dot: bool
    scale_table: str


DEVICES = {
    device.name: device
    for device in (
        Device("pixel1", "Pixel, Snapdragon 821, Kryo", False, "xnnpack-pixel1"),
        Device("pixel2", "Pixel 2, Snapdragon 835, Kryo 280", False, "xnnpack-pixel2"),
        Device("pixel3", "Pixel 3, Snapdragon 845, Kryo 385", True, "slim-v3-pixel3"),
        Device("pixel3a", "Pixel 3a, Snapdragon 670, Kryo 360", True, "xnnpack-pixel3a"),
    )
}
_BOARD = (
    "a Raspberry Pi waits for its memory in float32, which counts do not see: by XNNPACK's README "
    "four of its cores take as long as one of a Pixel; measure there with "
    "python -m benchmarks.latency"
)
_NO_TABLE = "no table of one thread was found for it; measure on the device itself"
# Devices that people will ask for, and why there is no estimate.
REFUSED = {"rpi3": _BOARD, "rpi4": _BOARD, "rpi5": _NO_TABLE, "pixel4": _NO_TABLE}


def find_device(name: str) -> Device:
    """The device of a name.

    Raises:
        UsageError: an unknown name.
        Refused: a device whose estimate is known to be wrong.
    """
    if name in REFUSED:
        raise Refused(f"no estimate for {name}: {REFUSED[name]}")
    if name not in DEVICES:
        known = ", ".join(DEVICES)
        raise cli.UsageError(f"--device must be one of {known}. Received: {name}")
    return DEVICES[name]


def check_threads(num_threads: int) -> None:
    """Refuses more than one thread."""
    if num_threads != 1:
        raise Refused(
            "no estimate for several threads: how work scales over a phone's cores is not in the "
            f"counts; leave --num-threads out. Received: {num_threads}"
        )


def form_of(graph: Graph) -> str:
    """How a file computes: "float32" or "int8".

    Args:
        graph: of the file.

    Raises:
        Refused: another form, of which no latency was published.
    """
    kinds = quantization(graph).split(" + ")
    forms = {_FORMS.get(kind, "") for kind in kinds}
    if not forms <= {"float32", "int8"}:
        raise Refused(
            "no estimate for this form: published tables hold float32 and int8 networks only. "
            f"Received: {' + '.join(kinds)}"
        )
    return "int8" if "int8" in forms else "float32"


_FORMS = {
    "float32": "float32",
    "float16 weights, float32 arithmetic": "float32",  # Unpacked once, when it is loaded.
    "int8 per channel": "int8",
    "int8 per tensor": "int8",
    "uint8 per tensor": "int8",
}


def check_form(device: Device, form: str) -> None:
    """Refuses int8 where the phone would use dot products."""
    if device.has_dot and form == "int8":
        raise Refused(
            f"no int8 estimate for {device.name}: its core has int8 dot products, and no table of "
            "one thread tells what they gain; use pixel1 or pixel2, or compare "
            "python -m benchmarks.arm counts"
        )


def check_size(instructions: int, fitted: Sequence[int]) -> None:
    """Refuses networks of another size than those that the error was found on."""
    low, high = min(fitted), max(fitted)
    if not low / 2 <= instructions <= 2 * high:
        raise Refused(
            f"no estimate for this size: the tables' networks take {low / 1e6:.1f} to "
            f"{high / 1e6:.1f} M instructions, and half and twice that are the limits; measure on "
            f"the phone. Received: {instructions / 1e6:.2f} M"
        )


def notes(graph: Graph) -> list[str]:
    """Why an estimate deserves less trust than its error says.

    Args:
        graph: of the file.

    Returns:
        One line per reason.
    """
    found = []
    unknown = sorted(set(graph.census) - _KNOWN_OPS)
    if unknown:
        found.append(f"not in any network of the fit: {', '.join(unknown)}")
    if len(set(quantization(graph).split(" + "))) > 1:
        found.append("layers of several forms, as in no network of the fit")
    large = _full_convolutions(graph)
    if large > 1:
        found.append(
            f"{large} full convolutions of more than 1x1, of which MobileNets have one: "
            "another mix of operations than in the fit"
        )
    return found


def _full_convolutions(graph: Graph) -> int:
    """CONV_2D operations that look beyond one pixel; the kernel is (filters, height, width, in)."""
    kernels = [graph.tensors[op.inputs[1]].shape for op in graph.ops if op.name == "CONV_2D"]
    return sum(len(shape) == 4 and shape[1] * shape[2] > 1 for shape in kernels)
