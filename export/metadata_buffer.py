"""Writing and reading flatbuffer tables by slot, without generated code.

Enough for TFLite Model Metadata: strings, 8-bit enums, tables, vectors of floats
and of tables.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import flatbuffers
from flatbuffers.table import Table

FILE_IDENTIFIER = b"M001"


def pack(fields: Mapping[int, Any]) -> bytes:
    """Writes a table and all below it.

    Args:
        fields: slot to value: str; int for an 8-bit enum; a mapping for a
            table; a list of floats or of mappings for a vector.

    Returns:
        The flatbuffer; the same fields give the same bytes.
    """
    builder = flatbuffers.Builder()
    builder.Finish(_write_table(builder, fields), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: flatbuffers.Builder, fields: Mapping[int, Any]) -> int:
    # Children first: a table cannot be started while another is open.
    offsets = {
        slot: _write_child(builder, value)
        for slot, value in fields.items()
        if not isinstance(value, int)
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in fields.items():
        if slot in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
        else:
            builder.PrependInt8Slot(slot, value, 0)
    return builder.EndObject()


def _write_child(builder: flatbuffers.Builder, value: Any) -> int:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _write_table(builder, value)
    tables = [_write_table(builder, item) for item in value if isinstance(item, Mapping)]
    builder.StartVector(4, len(value), 4)
    for item in reversed(tables or value):
        if tables:
            builder.PrependUOffsetTRelative(item)
        else:
            builder.PrependFloat32(item)
    return builder.EndVector()


class Reader:
    """A table being read; what is absent reads as empty.

    Its methods raise errors of many kinds where the buffer is damaged: call
    them within `intact`.
    """

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._table = Table(content, position)

    def text(self, slot: int) -> str:
        """A string."""
        span = self._vector(slot, item_bytes=1)
        return bytes(self._content[span.start : span.stop]).decode("utf-8")

    def byte(self, slot: int) -> int:
        """An 8-bit enum."""
        at = self._position(slot)
        return self._content[at] if at else 0

    def table(self, slot: int) -> "Reader | None":
        """A table."""
        at = self._position(slot)
        return Reader(self._content, self._table.Indirect(at)) if at else None

    def tables(self, slot: int) -> "list[Reader]":
        """A vector of tables."""
        items = self._vector(slot, item_bytes=4)
        return [Reader(self._content, self._table.Indirect(at)) for at in items]

    def floats(self, slot: int) -> tuple[float, ...]:
        """A vector of 32-bit floats."""
        items = self._vector(slot, item_bytes=4)
        return tuple(struct.unpack_from("<f", self._content, at)[0] for at in items)

    def _position(self, slot: int) -> int:
        """Where a field lies; 0 where it is absent."""
        offset = self._table.Offset(4 + 2 * slot)
        return self._table.Pos + offset if offset else 0

    def _vector(self, slot: int, item_bytes: int) -> range:
        """Positions of a vector's items."""
        at = self._position(slot)
        if not at:
            return range(0)
        start = self._table.Indirect(at)
        (length,) = struct.unpack_from("<I", self._content, start)
        stop = start + 4 + length * item_bytes
        if stop > len(self._content):
            raise IndexError(f"a vector of {length} items runs past the end")
        return range(start + 4, stop, item_bytes)


def unpack(content: bytes) -> Reader:
    """The root table of a metadata buffer; call it within `intact`."""
    if content[4:8] != FILE_IDENTIFIER:
        raise ValueError(
            "the model's metadata must have M001 at byte 4; add it again. "
            f"Received: {bytes(content[4:8])!r}"
        )
    return Reader(content, int.from_bytes(content[:4], "little"))


@contextlib.contextmanager
def intact(what: str) -> Iterator[None]:
    """Turns the errors of parsing damaged bytes into one `ValueError`.

    Args:
        what: must be intact, such as "the model's metadata".
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} must be UTF-8; write it again. Received: {error}") from None
    except (struct.error, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{what} must be intact; write it again. Received: {error}") from None
