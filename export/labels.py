"""Class names as the clients of a .tflite read them: labels.txt in a stored zip."""

import collections
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

MAX_LABELS = 10_000
_MAX_ZIP_BYTES = 4 * 2**20  # From the end of a model; label files are far smaller.
# A fixed date, the zip format's first: the same labels give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
# What zipfile raises for damaged or hostile archives.
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
)


class CompressedError(ValueError):
    """A file in a model's zip is compressed."""


def repeated(labels: Sequence[str]) -> list[str]:
    """Labels that stand for several classes, in order: a client's user cannot tell these apart."""
    return [label for label, count in collections.Counter(labels).items() if count > 1]


def check_labels(labels: Sequence[str], classes: int) -> None:
    """Raises `ValueError` unless every client shows these labels as they are.

    Args:
        labels: class names in the order of the outputs.
        classes: number of outputs.
    """
    if not labels:
        raise ValueError("there must be a label per output; write one a line. Received: no label")
    if len(labels) > MAX_LABELS:
        raise ValueError(
            f"there must be from 1 to {MAX_LABELS:,d} labels; choose a smaller set of classes. "
            f"Received: {len(labels):,d}"
        )
    # Before the count: a blank line is often what makes it wrong.
    for line, label in enumerate(labels, start=1):
        problem = _problem(label)
        if problem:
            raise ValueError(
                "a label must be one line of text that shows; rename the class, or remove the "
                f"line if it is none. Received: {problem} as label {line} of {len(labels)}"
            )
    if len(labels) != classes:
        raise ValueError(
            "there must be one label per output, as MediaPipe checks only when an image comes; "
            f"correct the labels. Received: {len(labels):,d} for {classes:,d} outputs"
        )


def _problem(label: str) -> str | None:
    if not label.strip():
        return f"the blank {label!r}"  # A blank last line is dropped by clients.
    if label.splitlines() != [label] or not {"\0", "\ufeff"}.isdisjoint(label):
        return f"{label!r}, with a line break, NUL or byte order mark inside,"
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        return f"{label!r}, which is not Unicode,"
    return None


def parse_labels(content: bytes) -> tuple[str, ...]:
    """Reads the lines of a labels file.

    Args:
        content: UTF-8, with or without byte order mark; lines end in LF or
            CRLF, the last one perhaps in nothing.

    Returns:
        The lines, blank ones included, in order.

    Raises:
        ValueError: not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"labels must be UTF-8 text; save them as such. Received: byte "
            f"{content[error.start]:#04x} at {error.start}"
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def format_labels(labels: Sequence[str]) -> bytes:
    """The labels file: UTF-8, a line feed after each."""
    return "".join(f"{label}\n" for label in labels).encode("utf-8")


def append_zip(content: bytes, name: str, member: bytes) -> bytes:
    """Appends a zip with one stored file; clients refuse a compressed one.

    Args:
        content: what comes before; a reader of it ignores the zip.
        name: of the file.
        member: its content.

    Returns:
        Both, one after the other.
    """
    stream = io.BytesIO()
    stream.write(content)
    # Mode "w" writes from here on, and never looks for a zip in what is there.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo(name, _DATE)
        info.create_system, info.external_attr = 3, 0o644 << 16  # Unix, whatever this is.
        archive.writestr(info, member)
    return stream.getvalue()


def read_zip(content: bytes, name: str) -> bytes:
    """Reads a file from an appended zip as clients do.

    Args:
        content: of a file that ends in a zip.
        name: of the file in it.

    Returns:
        Its content.

    Raises:
        CompressedError: it is compressed, which clients refuse.
        ValueError: no zip, no such file in it, or a damaged one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content[-_MAX_ZIP_BYTES:])) as archive:
            info = archive.getinfo(name)
            if info.compress_type == zipfile.ZIP_STORED:
                return archive.read(info)
    except KeyError:
        raise ValueError(
            f"the model's zip must have {name!r}, which its metadata names; add the labels again. "
            "Received: a zip without it"
        ) from None
    except _ZIP_ERRORS as error:
        raise ValueError(
            f"{name!r} must lie in an intact zip at the model's end; add the labels again. "
            f"Received: {error}"
        ) from None
    raise CompressedError(
        f"{name!r} must be stored in the model's zip, as clients refuse compression; add the "
        "labels again. Received: a compressed one"
    )
