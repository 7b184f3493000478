"""Checks that a .tflite can be read without leaving its bytes or running for hours.

The generated reader (`schema_py_generated`) trusts every offset and length. The check
walks the same tables first. What a table holds is found by calling the generated
accessors on a probe, so that it follows the schema that is installed.
"""

import dataclasses
import functools
import inspect
import struct
from typing import Any

from ai_edge_litert import schema_py_generated as schema

MAX_TABLES = 100_000  # A classifier has a thousand or two; seconds to read.
_MAX_STRING_SHARE = 4  # Strings may be shared, but not so that their copies swell without end.
_TABLE_BYTES = 8  # A table has at least its vtable's offset and, elsewhere, its own.

_UINT8, _UINT16, _UINT32, _INT32 = (struct.Struct(f"<{code}") for code in "BHIi")

# Union fields whose members are not listed under the field's own name.
_UNION_NAMES = {
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}


class CheckedTable:
    """A table of a FlatBuffer in which every access is checked.

    Args:
        content: of the whole FlatBuffer.
        start: byte at which the table lies.

    Raises:
        ValueError: this table, or what is asked of it, lies outside the content.
    """

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._start = start
        self._vtable = start - self._read(_INT32, start)
        self._vtable_bytes = self._read(_UINT16, self._vtable)
        self._table_bytes = self._read(_UINT16, self._vtable + 2)
        if self._vtable_bytes < 4 or self._vtable_bytes % 2 or self._table_bytes < 4:
            raise ValueError(f"the table at byte {start} has a broken vtable")
        self._within(self._vtable, self._vtable_bytes)
        self._within(start, self._table_bytes)

    def _within(self, start: int, length: int) -> None:
        if start < 0 or start + length > len(self._content):
            raise ValueError(
                f"{length:,d} bytes at byte {start:,d} lie outside the file of "
                f"{len(self._content):,d} bytes"
            )

    def _read(self, form: struct.Struct, position: int) -> int:
        self._within(position, form.size)
        return form.unpack_from(self._content, position)[0]

    def position(self, slot: int, width: int) -> int | None:
        """Byte of a field of `width` bytes; None where the table leaves it out."""
        entry = 4 + 2 * slot
        if entry >= self._vtable_bytes:
            return None
        offset = self._read(_UINT16, self._vtable + entry)
        if offset == 0:
            return None
        if offset < 4 or offset + width > self._table_bytes:
            raise ValueError(f"a field of the table at byte {self._start} lies outside the table")
        return self._start + offset

    def follow(self, position: int) -> int:
        """Byte that the offset at `position` leads to, always further on."""
        offset = self._read(_UINT32, position)
        self._within(position + offset, 4)
        if offset < 4:
            raise ValueError(f"the offset at byte {position} leads into itself")
        return position + offset

    def vector(self, position: int, width: int) -> tuple[int, int]:
        """(first byte, number of elements) of the vector whose offset is at `position`."""
        start = self.follow(position)
        count = self._read(_UINT32, start)
        self._within(start + 4, count * width)
        return start + 4, count

    def byte(self, slot: int) -> int:
        """A field of one byte; 0 where the table leaves it out."""
        position = self.position(slot, 1)
        return 0 if position is None else self._read(_UINT8, position)

    def string(self, slot: int) -> bytes:
        """A string field; empty where the table leaves it out."""
        position = self.position(slot, 4)
        if position is None:
            return b""
        start, count = self.vector(position, 1)
        return bytes(self._content[start : start + count])

    def tables(self, slot: int, most: int = 1000) -> list["CheckedTable"]:
        """A field with a vector of tables; at most the first `most` of them."""
        position = self.position(slot, 4)
        if position is None:
            return []
        start, count = self.vector(position, 4)
        starts = range(start, start + 4 * min(count, most), 4)
        return [CheckedTable(self._content, self.follow(at)) for at in starts]

    def table(self, slot: int) -> "CheckedTable | None":
        """A field with a table; None where the table leaves it out."""
        position = self.position(slot, 4)
        return None if position is None else CheckedTable(self._content, self.follow(position))

    def floats(self, slot: int) -> tuple[float, ...]:
        """A field with a vector of 32-bit floats; empty where the table leaves it out."""
        position = self.position(slot, 4)
        if position is None:
            return ()
        start, count = self.vector(position, 4)
        return struct.unpack_from(f"<{count}f", self._content, start)


def root_table(content: bytes) -> CheckedTable:
    """The table at which a FlatBuffer begins; raises `ValueError` like it."""
    return CheckedTable(content, _root(content))


def _root(content: bytes) -> int:
    if len(content) < 8:
        raise ValueError(f"{len(content)} bytes are too few for a FlatBuffer")
    return _UINT32.unpack_from(content)[0]


