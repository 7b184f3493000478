"""The tables of TFLite Model Metadata that an image classifier needs.

The private classes name the tables of MediaPipe's metadata_schema.fbs and give the
slots of their fields in the schema's order; only what is used here has a name.
"""

import dataclasses
from typing import Any

from export import metadata_buffer as buffer
from export.labels import FILE_NAME

# Nothing written here is newer, and parsers refuse a version above their own.
MIN_PARSER_VERSION = "1.0.0"


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


def pack_metadata(metadata: ModelMetadata) -> bytes:
    """The content of a TFLITE_METADATA buffer, which names labels.txt as the labels."""
    return buffer.pack(_model_table(metadata))


def unpack_metadata(content: bytes) -> tuple[ModelMetadata, str | None]:
    """Reads a TFLITE_METADATA buffer.

    Args:
        content: of the buffer.

    Returns:
        The metadata without labels, and the name of the file in the model's
        zip that holds them; texts are empty and the name None where absent.

    Raises:
        ValueError: damaged, or of no tensor.
    """
    with buffer.intact("the model's metadata"):
        root = buffer.unpack(content)
        subgraph = root.tables(_Model.SUBGRAPHS)[0]
        image = subgraph.tables(_Subgraph.INPUTS)[0]
        scores = subgraph.tables(_Subgraph.OUTPUTS)[0]
        mean, std = _normalization(image)
        metadata = ModelMetadata(
            labels=(),
            name=root.text(_Model.NAME),
            description=root.text(_Model.DESCRIPTION),
            version=root.text(_Model.VERSION),
            author=root.text(_Model.AUTHOR),
            license=root.text(_Model.LICENSE),
            mean=mean,
            std=std,
            output_name=scores.text(_Tensor.NAME),
        )
        return metadata, _label_file(scores)


def _normalization(image: buffer.Reader) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation; empty where the file has none."""
    for unit in image.tables(_Tensor.PROCESS_UNITS):
        options = unit.table(_ProcessUnit.OPTIONS)
        if unit.byte(_ProcessUnit.KIND) == _ProcessUnit.NORMALIZATION and options:
            mean = options.floats(_Normalization.MEAN)
            return mean, options.floats(_Normalization.STD)
    return (), ()


def _label_file(scores: buffer.Reader) -> str | None:
    """Name of the file with the class names."""
    for file in scores.tables(_Tensor.FILES):
        if file.byte(_File.KIND) == _File.TENSOR_AXIS_LABELS:
            return file.text(_File.NAME)
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
                _File.NAME: FILE_NAME,
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
