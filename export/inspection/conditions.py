"""What `clients.RULES` look for in a model: each gives the places as text, or nothing."""

from collections.abc import Callable, Iterable

from export.inspection.client_ops import NNAPI_VERSIONS
from export.inspection.file_graph import QUANTIZED, Graph, Op
from export.inspection.precision import computes_in_float, float_leftovers, is_quantized

_SHAPE_OPS = frozenset({"SHAPE", "PACK", "STRIDED_SLICE"})


def ops_outside(supported: frozenset[str]) -> Callable[[Graph], Iterable[str]]:
    """Operations that are not in a list."""
    return lambda graph: [op.name for op in graph.ops if op.name not in supported]


def ops_named(name: str) -> Callable[[Graph], Iterable[str]]:
    """Operations of a name."""
    return lambda graph: [op.name for op in graph.ops if op.name == name]


def custom(graph: Graph) -> list[str]:
    """Operations that are none of the runtime's own."""
    return [op.name for op in graph.ops if op.is_custom]


def _types(graph: Graph, op: Op) -> set[str]:
    return {graph.tensors[i].dtype for i in op.inputs + op.outputs}


def quantized(name: str) -> Callable[[Graph], Iterable[str]]:
    """Operations of a name that compute in integers."""

    def find(graph: Graph) -> list[str]:
        found = [_types(graph, op) & QUANTIZED for op in graph.ops if op.name == name]
        return [f"{name} in {min(types)}" for types in found if types]

    return find


def _inputs_of(dtypes: Iterable[str]) -> Callable[[Graph], Iterable[str]]:
    return lambda graph: [f"{t.dtype} input {t.name!r}" for t in graph.inputs if t.dtype in dtypes]


def inputs_beside(dtypes: Iterable[str]) -> Callable[[Graph], Iterable[str]]:
    """Inputs of other dtypes than these."""
    return lambda graph: [
        f"{t.dtype} input {t.name!r}" for t in graph.inputs if t.dtype not in dtypes
    ]


def outputs_beside(dtypes: Iterable[str]) -> Callable[[Graph], Iterable[str]]:
    """Outputs of other dtypes than these."""
    return lambda graph: [
        f"{t.dtype} output {t.name!r}" for t in graph.outputs if t.dtype not in dtypes
    ]


def not_an_image_classifier(graph: Graph) -> list[str]:
    """Inputs that are not one RGB image."""
    shapes = [list(tensor.shape) for tensor in graph.inputs]
    if len(shapes) != 1:
        return [f"{len(shapes)} inputs"]
    is_image = len(shapes[0]) == 4 and shapes[0][0] in (1, -1) and shapes[0][3] == 3
    return [] if is_image else [f"input {shapes[0]}"]


def float_input_without_normalization(graph: Graph) -> list[str]:
    """Float inputs of which no one says what range they want."""
    return [] if graph.attachments.normalizes else list(_inputs_of({"float32"})(graph))


def _classes(graph: Graph) -> int:
    return graph.outputs[0].shape[-1] if graph.outputs and graph.outputs[0].shape else 0


def no_labels(graph: Graph) -> list[str]:
    """Labels that are missing from the file."""
    attachments = graph.attachments
    missing = attachments.labels is None and not attachments.is_compressed
    return ["no labels"] if missing else []


def wrong_label_count(graph: Graph) -> list[str]:
    """More or fewer labels than classes."""
    labels, classes = graph.attachments.labels, _classes(graph)
    wrong = labels is not None and classes > 0 and labels != classes
    return [f"{labels} labels for {classes} classes"] if wrong else []


def compressed_labels(graph: Graph) -> list[str]:
    """A file of labels that is not stored as it is."""
    return [graph.attachments.label_file] if graph.attachments.is_compressed else []


def broken_metadata(graph: Graph) -> list[str]:
    """Why the metadata cannot be read."""
    return [graph.attachments.problem] if graph.attachments.problem else []


def lost_labels(graph: Graph) -> list[str]:
    """A file of labels that the metadata names and the model does not have."""
    attachments = graph.attachments
    named = attachments.label_file and attachments.labels is None and not attachments.is_compressed
    return [attachments.label_file] if named else []


def dynamic(graph: Graph) -> list[str]:
    """Inputs and outputs with lengths that are open."""
    tensors = graph.inputs + graph.outputs
    return [f"{t.name!r} {list(t.shape)}" for t in tensors if any(side < 0 for side in t.shape)]


def shape_arithmetic(graph: Graph) -> list[str]:
    """Operations that compute shapes."""
    names = [op.name for op in graph.ops if op.name in _SHAPE_OPS]
    return names if "SHAPE" in names else []


def not_quantized(graph: Graph) -> list[str]:
    """Float operations, but for those that end an otherwise quantized model."""
    if not is_quantized(graph):
        return [f"{op.name} in float" for op in graph.ops if computes_in_float(graph, op)]
    return [f"{leftover.name} in float" for leftover in float_leftovers(graph)]


def integer_activations(dtypes: frozenset[str]) -> Callable[[Graph], Iterable[str]]:
    """Computed tensors of these dtypes."""

    def find(graph: Graph) -> list[str]:
        found = {t.dtype for op in graph.ops for t in graph.activations(op.outputs)} & dtypes
        return [f"{dtype} activations" for dtype in sorted(found)]

    return find


def newer_than_nnapi(graph: Graph) -> list[str]:
    """Operations in a version that NNAPI's delegate does not take."""
    return [
        f"{op.name} version {op.version}"
        for op in graph.ops
        if op.version > NNAPI_VERSIONS.get(op.name, op.version)
    ]


def external(graph: Graph) -> list[str]:
    """Files beside this one that hold weights."""
    return list(graph.external_files)
