"""The tables of TFLite Model Metadata that an image classifier needs.

The private classes name the tables of MediaPipe's metadata_schema.fbs and give the
slots of their fields in the schema's order; only what is used here has a name.
"""

import dataclasses
from typing import Any

from export import metadata_buffer
from export.flatbuffer import schema
from export.verifier import CheckedTable, root_table
from mobilenet_tf import files

# Nothing written here is newer, and parsers refuse a version above their own.
MIN_PARSER_VERSION = "1.0.0"
ENTRY_NAME = b"TFLITE_METADATA"


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What a .tflite image classifier says of itself.

    Attributes:
        labels: class names in the order of the outputs.
        name, description, version, author, license: free text.
        mean, std: how a client prepares pixels in 0..255 for a float32 input,
            `(pixel - mean) / std`; one value, or one per channel. Clients
            ignore them where the input is uint8.
        output_name: of the scores, as clients show it.
    """

    labels: tuple[str, ...]
    name: str = "image classifier"
    description: str = "Names what an image shows. Input: RGB. Output: a probability per class."
    version: str = "1"
    author: str = "not stated"
    license: str = "not stated"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output_name: str = "probabilities"


def find_entry(model: schema.ModelT) -> schema.MetadataT | None:
    """The entry of a model that says which buffer holds its metadata; None without."""
    return next((entry for entry in model.metadata or [] if entry.name == ENTRY_NAME), None)


def pack_metadata(metadata: ModelMetadata) -> bytes:
    """The content of a TFLITE_METADATA buffer, which names labels.txt as the labels."""
    return metadata_buffer.pack(_model_table(metadata))


def unpack_metadata(content: bytes) -> tuple[ModelMetadata, str | None]:
    """Reads a TFLITE_METADATA buffer.

    Args:
        content: of the buffer.

    Returns:
        The metadata without labels, and the name of the file in the model's
        zip that holds them; texts are empty and the name None where absent.

    Raises:
        ValueError: damaged.
    """
    try:
        return _unpack(content)
    except ValueError as error:  # UnicodeDecodeError is one, too.
        raise ValueError(
            f"the model's metadata must be intact; add it again with --labels. Received: {error}"
        ) from None


def _unpack(content: bytes) -> tuple[ModelMetadata, str | None]:
    root = root_table(content)
    if content[4:8] != metadata_buffer.FILE_IDENTIFIER:
        raise ValueError(f"{content[4:8]!r} at byte 4, not {metadata_buffer.FILE_IDENTIFIER!r}")
    # MediaPipe, too, looks at the first of each only.
    subgraphs = root.tables(_Model.SUBGRAPHS, most=1)
    images = [image for graph in subgraphs for image in graph.tables(_Subgraph.INPUTS, most=1)]
    outputs = [scores for graph in subgraphs for scores in graph.tables(_Subgraph.OUTPUTS, most=1)]
    mean, std = _normalization(images[0]) if images else ((), ())
    metadata = ModelMetadata(
        labels=(),
        name=_text(root, _Model.NAME),
        description=_text(root, _Model.DESCRIPTION),
        version=_text(root, _Model.VERSION),
        author=_text(root, _Model.AUTHOR),
        license=_text(root, _Model.LICENSE),
        mean=mean,
        std=std,
        output_name=_text(outputs[0], _Tensor.NAME) if outputs else "",
    )
    return metadata, _label_file(outputs[0]) if outputs else None


def _text(table: CheckedTable, slot: int) -> str:
    return table.string(slot).decode("utf-8")


def _normalization(image: CheckedTable) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation; empty where the file has none."""
    for unit in image.tables(_Tensor.PROCESS_UNITS):
        options = unit.table(_ProcessUnit.OPTIONS)
        if unit.byte(_ProcessUnit.KIND) == _ProcessUnit.NORMALIZATION and options is not None:
            mean = options.floats(_Normalization.MEAN)
            return mean, options.floats(_Normalization.STD)
    return (), ()


