"""What a .tflite carries for its client: metadata, normalization, labels."""

import contextlib
import dataclasses
import io
import struct
import zipfile
import zlib

from ai_edge_litert import schema_py_generated as schema

from export.verifier import CheckedTable, root_table

_METADATA = b"TFLITE_METADATA"
_MAX_ZIP_BYTES = 4 * 2**20  # From the file's end; label files are far smaller.
_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_NORMALIZATION = 1  # ProcessUnitOptions.NormalizationOptions
_MAX_NAME = 200  # Characters of a name that are kept; hostile files have longer ones.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    OverflowError,
    LookupError,
)


@dataclasses.dataclass(frozen=True)
class Attachments:
    """Metadata of a model, as its clients see it.

    Attributes:
        has_metadata: a TFLITE_METADATA buffer.
        normalizes: the first input has normalization options.
        label_file: name of the first output's file of labels; "" if none.
        labels: lines of that file; None where it is missing or cannot be read.
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
    buffers = [entry.buffer for entry in model.metadata or [] if entry.name == _METADATA]
    if not buffers:
        return Attachments()
    data = model.buffers[buffers[0]].data
    try:
        if data is None:
            raise ValueError("the metadata are empty")
        normalizes, label_file = _read_metadata(bytes(data))
    except ValueError as error:
        return Attachments(has_metadata=True, problem=str(error))
    labels, is_compressed = _read_labels(content, label_file) if label_file else (None, False)
    return Attachments(True, normalizes, clean(label_file), labels, is_compressed)


def _read_metadata(data: bytes) -> tuple[bool, str]:
    """Slots as in MediaPipe's metadata_schema.fbs."""
    normalizes, label_file = False, b""
    for subgraph in root_table(data).tables(3, most=1):
        for tensor in subgraph.tables(2, most=1):
            units = tensor.tables(4)
            normalizes = any(unit.byte(0) == _NORMALIZATION for unit in units)
        for tensor in subgraph.tables(3, most=1):
            label_file = next((f.string(0) for f in tensor.tables(6) if _names_classes(f)), b"")
    return normalizes, label_file[:1000].decode("utf-8", errors="replace")


def _names_classes(file: CheckedTable) -> bool:
    return file.byte(2) == _AXIS_LABELS


def _read_labels(content: bytes, name: str) -> tuple[int | None, bool]:
    """(number of lines, whether compressed) of a file in the zip at the model's end."""
    tail = content[-_MAX_ZIP_BYTES:]
    with contextlib.suppress(*_ZIP_ERRORS), zipfile.ZipFile(io.BytesIO(tail)) as archive:
        entry = archive.getinfo(name)
        if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with archive.open(entry) as file:
                lines = file.read(_MAX_ZIP_BYTES).decode("utf-8", errors="replace").splitlines()
            return len(lines), entry.compress_type != zipfile.ZIP_STORED
    return None, False
