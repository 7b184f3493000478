"""What a .tflite carries for its client: metadata, normalization, labels."""

import dataclasses

from ai_edge_litert import schema_py_generated as schema

from export import labels as label_files
from export.metadata_tables import find_entry, unpack_metadata

_MAX_NAME = 200  # Characters of a name that are kept; hostile files have longer ones.


@dataclasses.dataclass(frozen=True)
class Attachments:
    """Metadata of a model, as its clients see it.

    Attributes:
        has_metadata: a TFLITE_METADATA buffer.
        normalizes: the first input has normalization options.
        label_file: name of the first output's file of labels; "" if none.
        labels: lines of that file; None where it is missing or cannot be read as it is.
        is_compressed: it is not stored as it is, which MediaPipe demands.
        problem: why the metadata cannot be read; "" if they can.
    """

    has_metadata: bool = False
    normalizes: bool = False
    label_file: str = ""
    labels: int | None = None
    is_compressed: bool = False
    problem: str = ""


def clean(text: bytes | str | None) -> str:
    """A name from a file as printable text of a bounded length."""
    text = text or b""
    if isinstance(text, bytes):
        text = text[: 4 * _MAX_NAME].decode("utf-8", errors="replace")
    printable = "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME])
    return printable if len(text) <= _MAX_NAME else f"{printable}..."


def read_attachments(content: bytes, model: schema.ModelT) -> Attachments:
    """Reads metadata and labels.

    Args:
        content: of the .tflite file that `model` was read from.
        model: see `flatbuffer.read_model`.

    Returns:
        What was found; never raises for broken metadata, see `Attachments.problem`.
    """
    entry = find_entry(model)
    if entry is None:
        return Attachments()
    data = model.buffers[entry.buffer].data
    try:
        metadata, label_file = unpack_metadata(b"" if data is None else bytes(data))
    except ValueError as error:
        return Attachments(has_metadata=True, problem=clean(str(error)))
    normalizes = bool(metadata.mean and metadata.std)
    if not label_file:
        return Attachments(True, normalizes)
    labels: int | None = None
    is_compressed = False
    try:
        labels = len(label_files.parse_labels(label_files.read_zip(content, label_file)))
    except label_files.CompressedError:
        is_compressed = True
    except ValueError:
        pass  # `labels` says it.
    return Attachments(True, normalizes, clean(label_file), labels, is_compressed)