@dataclasses.dataclass(frozen=True)
class _Field:
    """What a table's field holds.

    Attributes:
        slot: of the vtable.
        kind: "scalar", "scalars", "string", "table", "tables", "union".
        width: of the field, or of an element of "scalars", in bytes.
        children: class of "table" and "tables" under 0; those of a union by type.
    """

    slot: int
    kind: str
    width: int
    children: dict[int, type]


class _Probe:
    """Stands in for `flatbuffers.table.Table` and notes what an accessor asks of it."""

    Bytes = b""
    Pos = 0

    def __init__(self) -> None:
        self.slot = -1
        self.width = 4
        self.asked: set[str] = set()

    def Offset(self, vtable_offset: int) -> int:
        self.slot = (vtable_offset - 4) // 2
        return 4

    def Get(self, flags: Any, offset: int) -> int:
        self.width = flags.bytewidth
        return 0

    def _note(self, name: str) -> int:
        self.asked.add(name)
        return 0

    def Vector(self, offset: int) -> int:
        return self._note("vector")

    def Indirect(self, offset: int) -> int:
        return self._note("table")

    def String(self, offset: int) -> bytes:
        self._note("string")
        return b""

    def Union(self, table: Any, offset: int) -> None:
        self._note("union")


@functools.cache
def fields_of(table: type) -> tuple[_Field, ...]:
    """The fields of a generated table class, such as `schema.Tensor`."""
    members = {name: value for name, value in vars(table).items() if inspect.isfunction(value)}
    fields = []
    for name, accessor in members.items():
        stem = next(
            (name[: -len(s)] for s in ("AsNumpy", "Length", "IsNone") if name.endswith(s)), ""
        )
        if name == "Init" or stem in members:
            continue
        probe, instance = _Probe(), table()
        instance._tab = probe
        result = accessor(instance, *[0] * (accessor.__code__.co_argcount - 1))
        fields.append(_field(name, probe, type(result)))
    return tuple(fields)


def _field(name: str, probe: _Probe, result: type) -> _Field:
    if "union" in probe.asked:
        enum = getattr(schema, _UNION_NAMES.get(name, name))
        named = {
            value: key for key, value in vars(enum).items() if isinstance(value, int) and value
        }
        return _Field(
            probe.slot, "union", 4, {value: getattr(schema, key) for value, key in named.items()}
        )
    if "table" in probe.asked:
        kind = "tables" if "vector" in probe.asked else "table"
        return _Field(probe.slot, kind, 4, {0: result})
    if "string" in probe.asked:
        if "vector" in probe.asked:
            raise NotImplementedError(f"vectors of strings are not checked yet. Received: {name}")
        return _Field(probe.slot, "string", 4, {})
    return _Field(probe.slot, "scalars" if "vector" in probe.asked else "scalar", probe.width, {})


def verify(content: bytes) -> None:
    """Checks everything that unpacking a `schema.ModelT` will touch.

    Offsets lead forward only and tables do not contain their own kind, so nothing is
    cyclic or deep; but tables may share parts, which unpacking copies: hence the limits.

    Args:
        content: of a .tflite file.

    Raises:
        ValueError: something lies outside the file, or the tables are more than the
            file has room for.
    """
    walk = _Walk(content)
    walk.expect(1)
    while walk.pending:
        walk.check(*walk.pending.pop())


class _Walk:
    """The state of one `verify`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._tables_left = min(MAX_TABLES, len(content) // _TABLE_BYTES)
        self._string_bytes_left = _MAX_STRING_SHARE * len(content)
        self.pending: list[tuple[type, int]] = [(schema.Model, _root(content))]

    def expect(self, tables: int) -> None:
        """Takes tables from what is allowed, before they are listed."""
        self._tables_left -= tables
        if self._tables_left < 0:
            raise ValueError(
                f"the file has more tables than {len(self._content):,d} bytes can hold"
            )

    def check(self, kind: type, start: int) -> None:
        """Checks one table and lists the tables that it refers to."""
        table = CheckedTable(self._content, start)
        for field in fields_of(kind):
            inline = field.width if field.kind == "scalar" else 4
            position = table.position(field.slot, inline)
            if position is not None and field.kind != "scalar":
                self._check_reference(table, field, position)

    def _check_reference(self, table: CheckedTable, field: _Field, position: int) -> None:
        if field.kind == "scalars":
            table.vector(position, field.width)
        elif field.kind == "string":
            self._string_bytes_left -= table.vector(position, 1)[1]
            if self._string_bytes_left < 0:
                raise ValueError("the file's strings are longer than the file")
        elif field.kind == "tables":
            first, count = table.vector(position, 4)
            self.expect(count)
            places = range(first, first + 4 * count, 4)
            self.pending += [(field.children[0], table.follow(place)) for place in places]
        else:
            # The type of a union is the field before it.
            member = table.byte(field.slot - 1) if field.kind == "union" else 0
            target = table.follow(position)
            if member in field.children:  # Others are not unpacked.
                self.expect(1)
                self.pending.append((field.children[member], target))