def _label_file(scores: CheckedTable) -> str | None:
    """Name of the file with the class names."""
    for file in scores.tables(_Tensor.FILES):
        if file.byte(_File.KIND) == _File.TENSOR_AXIS_LABELS:
            return _text(file, _File.NAME)
    return None


def _model_table(metadata: ModelMetadata) -> dict[int, Any]:
    subgraph = {
        _Subgraph.INPUTS: [_image_table(metadata)],
        _Subgraph.OUTPUTS: [_scores_table(metadata)],
    }
    return {
        _Model.NAME: metadata.name,
        _Model.DESCRIPTION: metadata.description,
        _Model.VERSION: metadata.version,
        _Model.SUBGRAPHS: [subgraph],
        _Model.AUTHOR: metadata.author,
        _Model.LICENSE: metadata.license,
        _Model.MIN_PARSER_VERSION: MIN_PARSER_VERSION,
    }


def _image_table(metadata: ModelMetadata) -> dict[int, Any]:
    normalization = {
        _Normalization.MEAN: list(metadata.mean),
        _Normalization.STD: list(metadata.std),
    }
    pairs = list(zip(metadata.mean, metadata.std))
    return {
        _Tensor.NAME: "image",
        _Tensor.DESCRIPTION: "An image, RGB.",
        _Tensor.CONTENT: {
            _Content.KIND: _Content.IMAGE,
            _Content.PROPERTIES: {_Image.COLOR_SPACE: _Image.RGB},
        },
        _Tensor.PROCESS_UNITS: [
            {
                _ProcessUnit.KIND: _ProcessUnit.NORMALIZATION,
                _ProcessUnit.OPTIONS: normalization,
            }
        ],
        _Tensor.STATS: {
            _Stats.MAX: [(255 - mean) / std for mean, std in pairs],
            _Stats.MIN: [(0 - mean) / std for mean, std in pairs],
        },
    }


def _scores_table(metadata: ModelMetadata) -> dict[int, Any]:
    return {
        _Tensor.NAME: metadata.output_name,
        _Tensor.DESCRIPTION: "A probability per class.",
        _Tensor.CONTENT: {
            _Content.KIND: _Content.FEATURE,
            _Content.PROPERTIES: {},
        },
        _Tensor.STATS: {_Stats.MAX: [1.0], _Stats.MIN: [0.0]},
        _Tensor.FILES: [
            {
                _File.NAME: files.LABELS,
                _File.DESCRIPTION: "Class names in the order of the outputs.",
                _File.KIND: _File.TENSOR_AXIS_LABELS,
            }
        ],
    }


class _Model:
    """Slots of ModelMetadata, the root."""

    NAME, DESCRIPTION, VERSION, SUBGRAPHS, AUTHOR, LICENSE, _, MIN_PARSER_VERSION = range(8)


class _Subgraph:
    """Slots of SubGraphMetadata."""

    INPUTS, OUTPUTS = 2, 3


class _Tensor:
    """Slots of TensorMetadata."""

    NAME, DESCRIPTION, _, CONTENT, PROCESS_UNITS, STATS, FILES = range(7)


class _Content:
    """Slots of Content, and members of its union."""

    KIND, PROPERTIES = 0, 1
    FEATURE, IMAGE = 1, 2


class _Image:
    """Slots of ImageProperties, and colour spaces."""

    COLOR_SPACE = 0
    RGB = 1


class _ProcessUnit:
    """Slots of ProcessUnit, and members of its union."""

    KIND, OPTIONS = 0, 1
    NORMALIZATION = 1


class _Normalization:
    """Slots of NormalizationOptions."""

    MEAN, STD = 0, 1


class _Stats:
    """Slots of Stats."""

    MAX, MIN = 0, 1


class _File:
    """Slots of AssociatedFile, and the kind that holds class names."""

    NAME, DESCRIPTION, KIND = 0, 1, 2
    TENSOR_AXIS_LABELS = 2
