"""All that can be said about a .tflite: one place for reports, checks and the command line."""

import collections
import dataclasses

from export.flatbuffer import read_file
from export.inspection.attachments import Attachments
from export.inspection.clients import Finding, findings
from export.inspection.file_graph import Graph, Tensor, read_graph
from export.inspection.partitions import Partitions, count_partitions
from export.inspection.precision import Leftover, float_leftovers, quantization
from export.inspection.runtime_versions import MinimumRuntime, minimum_runtime


@dataclasses.dataclass(frozen=True)
class StaticFacts:
    """What the bytes of a .tflite tell; nothing was run.

    Attributes:
        size_bytes: of the file.
        weight_bytes: dtype to bytes of the constants.
        quantization: of the layers with weights; see `precision.quantization`.
        inputs, outputs: of the main subgraph.
        signatures: names.
        subgraphs: how many; more than 1 for control flow.
        op_census: operation to count, most frequent first.
        float_leftovers: see `precision.float_leftovers`.
        minimum_runtime: counted from the operations.
        declared_runtime: what the converter wrote into the file; "" if nothing.
        attachments: metadata and labels.
        findings: what clients refuse.
    """

    size_bytes: int
    weight_bytes: dict[str, int]
    quantization: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    signatures: tuple[str, ...]
    subgraphs: int
    op_census: dict[str, int]
    float_leftovers: tuple[Leftover, ...]
    minimum_runtime: MinimumRuntime
    declared_runtime: str
    attachments: Attachments
    findings: tuple[Finding, ...]


@dataclasses.dataclass(frozen=True)
class FileFacts(StaticFacts):
    """What a .tflite is made of, and how the interpreter takes it.

    Attributes:
        partitions: of XNNPACK.
    """

    partitions: Partitions


def inspect_file(path: str) -> FileFacts:
    """Reads a .tflite of any maker and loads it in the interpreter, in another process.

    Args:
        path: of the file.

    Returns:
        `FileFacts`; a model that does not load is no error, see `FileFacts.partitions`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an intact .tflite file; names the file.
    """
    content = read_file(path)
    try:
        static = inspect_content(content)
    except ValueError as error:
        raise ValueError(
            "the model must be an intact .tflite file; convert or download it again. "
            f"Received: {path} ({error})"
        ) from None
    values = {field.name: getattr(static, field.name) for field in dataclasses.fields(static)}
    return FileFacts(**values, partitions=count_partitions(path))


def inspect_content(content: bytes) -> StaticFacts:
    """Describes a .tflite without running it.

    Args:
        content: of the file, however hostile.

    Returns:
        `StaticFacts`.

    Raises:
        ValueError: not an intact .tflite file.
    """
    graph = read_graph(content)
    return StaticFacts(
        size_bytes=len(content),
        weight_bytes=_weight_bytes(graph),
        quantization=quantization(graph),
        inputs=graph.inputs,
        outputs=graph.outputs,
        signatures=graph.signatures,
        subgraphs=graph.subgraphs,
        op_census=graph.census,
        float_leftovers=float_leftovers(graph),
        minimum_runtime=minimum_runtime(graph.versions),
        declared_runtime=graph.declared_runtime,
        attachments=graph.attachments,
        findings=findings(graph),
    )


def _weight_bytes(graph: Graph) -> dict[str, int]:
    sizes: collections.Counter[str] = collections.Counter()
    for tensor in graph.tensors:
        if tensor.is_constant:
            sizes[tensor.dtype] += tensor.size_bytes
    return dict(sizes.most_common())
